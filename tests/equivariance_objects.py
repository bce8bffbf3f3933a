"""Functions R^4 → R^p with the dimensions of their linear and affine symmetries."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Row:
    """A function of four inputs, and what is known of it.

    Attributes:
        name: Its name.
        sigma: The function.
        linear: Dimension of the linear group that acts on the input.
        affine: Dimension of the affine one.
        group: The linear group in words; `None` where it is not a known one.
        redundant: Number of relations of the output, in the linear and in the affine case.
    """

    name: str
    sigma: Callable[[Tensor], Tensor]
    linear: int
    affine: int
    group: str | None
    redundant: tuple[int, int] = (0, 0)


def norm(z: Tensor) -> Tensor:
    return z.norm(dim=-1, keepdim=True)


def gated(gate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda z: z[..., :2] * gate(z[..., 2:])


def layer_norm(eps: float) -> Callable[[Tensor], Tensor]:
    return lambda z: F.layer_norm(z, z.shape[-1:], eps=eps)


def rms_norm(eps: float) -> Callable[[Tensor], Tensor]:
    return lambda z: z / torch.sqrt(z.pow(2).mean(-1, keepdim=True) + eps)


def sorted_pairs(z: Tensor) -> Tensor:
    a, b = z[..., :2], z[..., 2:]
    return torch.cat([torch.maximum(a, b), torch.minimum(a, b)], -1)


def each_pair(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A radial function of the pairs (z₁, z₂) and (z₃, z₄)."""
    return lambda z: torch.cat([f(norm(y)) * y for y in (z[..., :2], z[..., 2:])], -1)


NONE = "none that is continuous"
SCALES_2 = "T₊(2) (other representation behind)"
SCALES_4 = "T₊(4) (other representation behind)"

TABLE = [
    Row("identity", lambda z: z, 16, 20, "GL(4)"),
    Row("relu", torch.relu, 4, 4, "T₊(4) of degree 1"),
    Row("leaky relu", lambda z: F.leaky_relu(z, 0.2), 4, 4, "T₊(4) of degree 1"),
    Row("abs", torch.abs, 4, 4, "T₊(4) of degree 1"),
    Row("relu²", lambda z: torch.relu(z) ** 2, 4, 4, "T₊(4) of degree 2"),
    Row("√relu", lambda z: torch.relu(z).sqrt(), 4, 4, "T₊(4) of degree 0.5"),
    Row("z³", lambda z: z**3, 4, 4, "T₊(4) of degree 3"),
    Row("radial", lambda z: torch.tanh(norm(z)) / norm(z) * z, 6, 6, "O(4)"),
    Row("r² z", lambda z: norm(z) ** 2 * z, 7, 7, "O(4) × T₊(1) on {0…3} of degree 3"),
    Row("radial pairs", each_pair(torch.tanh), 2, 2, "O(2) × 2 on {0,1}, {2,3}"),
    Row("complex", each_pair(lambda r: r), 4, 4, "ℂˣ × 2 on {0,1}, {2,3} of degree 2"),
    Row("norm", norm, 7, 7, "O(4) (lost behind) × T₊(1) on {0…3} (other representation behind)"),
    Row("sigmoid", torch.sigmoid, 0, 0, NONE),
    Row("tanh", torch.tanh, 0, 0, NONE),
    Row("gelu", F.gelu, 0, 0, NONE),
    Row("silu", F.silu, 0, 0, NONE),
    Row("softplus", F.softplus, 0, 0, NONE),
    Row("elu", F.elu, 0, 0, NONE),
    Row("sin", torch.sin, 0, 0, NONE),
    Row("exp", torch.exp, 0, 4, NONE),
    Row("z² + z", lambda z: z**2 + z, 0, 4, NONE),
    Row("softmax", lambda z: torch.softmax(z, -1), 4, 5, None, (0, 4)),
    Row("layer norm", layer_norm(0.0), 8, 9, None, (4, 4)),
    Row("layer norm, ε", layer_norm(0.1), 7, 8, None, (4, 4)),
    Row("RMS norm", rms_norm(0.0), 7, 7, "O(4) × T₊(1) on {0…3} of degree 0"),
    Row("RMS norm, ε", rms_norm(0.1), 6, 6, "O(4)"),
    Row("GLU", gated(torch.sigmoid), 2, 2, SCALES_2),
    Row("SwiGLU", gated(F.silu), 2, 2, SCALES_2),
    Row("GEGLU", gated(F.gelu), 2, 2, SCALES_2),
    Row("bilinear", gated(lambda z: z), 4, 4, SCALES_4),
    Row("ReGLU", gated(torch.relu), 4, 4, SCALES_4),
    Row(
        "maxout",
        lambda z: torch.maximum(z[..., :2], z[..., 2:]),
        2,
        4,
        "T₊(2) on {0,2}, {1,3} (other representation behind)",
    ),
    Row("groupsort", sorted_pairs, 6, 8, None),
    Row(
        "relu and identity",
        lambda z: torch.cat([torch.relu(z[..., :2]), z[..., 2:]], -1),
        6,
        8,
        "GL(2) on {2,3} × T₊(2) of degree 1",
    ),
]
