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

Steps = tuple[Callable[[], Any], ...]
"""What to call, in this order."""

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
        in_place: Of V, S and T, of the same strides: calls that write σ(V) into S, and calls that
            then replace T, a gradient with respect to σ(V), by that with respect to V.
    """

    value: Callable[[Tensor], Tensor]
    jacobian: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Tensor]
    in_place: Callable[[Tensor, Tensor, Tensor], tuple[Steps, Steps]]


def _elementwise(
    value: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    bend: Callable[[Tensor], Tensor],
    in_place: Callable[[Tensor, Tensor, Tensor], tuple[Steps, Steps]],
) -> Activation:
    return Activation(
        value,
        lambda V: torch.diag_embed(slope(V)),
        lambda V, T: torch.diag_embed(T * bend(V)),
        in_place,
    )


def _relu(V: Tensor, S: Tensor, T: Tensor) -> tuple[Steps, Steps]:
    backward = torch.ops.aten.threshold_backward.grad_input
    return (partial(torch.clamp_min, V, 0, out=S),), (partial(backward, T, V, 0, grad_input=T),)


def _leaky_relu(V: Tensor, S: Tensor, T: Tensor) -> tuple[Steps, Steps]:
    forward, backward = torch.ops.aten.leaky_relu.out, torch.ops.aten.leaky_relu_backward.grad_input
    return (
        (partial(forward, V, NEGATIVE_SLOPE, out=S),),
        (partial(backward, T, V, NEGATIVE_SLOPE, False, grad_input=T),),
    )


def _sigmoid(V: Tensor, S: Tensor, T: Tensor) -> tuple[Steps, Steps]:
    backward = torch.ops.aten.sigmoid_backward.grad_input
    return (partial(torch.sigmoid, V, out=S),), (partial(backward, T, S, grad_input=T),)


def _tanh(V: Tensor, S: Tensor, T: Tensor) -> tuple[Steps, Steps]:
    backward = (partial(torch.ops.aten.tanh_backward.grad_input, T, S, grad_input=T),)
    if V.dtype != torch.float64:
        return (partial(torch.tanh, V, out=S),), backward
    # tanh v = 2/(1 + e^{−2v}) − 1 takes a third of the time of torch's tanh in float64, and its
    # error is at most 2 eps, absolute.
    minus_one = torch.full_like(V, -1)
    forward = (
        partial(torch.add, V, V, out=S),
        partial(torch.sigmoid, S, out=S),
        partial(torch.add, minus_one, S, alpha=2, out=S),
    )
    return forward, backward


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


def _radial(V: Tensor, S: Tensor, T: Tensor) -> tuple[Steps, Steps]:
    """S = V/‖V‖² and (T − 2 S ⟨V, T⟩)/‖V‖², row by row.

    Rows are summed by a product with ones, in half the time of a sum.
    """
    products, ones = torch.empty_like(V), V.new_ones(V.shape[-1])
    square, along = (V.new_empty((*V.shape[:-1], 1)) for _ in range(2))
    rows = products.view(-1, V.shape[-1])
    return (
        partial(torch.mul, V, V, out=products),
        partial(torch.mv, rows, ones, out=square.view(-1)),
        partial(torch.div, V, square, out=S),
    ), (
        partial(torch.mul, V, T, out=products),
        partial(torch.mv, rows, ones, out=along.view(-1)),
        partial(T.addcmul_, S, along, value=-2),
        partial(T.div_, square),
    )


ACTIVATIONS: dict[str, Activation] = {
    "identity": _elementwise(
        lambda V: V,
        torch.ones_like,
        torch.zeros_like,
        lambda V, S, T: ((partial(S.copy_, V),), ()),
    ),
    "relu": _elementwise(
        torch.relu,
        lambda V: (V > 0).to(V.dtype),
        torch.zeros_like,
        _relu,
    ),
    "leaky_relu": _elementwise(
        lambda V: torch.nn.functional.leaky_relu(V, NEGATIVE_SLOPE),
        lambda V: torch.ones_like(V).masked_fill_(V <= 0, NEGATIVE_SLOPE),
        torch.zeros_like,
        _leaky_relu,
    ),
    "tanh": _elementwise(
        torch.tanh,
        lambda V: 1 - torch.tanh(V) ** 2,
        lambda V: -2 * torch.tanh(V) * (1 - torch.tanh(V) ** 2),
        _tanh,
    ),
    "sigmoid": _elementwise(
        torch.sigmoid,
        lambda V: torch.sigmoid(V) * torch.sigmoid(-V),
        lambda V: torch.sigmoid(V) * torch.sigmoid(-V) * (1 - 2 * torch.sigmoid(V)),
        _sigmoid,
    ),
    "radial": Activation(
        lambda V: V / (V * V).sum(-1, keepdim=True), _radial_jacobian, _radial_curvature, _radial
    ),
}
"""By name. `radial` is g(W)_i = W_i/‖W_i‖², row by row (Appendix G.2)."""
