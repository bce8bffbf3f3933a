"""What an attack needs of its arguments, and the errors where they are not so."""

import math

import torch
from torch import Tensor, nn

from paramsym.data.images import require_range

# In training mode these change what is attacked, or draw from the global random numbers.
UNSTEADY = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def require_images(images: Tensor, low: float, high: float) -> None:
    """Raise unless images are floating, `[batch, …]`, with all values from `low` to `high`."""
    require_range(low, high)
    if not images.is_floating_point() or images.ndim < 2:
        raise ValueError(
            "`images` must be a floating tensor [batch, …]; got "
            f"{images.dtype} of shape {list(images.shape)}."
        )
    inside = (images >= low) & (images <= high)
    if not bool(inside.all()):
        lowest, highest = float(images.min()), float(images.max())
        raise ValueError(
            f"`images` must have values from `low` = {low:g} to `high` = {high:g}, the range in "
            f"which an attack stays; {int((~inside).sum()):,} of {images.numel():,} are not, and "
            f"they go from {lowest:g} to {highest:g}. Clipping them would change the images "
            "themselves. Pass the range of the data."
        )


def require_strength(eps: float, low: float, high: float) -> None:
    """Raise unless the strength is in the unit of the data."""
    if not 0 <= eps <= high - low:
        raise ValueError(
            f"`eps` must be between 0 and the width of the range, {high - low:g}, in the unit of "
            f"the data; got {eps}. Divide by 255 if it counts levels of a byte."
        )


def require_positive(name: str, value: float) -> None:
    """Raise unless a number is positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be positive and finite; got {value}.")


def require_labels(labels: Tensor, images: Tensor) -> None:
    """Raise unless there is an int64 label from 0 for every image."""
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"`labels` must be int64 of shape [{len(images)}], one for each image; got "
            f"{labels.dtype} of shape {list(labels.shape)}."
        )


def require_logits(logits: object, labels: Tensor, name: str = "predict") -> None:
    """Raise unless logits are finite `[batch, classes]`, with a class for every label."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(labels):
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"`{name}` must give logits [batch, classes], here [{len(labels)}, classes]; got "
            f"{got}. Attack an ensemble through `mean_probability` or `mean_logit`."
        )
    if not logits.is_floating_point():
        raise ValueError(f"`{name}` must give floating logits; got {logits.dtype}.")
    wrong = ~torch.isfinite(logits).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"`{name}` must give finite logits; for {int(wrong.sum())} of {len(logits)} images "
            "they are NaN or infinite. An ill-conditioned ensemble or a diverged model does this."
        )
    classes = logits.shape[1]
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        raise ValueError(
            f"`labels` must be from 0 to {classes - 1}, because `{name}` gives {classes} logits; "
            f"got {int(labels[outside][0])}."
        )


def require_evaluation_mode(predict: object) -> None:
    """Raise if a module has batch norm or dropout in training mode."""
    if not isinstance(predict, nn.Module):
        return
    for name, module in predict.named_modules():
        if module.training and isinstance(module, UNSTEADY):
            raise ValueError(
                f"`predict` must be in evaluation mode, because its {type(module).__name__} "
                f"{name!r} would change with every run; call `.eval()` first."
            )
