"""Accuracy with confidence intervals, alone, in pairs, and under attack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from scipy import stats
from torch import Tensor

from paramsym.robustness.requirements import require_labels, require_logits

Classify = Callable[[Tensor], Tensor]
"""From images `[batch, …]` to classes `[batch]` (integers), or to logits `[batch, classes]`."""

Interval = tuple[float, float]
"""The two ends."""


@final
@dataclass(frozen=True)
class Accuracy:
    """A share of images, with Wilson's interval for the share among all images of the kind.

    Attributes:
        value: Share classified rightly.
        interval: Its confidence interval.
        total: Number of images.
    """

    value: float
    interval: Interval
    total: int


@final
@dataclass(frozen=True)
class Difference:
    """A difference of accuracies on the same images.

    Attributes:
        value: First minus second, over all images and seeds.
        interval: Its confidence interval.
    """

    value: float
    interval: Interval


@torch.no_grad()
def classified_rightly(
    classify: Classify, images: Tensor, labels: Tensor, *, batch: int = 1000
) -> Tensor:
    """Which images get the right class, `[n]`, boolean.

    Args:
        classify: From images to classes, as an ensemble's vote, or to logits.
        images: `[n, …]`.
        labels: The right classes `[n]`, int64.
        batch: Images at a time.

    Raises:
        ValueError: If shapes do not fit, or logits are not finite: the largest of NaNs is class 0
            as well as any other.
    """
    require_labels(labels, images)
    if batch < 1 or len(images) == 0:
        raise ValueError(f"there must be images, in batches of 1 or more; got {len(images)} in "
                         f"batches of {batch}.")  # fmt: skip
    found = []
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        classes = classify(x)
        if classes.is_floating_point() or classes.ndim != 1:
            require_logits(classes, y, "classify")
            classes = classes.argmax(1)
        elif len(classes) != len(y):
            raise ValueError(
                f"`classify` must give a class for each of {len(y)} images; got {len(classes)}."
            )
        found.append(classes == y)
    return torch.cat(found)


def under_attack(
    attack: Callable[[Tensor, Tensor, float], Tensor],
    victims: Mapping[str, Classify],
    images: Tensor,
    labels: Tensor,
    strengths: Sequence[float],
    *,
    batch: int = 1000,
) -> dict[str, Tensor]:
    """Which images each victim gets right at each strength, `[strengths, n]`, boolean.

    The examples are made once and put to all victims: to those that were attacked (adaptive) and to
    others (transfer).

    Args:
        attack: From images, labels and a strength to images, as
            `lambda x, y, eps: fgsm(predict, x, y, eps, low=0, high=1)`.
        victims: Classifiers by name, as of `classified_rightly`.
        images: `[n, …]`.
        labels: `[n]`, int64.
        strengths: What the attack takes: ε, or a number of iterations.
        batch: Images at a time.

    Raises:
        ValueError: As `classified_rightly` and the attack.
    """
    rows: dict[str, list[Tensor]] = {name: [] for name in victims}
    for strength in strengths:
        attacked = attack(images, labels, strength)
        for name, classify in victims.items():
            rows[name].append(classified_rightly(classify, attacked, labels, batch=batch))
    return {name: torch.stack(found) for name, found in rows.items()}


def accuracy(right: Tensor, level: float = 0.95) -> Accuracy:
    """The share of right answers among `[n]` flags, with its Wilson score interval.

    Raises:
        ValueError: If the flags are not a boolean row, or `level` is not between 0 and 1.
    """
    if right.dtype != torch.bool or right.ndim != 1 or len(right) == 0:
        raise ValueError(
            "`right` must be a row of booleans, one for each image, as of `classified_rightly`; "
            f"got {right.dtype} of shape {list(right.shape)}."
        )
    _require_level(level)
    count = int(right.sum())
    interval = stats.binomtest(count, len(right)).proportion_ci(level, method="wilson")
    return Accuracy(count / len(right), (float(interval.low), float(interval.high)), len(right))


def paired_difference(first: Tensor, second: Tensor, level: float = 0.95) -> Difference:
    """The difference of two accuracies on the same images, with an interval.

    Both kinds of chance count: which images the test set has, and which models the seeds gave. The
    variances of the mean over either are added, which is no less than the variance of the mean over
    both (the part that is due to neither alone is counted twice); degrees of freedom are
    Welch–Satterthwaite's. For the images, half an image is added to each of the four outcomes of a
    pair, after Agresti and Min (2005), so that agreement on all images is no proof of equality. One
    seed says nothing of others: its interval is about that one model.

    Args:
        first: `[n]` or `[seeds, n]`, boolean, as of `classified_rightly`.
        second: As `first`, on the same images and from the same seeds.
        level: Probability that the interval holds the true difference.

    Raises:
        ValueError: If the shapes differ, flags are not boolean, there are fewer than two images, or
            `level` is not between 0 and 1.
    """
    for name, flags in (("first", first), ("second", second)):
        if flags.dtype != torch.bool or flags.ndim not in (1, 2) or flags.shape[-1] < 2:
            raise ValueError(
                f"`{name}` must be booleans [n] or [seeds, n] with n ≥ 2; got {flags.dtype} of "
                f"shape {list(flags.shape)}."
            )
    if first.shape != second.shape or first.numel() == 0:
        raise ValueError(
            "`first` and `second` must have the same shape, being on the same images; got "
            f"{list(first.shape)} and {list(second.shape)}."
        )
    _require_level(level)
    d = (first.double() - second.double()).reshape(-1, first.shape[-1])
    seeds, n = d.shape
    by_image = d.mean(0)
    center = float(by_image.sum()) / (n + 2)
    images = ((float(by_image.square().sum()) + 1) / (n + 2) - center**2) / (n + 2)
    models = float(d.mean(1).var()) / seeds if seeds > 1 else 0.0
    freedom = images**2 / (n - 1) + (models**2 / (seeds - 1) if seeds > 1 else 0.0)
    variance = images + models
    half = float(stats.t.ppf((1 + level) / 2, variance**2 / freedom)) * variance**0.5
    return Difference(float(d.mean()), (max(center - half, -1.0), min(center + half, 1.0)))


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1, as 0.95; got {level}.")
