"""The gradient of an attacked score in the images, and in nothing else."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from paramsym.robustness.requirements import require_logits

Predict = Callable[[Tensor], Tensor]
"""From images `[batch, …]` to logits `[batch, classes]`, differentiable."""

Loss = Literal["cross_entropy", "margin"]


def scores(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """What an attack makes large, for each image: `[batch]`.

    The cross-entropy, or the margin max_{j≠y} z_j − z_y by which another class wins, whose gradient
    does not vanish where the model is sure.

    Raises:
        ValueError: If the loss is unknown.
    """
    if loss == "cross_entropy":
        return nn.functional.cross_entropy(logits, labels, reduction="none")
    if loss != "margin":
        raise ValueError(f"`loss` must be 'cross_entropy' or 'margin'; got {loss!r}.")
    own = labels.unsqueeze(1)
    others = logits.scatter(1, own, -torch.inf).amax(1)
    return others - logits.gather(1, own).squeeze(1)


def gradient(predict: Predict, images: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """The gradient of each image's score in its pixels; parameters get none.

    Raises:
        ValueError: If the logits do not fit, or do not depend on the images differentiably, or the
            gradient is not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Copies, since autograd refuses what comes from an inference mode.
        x, labels = images.detach().clone().requires_grad_(), labels.clone()
        logits = predict(x)
        require_logits(logits, labels)
        found = None
        if logits.requires_grad:
            total = scores(logits, labels, loss).sum()
            (found,) = torch.autograd.grad(total, x, allow_unused=True)
    if found is None:
        raise ValueError(
            "`predict` must be differentiable in the images; its logits do not depend on them by "
            "differentiable operations. A vote is not: attack `mean_probability` or `mean_logit`, "
            "and do not detach inside."
        )
    if not bool(torch.isfinite(found).all()):
        raise ValueError(
            "the gradient of `predict` in the images must be finite; it is NaN or infinite in "
            f"{int((~torch.isfinite(found)).sum()):,} of {found.numel():,} entries."
        )
    return found


class InputsOnly(torch.autograd.Function):
    """Logits whose backward pass reaches the images alone, whoever calls it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, predict: Predict) -> Tensor:
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.logits = predict(ctx.x)
        return ctx.logits.detach().clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (found,) = torch.autograd.grad(ctx.logits, ctx.x, grad_outputs[0], retain_graph=True)
        return found, None
