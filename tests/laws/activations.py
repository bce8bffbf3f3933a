"""Activations by name, with the symmetry that each leaves to its layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """An activation on the last axis and the kind of linear equivariance that it has.

    Attributes:
        kind: The group: scalings, general linear, affine or orthogonal.
        degree: α of homogeneous activations.
        smooth: Whether gradient flow through it can be integrated to high order.
    """

    apply: Callable[[Tensor], Tensor]
    kind: Literal["scaling", "linear", "affine", "radial"]
    degree: float = 1.0
    smooth: bool = False


def relu_power(alpha: float) -> Callable[[Tensor], Tensor]:
    """ReLU^α as z₊^(α−1)·z₊, so that the derivative at z < 0 is 0 and not NaN."""
    return lambda z: torch.where(z > 0, z, 1).pow(alpha) * (z > 0)


def radial(z: Tensor) -> Tensor:
    """A radial rescaling: z tanh‖z‖."""
    return z * torch.linalg.vector_norm(z, dim=-1, keepdim=True).tanh()


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(lambda z: z, "linear", smooth=True),
    "identity_affine": Activation(lambda z: z, "affine", smooth=True),
    "relu": Activation(torch.relu, "scaling"),
    "leaky_relu": Activation(lambda z: torch.where(z > 0, z, 0.1 * z), "scaling"),
    "absolute": Activation(torch.abs, "scaling"),
    "relu_1.5": Activation(relu_power(1.5), "scaling", 1.5),
    "relu_2": Activation(relu_power(2.0), "scaling", 2.0),
    "relu_3": Activation(relu_power(3.0), "scaling", 3.0),
    "square": Activation(torch.square, "scaling", 2.0, smooth=True),
    "cube": Activation(lambda z: z**3, "scaling", 3.0, smooth=True),
    "radial": Activation(radial, "radial", smooth=True),
}
"""Every activation whose layers have a linear symmetry; a new entry is tested by all laws."""
