"""Small networks as plain functions of a parameter dict and one input, written out by hand."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Params = dict[str, Tensor]
Network = tuple[Callable[..., Tensor], Params]
Activation = Callable[[Tensor], Tensor]


def normal(seed: int, **shapes: tuple[int, ...]) -> Params:
    """Normal parameters of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def identity(z: Tensor) -> Tensor:
    return z


def leaky(z: Tensor) -> Tensor:
    return torch.where(z > 0, z, 0.2 * z)


def squared(z: Tensor) -> Tensor:
    return torch.relu(z) ** 2


def radial(z: Tensor) -> Tensor:
    return torch.tanh(z.norm()) / z.norm() * z


def cubic_radial(z: Tensor) -> Tensor:
    """f(r) = r², so that σ(z) = ‖z‖² z is homogeneous of degree 3."""
    return (z @ z) * z


def rms(z: Tensor) -> Tensor:
    return z / z.pow(2).mean().sqrt()


def perceptron(activation: Activation, *widths: int, bias: bool = False, seed: int = 0) -> Network:
    """Layers of these widths; the last has no activation."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (n, m) in enumerate(pairwise(widths)):
        shapes[f"W{i}"] = (m, n)
        if bias:
            shapes[f"b{i}"] = (m,)

    def function(params: Params, x: Tensor) -> Tensor:
        for i in range(len(widths) - 1):
            x = params[f"W{i}"] @ (activation(x) if i else x)
            x = x + params[f"b{i}"] if bias else x
        return x

    return function, normal(seed, **shapes)


def attention(width: int, key: int, value: int, *, bias: bool = False) -> Network:
    """One head, whose logits are not scaled, on a sequence `[length, width]`."""
    shapes = {"Q": (width, key), "K": (width, key), "V": (width, value), "O": (value, width)}
    if bias:
        shapes |= {"q": (key,), "k": (key,), "v": (value,), "o": (width,)}

    def function(params: Params, x: Tensor) -> Tensor:
        q, k, v = (x @ params[name] for name in "QKV")
        if bias:
            q, k, v = q + params["q"], k + params["k"], v + params["v"]
        outputs = torch.softmax(q @ k.mT, dim=-1) @ v @ params["O"]
        return outputs + params["o"] if bias else outputs

    return function, normal(0, **shapes)
