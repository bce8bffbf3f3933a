"""The standard suite of strong attacks, AutoAttack (Croce & Hein, 2020), in any range of values."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from paramsym.robustness.accuracy import classified_rightly
from paramsym.robustness.gradients import InputsOnly, Predict
from paramsym.robustness.requirements import (
    require_evaluation_mode,
    require_images,
    require_labels,
    require_logits,
    require_positive,
    require_strength,
)

ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The standard suite: steps by gradients with adaptive sizes on the cross-entropy and towards other
classes, the nearest boundary, and random squares, which need no gradient."""

NEEDED = {"apgd-ce": 2, "apgd-dlr": 3, "apgd-t": 4, "fab": 2, "fab-t": 2, "square": 2}
"""Known attacks, and the classes that the loss of each needs."""

TARGETS = 9
"""Other classes that are tried, at most, as in the standard suite."""


@final
@dataclass(frozen=True, eq=False)
class Strongest:
    """What is left of a classifier under several attacks.

    Attributes:
        images: For each image one that is classified wrongly, where an attack found it; else the
            image itself. `[n, …]`
        robust: Which images are classified rightly and stay so, `[n]`.
        warnings: What the suite says of its own reliability, as of gradients that vanish.
    """

    images: Tensor
    robust: Tensor
    warnings: tuple[str, ...]


def strongest(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    low: float,
    high: float,
    attacks: Sequence[str] | None = None,
    queries: int = 5000,
    seed: int = 0,
    batch: int = 250,
) -> Strongest:
    """Attack by AutoAttack: an image counts as robust only if all attacks fail on it.

    The suite itself works in [0, 1] and float32; images and logits are carried there and back, so
    that the data's own range and dtype stay. Each attack has the suite's own settings, and takes
    the images that those before it left. Gradients are taken in the images alone, and the global
    random numbers stay as they are.

    Args:
        predict: As of `fgsm`. `("square",)` alone needs no gradient, and so may attack the shares
            of an ensemble's votes.
        images: `[n, c, H, W]`, floating, with values from `low` to `high`.
        labels: The right classes `[n]`, int64.
        eps: ε, the largest change of a pixel, in the unit of the data; positive.
        low: The lowest value a pixel can have, as `Images.low`.
        high: The highest.
        attacks: Names of `NEEDED` in their order; by default those of `ATTACKS` that the number of
            classes allows.
        queries: Images that `square` tries, for each image.
        seed: Decides all random numbers.
        batch: Images at a time.

    Raises:
        ImportError: If pyautoattack is not installed.
        ValueError: As `fgsm`; also if an attack is unknown or needs more classes than there are.
    """
    try:
        import pyautoattack  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "the standard suite of attacks is that of pyautoattack, which is not installed. "
            "Install it with `pip install paramsym[attacks]`."
        ) from error
    require_images(images, low, high)
    require_strength(eps, low, high)
    require_positive("eps", eps)
    require_labels(labels, images)
    require_positive("queries", queries)
    require_positive("batch", batch)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"`images` must be [n, c, H, W]; got shape {list(images.shape)}.")
    require_evaluation_mode(predict)
    # Copies, since autograd refuses what comes from an inference mode.
    with torch.inference_mode(False):
        images, labels = images.detach().clone(), labels.clone()
        right = classified_rightly(predict, images, labels, batch=batch)
        with torch.no_grad():
            classes = predict(images[:1]).shape[1]
        width = high - low
        start = ((images - low) / width).float().clamp(0, 1)
        unit, said = _run(
            _in_unit_range(predict, images.dtype, low, width),
            start,
            labels,
            eps=eps / width,
            attacks=_chosen(attacks, classes),
            targets=min(TARGETS, classes - 1),
            queries=queries,
            seed=seed,
            batch=batch,
        )
        moved = (unit - start).to(images.dtype) * width
        attacked = (images + moved.clamp(-eps, eps)).clamp(low, high)
        robust = right & classified_rightly(predict, attacked, labels, batch=batch)
    return Strongest(attacked, robust, said)


def _in_unit_range(predict: Predict, dtype: torch.dtype, low: float, width: float) -> Predict:
    """The same classifier of images in [0, 1], in float32."""

    def own(unit: Tensor) -> Tensor:
        logits = predict((unit * width + low).to(dtype))
        # Which labels the suite has in its hands is not known here.
        require_logits(logits, torch.zeros(len(unit), dtype=torch.int64, device=unit.device))
        return logits.float()

    def logits(unit: Tensor) -> Tensor:
        if unit.requires_grad and torch.is_grad_enabled():
            return InputsOnly.apply(unit, own)  # pyright: ignore[reportReturnType]
        with torch.no_grad():
            # A copy, since one of the attacks writes into it.
            return own(unit).clone()

    return logits


def _run(
    predict: Predict,
    start: Tensor,
    labels: Tensor,
    *,
    eps: float,
    attacks: list[str],
    targets: int,
    queries: int,
    seed: int,
    batch: int,
) -> tuple[Tensor, tuple[str, ...]]:
    """The suite's own evaluation: its images, and its warnings."""
    from pyautoattack import AutoAttack

    devices = [] if start.device.type == "cpu" else [start.device]
    with torch.random.fork_rng(devices=devices), _listening() as said, _tracing_kept():
        suite: Any = AutoAttack(
            predict,  # pyright: ignore[reportArgumentType]
            attacks=attacks,  # pyright: ignore[reportArgumentType]
            eps=eps,
            norm="Linf",
            seed=seed,
            device=start.device,
            version="custom",
        )
        suite.apgd.n_restarts = suite.fab.n_restarts = 1
        suite.fab.n_target_classes = suite.apgd_targeted.n_target_classes = targets
        suite.square.n_queries = queries
        found, _ = suite.run_standard_evaluation(start, labels, batch_size=batch)
    return found, tuple(dict.fromkeys(said))


def _chosen(attacks: Sequence[str] | None, classes: int) -> list[str]:
    if attacks is None:
        return [name for name in ATTACKS if NEEDED[name] <= classes]
    for name in attacks:
        if name not in NEEDED:
            raise ValueError(f"`attacks` must be of {', '.join(NEEDED)}; got {name!r}.")
        if NEEDED[name] > classes:
            raise ValueError(
                f"`attacks` must suit the {classes} classes; {name!r} needs {NEEDED[name]}."
            )
    if not attacks:
        raise ValueError("`attacks` must name at least one attack; got none.")
    return list(attacks)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What the suite warns of, which it writes to a logger."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # It points to a page of its own repository, which is not here.
            said.append(record.getMessage().partition(" See ")[0].strip())

    logger, handler = logging.getLogger("auto-attack"), Keep(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


@contextmanager
def _tracing_kept() -> Iterator[None]:
    """The suite takes a debugger's or a coverage tool's trace function away; it is put back."""
    tracing = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(tracing)
