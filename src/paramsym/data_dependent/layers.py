"""The data-dependent action on a plain network, at a sample or a batch.

F(x) = W_L σ_{L−1}(… σ_1(W_1 x + b_1) …) + b_L. One hidden layer is Theorem 4.1 / D.4, more are
Proposition D.5, with biases and an activation of its own for every layer.

Proposition D.5 is corrected here. With Z_i = W_i σ_{i−1}(Z_{i−1}) + b_i the new weights are
W_i' = g_i W_i R_{σ(Z)} R_{σ(gZ)}⁻¹, where σ, g and Z are those of layer i−1 in both places, for
i = 2, …, L with g_L = 1, and W_1' = g_1 W_1. The printed formula has σ_i in the second place and
leaves out the last layer; it changes the outputs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from paramsym.data_dependent.batch import QR
from paramsym.data_dependent.cocycle import Activation, OneSample, Variant
from paramsym.data_dependent.requirements import (
    require_finite,
    require_float,
    require_invertible,
    require_square,
)


class Affine(NamedTuple):
    """A layer x ↦ W x + b.

    Attributes:
        weight: W, `[..., m, n]`.
        bias: b, `[..., m]`, or `None`.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs `[..., k, m]` for inputs `[..., k, n]`."""
        out = x @ self.weight.mT
        return out if self.bias is None else out + self.bias.unsqueeze(-2)


def forward(layers: Sequence[Affine], activations: Sequence[Activation], x: Tensor) -> Tensor:
    """F(x) for inputs `[n]` or `[..., k, n]`."""
    _require_layers(layers, activations, x)
    values = x[None] if x.ndim == 1 else x
    for layer, activation in zip(layers, activations, strict=False):
        values = activation(layer(values))
    values = layers[-1](values)
    return values.squeeze(-2) if x.ndim == 1 else values


def act_on_layers(
    g: Sequence[Tensor],
    layers: Sequence[Affine],
    activations: Sequence[Activation],
    x: Tensor,
    variant: Variant | None = None,
    *,
    check: bool = False,
) -> list[Affine]:
    """The network moved by g at the inputs x, which computes the same outputs there.

    With a variant that keeps the axioms it is an action of GL(h_1) × … × GL(h_{L−1}) on pairs of
    parameters and inputs, eq. (7) and Proposition D.5 as corrected above.

    Args:
        g: An invertible matrix `[..., h_i, h_i]` for each hidden layer.
        layers: The L layers.
        activations: σ_1, …, σ_{L−1}.
        x: One input `[n]`, or k of them `[..., k, n]` that the same new weights must serve.
        variant: The choice of cocycle; by default `OneSample()` for one input, else `QR()`.
        check: Also check values: all finite, g invertible, hidden states on the locus.

    Returns:
        The new layers. Weights have the leading axes of x and g.

    Raises:
        ValueError: If a number, shape or, with `check`, a value does not fit.
        TypeError: If an argument is not a floating-point tensor.
    """
    _require_layers(layers, activations, x)
    if len(g) != len(activations):
        raise ValueError(
            f"`g` must hold one matrix for each of {len(activations)} hidden layers; got {len(g)}."
        )
    for i, matrix in enumerate(g):
        require_float(f"g[{i}]", matrix)
        h = layers[i].weight.shape[-2]
        require_square(matrix, h, f"`layers[{i}]` writes to R^{h}", f"g[{i}]")
    if check:
        _require_values(g, layers, x)
    values = x[None] if x.ndim == 1 else x
    if variant is None:
        variant = OneSample() if values.shape[-2] == 1 else QR()
    moved = [layer.weight for layer in layers]
    biases = [layer.bias for layer in layers]
    for i, (matrix, activation) in enumerate(zip(g, activations, strict=True)):
        z = layers[i](values)
        values = activation(z)
        pi = variant.reader(matrix, z, activation, check=check)
        bias = biases[i]
        moved[i] = matrix @ moved[i]
        biases[i] = None if bias is None else (matrix @ bias.unsqueeze(-1)).squeeze(-1)
        moved[i + 1] = pi.transpose(moved[i + 1])
    return [Affine(weight, bias) for weight, bias in zip(moved, biases, strict=True)]


def _require_layers(layers: Sequence[Affine], activations: Sequence[Activation], x: Tensor) -> None:
    if len(layers) != len(activations) + 1 or not activations:
        raise ValueError(
            "`activations` must hold one function for each of at least one hidden layer, that is "
            f"one fewer than `layers`; got {len(activations)} for {len(layers)} layers."
        )
    require_float("x", x)
    width, source = x.shape[-1] if x.ndim else 0, "`x`"
    for i, layer in enumerate(layers):
        require_float(f"layers[{i}].weight", layer.weight)
        if layer.weight.ndim < 2 or layer.weight.shape[-1] != width:
            raise ValueError(
                f"`layers[{i}].weight` must have shape [m, {width}], because {source} has {width} "
                f"coordinates; got {list(layer.weight.shape)}."
            )
        width, source = layer.weight.shape[-2], f"`layers[{i}]`"
        if layer.bias is not None and layer.bias.shape[-1:] != (width,):
            raise ValueError(
                f"`layers[{i}].bias` must have shape [{width}]; got {list(layer.bias.shape)}."
            )


def _require_values(g: Sequence[Tensor], layers: Sequence[Affine], x: Tensor) -> None:
    require_finite("x", x)
    for i, layer in enumerate(layers):
        require_finite(f"layers[{i}].weight", layer.weight)
        if layer.bias is not None:
            require_finite(f"layers[{i}].bias", layer.bias)
    for i, matrix in enumerate(g):
        require_invertible(f"g[{i}]", matrix)
