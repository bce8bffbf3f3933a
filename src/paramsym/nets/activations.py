"""Activations, by name or as modules."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn


@final
class PowerReLU(nn.Module):
    """max(0, z)^α, homogeneous of degree α (Example 3.3).

    Raises:
        ValueError: If `degree` is not positive and finite; the power would not be continuous at 0.
    """

    def __init__(self, degree: float) -> None:
        super().__init__()
        if not 0 < degree < math.inf:
            raise ValueError(
                f"`degree` must be positive and finite; got {degree}. Use 1 for ReLU itself."
            )
        self.degree = float(degree)

    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(z) ** self.degree

    def extra_repr(self) -> str:
        return f"degree={self.degree:g}"


@final
class Abs(nn.Module):
    """|z|, homogeneous of degree 1."""

    def forward(self, z: Tensor) -> Tensor:
        return z.abs()


@final
class LeakySquare(nn.Module):
    """LeakyReLU(z)² + 0.01 z, of slope 0.1 on the left; the activation of Figure 10 (Appendix I).

    No continuous linear symmetry: its two terms are homogeneous of degrees 2 and 1.
    """

    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.leaky_relu(z, 0.1).square() + 0.01 * z


@final
class Sin(nn.Module):
    """sin z, which has no continuous linear symmetry."""

    def forward(self, z: Tensor) -> Tensor:
        return z.sin()


def inverse_square(r: Tensor) -> Tensor:
    """The radial profile 1/(1 + r²), smooth and bounded."""
    return 1 / (1 + r * r)


@final
class Radial(nn.Module):
    """Radial rescaling σ(z) = f(‖z‖) z over the last axis; its symmetry is O(h) (Example 3.5).

    Args:
        profile: f, an elementwise function of the norms `[..., 1]`.
    """

    def __init__(self, profile: Callable[[Tensor], Tensor] = inverse_square) -> None:
        super().__init__()
        self.profile = profile

    def forward(self, z: Tensor) -> Tensor:
        return self.profile(torch.linalg.vector_norm(z, dim=-1, keepdim=True)) * z


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "leaky_square": LeakySquare,
    "abs": Abs,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sin": Sin,
    "radial": Radial,
}
"""Activations by name; beside these, `"relu^2"`, `"relu^1.5"`, … name powers of ReLU, and
`"leaky_relu(0.1)"` and so on name leaky ReLUs by their slope on the left."""

NAMES = ", ".join([*ACTIVATIONS, "relu^α", "leaky_relu(slope)"])


def named_activation(which: str | nn.Module) -> nn.Module:
    """The activation of that name, or the module itself.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor a module.
    """
    if isinstance(which, nn.Module):
        return which
    if not isinstance(which, str):
        raise TypeError(
            f"`activation` must be a name or a torch.nn.Module; got {type(which).__name__}. "
            f"Names are {NAMES}."
        )
    if which.startswith("relu^"):
        return PowerReLU(_number(which, which[5:], "behind 'relu^', as in 'relu^2'"))
    if which.startswith("leaky_relu("):
        slope = which.removeprefix("leaky_relu(").removesuffix(")")
        return nn.LeakyReLU(_number(which, slope, "for the slope, as in 'leaky_relu(0.1)'"))
    if which not in ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {NAMES}; got {which!r}.")
    return ACTIVATIONS[which]()


def _number(name: str, text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"`activation` must give a number {where}; got {name!r}.")
    return number
