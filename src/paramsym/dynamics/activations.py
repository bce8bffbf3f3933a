"""σ of the hidden layer and its first two derivatives: in formulas, and in place for many runs.

The in-place forms are what a step of gradient descent is made of. For small networks a step costs
as many torch calls as it has, about 1 µs each, so each form is as few calls as can be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

Calls = tuple[Callable[[], Any], ...]
"""What to call, in this order, with no arguments."""

NEGATIVE_SLOPE = 0.01
"""Of leaky ReLU, as torch's default."""


@final
@dataclass(frozen=True)
class Activation:
    """An activation of the rows of V, `[…, h, n]`.

    Attributes:
        value: σ(V).
        jacobian: ∂σ(V)_ak/∂V_al, `[…, h, n, n]`.
        curvature: Σ_k T_ak ∂²σ(V)_ak/∂V_al∂V_ap of V and T, `[…, h, n, n]`.
        forward: Of V and S, calls that write σ(V) into S.
        backward: Of V, S = σ(V) and T, calls that replace T, a gradient with respect to σ(V), by
            that with respect to V.
    """

    value: Callable[[Tensor], Tensor]
    jacobian: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Tensor]
    forward: Callable[[Tensor, Tensor], Calls]
    backward: Callable[[Tensor, Tensor, Tensor], Calls]


def _elementwise(
    value: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    bend: Callable[[Tensor], Tensor],
    forward: Callable[[Tensor, Tensor], Calls],
    backward: Callable[[Tensor, Tensor, Tensor], Calls],
) -> Activation:
    return Activation(
        value,
        lambda V: torch.diag_embed(slope(V)),
        lambda V, T: torch.diag_embed(T * bend(V)),
        forward,
        backward,
    )


def _tanh_forward(V: Tensor, S: Tensor) -> Calls:
    if V.dtype != torch.float64:
        return (partial(torch.tanh, V, out=S),)
    # tanh v = 2/(1 + e^{−2v}) − 1 takes a quarter of the time of torch's tanh in float64, and its
    # error is at most 2 eps, absolute.
    minus_one = torch.full_like(V, -1)
    return (
        partial(torch.add, V, V, out=S),
        partial(torch.sigmoid, S, out=S),
        partial(torch.add, minus_one, S, alpha=2, out=S),
    )


def _radial_jacobian(V: Tensor) -> Tensor:
    square = (V * V).sum(-1)[..., None, None]
    outer = V[..., :, None] * V[..., None, :]
    return (torch.eye(V.shape[-1], dtype=V.dtype, device=V.device) - 2 * outer / square) / square


def _radial_curvature(V: Tensor, T: Tensor) -> Tensor:
    square = (V * V).sum(-1)[..., None, None]
    along = (V * T).sum(-1)[..., None, None]
    eye = torch.eye(V.shape[-1], dtype=V.dtype, device=V.device)
    mixed = V[..., :, None] * T[..., None, :]
    outer = V[..., :, None] * V[..., None, :]
    return -2 * (along * eye + mixed + mixed.mT) / square**2 + 8 * along * outer / square**3


def _radial_forward(V: Tensor, S: Tensor) -> Calls:
    square = V.new_empty((*V.shape[:-1], 1))
    return (
        partial(torch.mul, V, V, out=S),
        partial(torch.sum, S, -1, True, out=square),
        partial(torch.div, V, square, out=S),
    )


def _radial_backward(V: Tensor, S: Tensor, T: Tensor) -> Calls:
    """(T − 2 S ⟨V, T⟩)/‖V‖² a row, with S = V/‖V‖² and so 1/‖V‖² = ‖S‖²."""
    products = torch.empty_like(V)
    along, inverse = (V.new_empty((*V.shape[:-1], 1)) for _ in range(2))
    return (
        partial(torch.mul, V, T, out=products),
        partial(torch.sum, products, -1, True, out=along),
        partial(torch.mul, S, S, out=products),
        partial(torch.sum, products, -1, True, out=inverse),
        partial(T.addcmul_, S, along, value=-2),
        partial(T.mul_, inverse),
    )


ACTIVATIONS: dict[str, Activation] = {
    "identity": _elementwise(
        lambda V: V,
        torch.ones_like,
        torch.zeros_like,
        lambda V, S: (partial(S.copy_, V),),
        lambda V, S, T: (),
    ),
    "relu": _elementwise(
        torch.relu,
        lambda V: (V > 0).to(V.dtype),
        torch.zeros_like,
        lambda V, S: (partial(torch.clamp_min, V, 0, out=S),),
        lambda V, S, T: (
            partial(torch.ops.aten.threshold_backward.grad_input, T, V, 0, grad_input=T),
        ),
    ),
    "leaky_relu": _elementwise(
        lambda V: torch.nn.functional.leaky_relu(V, NEGATIVE_SLOPE),
        lambda V: torch.ones_like(V).masked_fill_(V <= 0, NEGATIVE_SLOPE),
        torch.zeros_like,
        lambda V, S: (
            partial(torch.ops.aten.leaky_relu.out, V, NEGATIVE_SLOPE, out=S),
        ),
        lambda V, S, T: (
            partial(
                torch.ops.aten.leaky_relu_backward.grad_input,
                T, V, NEGATIVE_SLOPE, False, grad_input=T,
            ),
        ),
    ),
    "tanh": _elementwise(
        torch.tanh,
        lambda V: 1 - torch.tanh(V) ** 2,
        lambda V: -2 * torch.tanh(V) * (1 - torch.tanh(V) ** 2),
        _tanh_forward,
        lambda V, S, T: (partial(torch.ops.aten.tanh_backward.grad_input, T, S, grad_input=T),),
    ),
    "sigmoid": _elementwise(
        torch.sigmoid,
        lambda V: torch.sigmoid(V) * torch.sigmoid(-V),
        lambda V: torch.sigmoid(V) * torch.sigmoid(-V) * (1 - 2 * torch.sigmoid(V)),
        lambda V, S: (partial(torch.sigmoid, V, out=S),),
        lambda V, S, T: (partial(torch.ops.aten.sigmoid_backward.grad_input, T, S, grad_input=T),),
    ),
    "radial": Activation(
        lambda V: V / (V * V).sum(-1, keepdim=True),
        _radial_jacobian,
        _radial_curvature,
        _radial_forward,
        _radial_backward,
    ),
}  # fmt: skip
"""By name. `radial` is g(W)_i = W_i/‖W_i‖², row by row (Appendix G.2)."""
