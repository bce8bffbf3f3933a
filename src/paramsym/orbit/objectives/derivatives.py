"""The gradient of a loss, as a graph that can be differentiated again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Loss = Callable[[dict[str, Tensor]], Tensor]


def gradient(loss: Loss, params: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """∇L with its graph, and the tensors that it is taken in: all parameters of real numbers."""
    given = {
        k: p if p.requires_grad or not p.is_floating_point() else p.detach().requires_grad_()
        for k, p in params.items()
    }
    leaves = [p for p in given.values() if p.is_floating_point()]
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        value = loss(given)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"`loss` must return a scalar tensor of real numbers; got {got}.")
        if not value.requires_grad:
            raise ValueError(
                "`loss` does not depend on the parameters, or not by differentiable operations."
            )
        parts = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
    return list(parts), leaves


@final
@dataclass(frozen=True)
class GradientNorm:
    """The squared norm ‖∇L‖² of a loss's gradient in all parameters.

    Large where gradient descent moves fast at first: to maximise it is symmetry teleportation (Zhao
    et al., *Symmetry teleportation for accelerated optimization*, NeurIPS 2022).

    Attributes:
        loss: From a parameter dict to a scalar.
    """

    loss: Loss

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        parts, _ = gradient(self.loss, params)
        return torch.stack([part.square().sum() for part in parts]).sum()
