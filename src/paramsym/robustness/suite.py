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
        import pyautoattack
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
    # They may come from an inference mode, which autograd would refuse.
    images = images.detach().clone()
    width = high - low

    def in_unit_range(unit: Tensor) -> Tensor:
        def own(u: Tensor) -> Tensor:
            logits = predict((u * width + low).to(images.dtype))
            # Which labels the suite has in its hands is not known here; they are checked below.
            require_logits(logits, labels.new_zeros(len(u)))
            return logits.float()

        if unit.requires_grad and torch.is_grad_enabled():
            return InputsOnly.apply(unit, own)  # pyright: ignore[reportReturnType]
        with torch.no_grad():
            # A copy, since one of the attacks writes into it.
            return own(unit).clone()

    start = ((images - low) / width).float().clamp(0, 1)
    right = classified_rightly(predict, images, labels, batch=batch)
    with torch.no_grad():
        classes = predict(images[:1]).shape[1]
    chosen = _chosen(attacks, classes)
    with torch.random.fork_rng(devices=_devices(images)), _listening() as said, _tracing_kept():
        suite: Any = pyautoattack.AutoAttack(
            in_unit_range,  # pyright: ignore[reportArgumentType]
            attacks=chosen,  # pyright: ignore[reportArgumentType]
            eps=eps / width,
            norm="Linf",
            seed=seed,
            device=images.device,
            version="custom",
        )
        suite.apgd.n_restarts = suite.fab.n_restarts = 1
        suite.fab.n_target_classes = min(TARGETS, classes - 1)
        suite.apgd_targeted.n_target_classes = min(TARGETS, classes - 1)
        suite.square.n_queries = queries
        unit, _ = suite.run_standard_evaluation(start, labels, batch_size=batch)
    moved = (unit - start).to(images.dtype) * width
    attacked = (images + moved.clamp(-eps, eps)).clamp(low, high)
    robust = right & classified_rightly(predict, attacked, labels, batch=batch)
    return Strongest(attacked, robust, tuple(dict.fromkeys(said)))


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


def _devices(images: Tensor) -> list[torch.device]:
    return [] if images.device.type == "cpu" else [images.device]


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
