"""Attacks by the sign of the gradient, within ε of every pixel and within the data's range."""

import torch
from torch import Tensor

from paramsym.robustness.gradients import Loss, Predict, gradient
from paramsym.robustness.requirements import (
    require_evaluation_mode,
    require_images,
    require_labels,
    require_positive,
    require_strength,
)


def fgsm(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    low: float,
    high: float,
    loss: Loss = "cross_entropy",
    batch: int = 256,
) -> Tensor:
    """The fast gradient sign method: one step of size ε (Goodfellow et al., 2015).

    What is attacked is `predict`: the single model, whose examples then transfer to an ensemble, or
    the ensemble itself, through `mean_probability` or `mean_logit`. Parameters, their gradients,
    the model's mode and the global random numbers stay as they are.

    Args:
        predict: From images to logits `[batch, classes]`, differentiable.
        images: `[n, …]`, floating, with values from `low` to `high`.
        labels: The right classes `[n]`, int64.
        eps: ε, the largest change of a pixel, in the unit of the data.
        low: The lowest value a pixel can have, as `Images.low`.
        high: The highest.
        loss: What is made large; see `scores`.
        batch: Images at a time.

    Returns:
        Images that differ from the given ones by at most ε (up to rounding), in the same range.

    Raises:
        ValueError: If the range is not that of the images, ε is larger than it, labels or logits
            do not fit, logits are not finite, or `predict` is in training mode or not
            differentiable.
    """
    return pgd(
        predict,
        images,
        labels,
        eps,
        # Any size of step does for ε = 0, where the images come back.
        step=eps or 1.0,
        iterations=1,
        low=low,
        high=high,
        loss=loss,
        batch=batch,
    )


def pgd(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    step: float,
    iterations: int,
    low: float,
    high: float,
    generator: torch.Generator | None = None,
    loss: Loss = "cross_entropy",
    batch: int = 256,
) -> Tensor:
    """Projected gradient descent: steps by the gradient's sign within ε (Madry et al., 2018).

    Args:
        predict: As of `fgsm`.
        images: As of `fgsm`.
        labels: As of `fgsm`.
        eps: As of `fgsm`.
        step: Size of a step, in the unit of the data.
        iterations: Number of steps; for 0 the start comes back.
        low: As of `fgsm`.
        high: As of `fgsm`.
        generator: Draws the start uniformly within ε; without one the start is the image.
        loss: As of `fgsm`.
        batch: Images at a time.

    Returns:
        As `fgsm`.

    Raises:
        ValueError: As `fgsm`; also if `step` is not positive or `iterations` is negative.
    """
    require_images(images, low, high)
    require_strength(eps, low, high)
    require_labels(labels, images)
    require_positive("step", step)
    require_positive("batch", batch)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
        raise ValueError(f"`iterations` must be an integer of at least 0; got {iterations!r}.")
    require_evaluation_mode(predict)
    images = images.detach()
    first = images.clone()
    if generator is not None:
        # Drawn for all at once, so that it does not depend on the batches.
        first = (first + torch.empty_like(first).uniform_(-eps, eps, generator=generator)).clamp(
            low, high
        )
    attacked = []
    parts = (images.split(batch), first.split(batch), labels.split(batch))
    for start, x, y in zip(*parts, strict=True):
        for _ in range(iterations):
            x = x + step * gradient(predict, x, y, loss).sign()
            x = (start + (x - start).clamp(-eps, eps)).clamp(low, high)
        attacked.append(x)
    return torch.cat(attacked)
