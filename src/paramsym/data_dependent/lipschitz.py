"""How far a network moved by g can be from Lipschitz-small (Proposition 4.2).

Proposition 4.2 holds, but its printed proof bounds F(x₁ − x₂) and not F(x₁) − F(x₂). With
U' = Uπ, V' = gV and an activation of Lipschitz constant η,
‖F(x₁) − F(x₂)‖ ≤ η‖U'‖‖V'‖‖x₁ − x₂‖ ≤ η‖U‖‖π‖‖g‖‖V‖‖x₁ − x₂‖, for every variant; for one sample
‖π‖ = ‖σ(Vx)‖/‖σ(gVx)‖. The remark behind eq. (9) has ‖c(g, Vx)⁻¹‖ instead of ‖g‖‖c⁻¹‖, which is
too small: with σ = id and g = 10·I it is ten times below the true constant.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.data_dependent.cocycle import Activation, LinearMap
from paramsym.data_dependent.layers import Affine
from paramsym.data_dependent.requirements import require_finite, require_float, require_square


@final
@dataclass(frozen=True, eq=False)
class LipschitzBounds:
    """Bounds on the Lipschitz constant of x ↦ U' σ(V' x + b'), each a tensor of leading shape.

    Attributes:
        printed: η‖U‖‖π‖‖g‖‖V‖, Proposition 4.2.
        tight: η‖Uπ‖‖gV‖, between the two others.
        measured: The largest ‖Jacobian‖ at the points given: below the true constant. `None` where
            no points were given.
    """

    printed: Tensor
    tight: Tensor
    measured: Tensor | None = None


def lipschitz_bounds(
    g: Tensor,
    pi: LinearMap,
    writer: Affine,
    reader: Affine,
    eta: float,
    *,
    activation: Activation | None = None,
    points: Tensor | None = None,
) -> LipschitzBounds:
    """Bounds for a two-layer network moved by g, from the unmoved layers.

    Args:
        g: The matrix `[h, h]`.
        pi: What the reader is multiplied by: `variant.reader(g, z, activation)`.
        writer: V and b before the move.
        reader: U before the move.
        eta: Lipschitz constant of the activation (1/4 for a sigmoid, 1 for tanh and ReLU).
        activation: σ, for the measured value.
        points: Inputs `[p, n]` at which to measure it.

    Raises:
        ValueError: If eta is not a positive number, g or the points have another shape or are not
            finite, or only one of `activation` and `points` is given.
        TypeError: If g is not a floating-point tensor.
    """
    if not 0 < eta < float("inf"):
        raise ValueError(f"`eta` must be a positive Lipschitz constant of σ; got {eta}.")
    if (activation is None) != (points is None):
        raise ValueError("`activation` and `points` must be given together, to measure.")
    U, V = reader.weight, writer.weight
    h, n = V.shape[-2:]
    require_float("g", g)
    require_square(g, h, f"`writer` writes to R^{h}")
    require_finite("g", g)
    if points is not None and (points.ndim != 2 or points.shape[-1] != n):
        raise ValueError(f"`points` must have shape [p, {n}]; got {list(points.shape)}.")
    moved, turned = g @ V, pi.transpose(U)
    spread = pi.matrix(U, U.shape[-1])
    printed = eta * _size(U) * _size(spread) * _size(g) * _size(V)
    tight = eta * _size(turned) * _size(moved)
    if activation is None or points is None:
        return LipschitzBounds(printed, tight)
    bias = None if writer.bias is None else g @ writer.bias
    front = Affine(moved, bias)

    def output(x: Tensor) -> Tensor:
        return (activation(front(x[None])) @ turned.mT)[0]

    slopes = torch.func.vmap(torch.func.jacrev(output))(points)
    return LipschitzBounds(printed, tight, _size(slopes).amax())


def _size(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, 2)
