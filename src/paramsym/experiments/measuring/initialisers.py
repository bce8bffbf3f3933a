"""Common initialisers of two-layer networks, and the moments of Q that they imply.

A two-layer network U σ(Vx + b) + c has Q_i = ‖V_i‖² + b_i² − ‖U_:i‖² for every neuron of a
homogeneous σ of degree 1, and Q = VVᵀ − UᵀU for σ = id without biases. Means and variances are
exact (docs/derivations.md §31).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from paramsym.nets import MLP

UNIFORM, NORMAL = 9 / 5, 3.0
"""Kurtosis, the fourth moment over the square of the variance."""


@final
@dataclass(frozen=True)
class Entries:
    """Independent entries of mean 0: their variance and kurtosis."""

    variance: float
    kurtosis: float

    @property
    def variance_of_square(self) -> float:
        """Var x²."""
        return (self.kurtosis - 1) * self.variance**2


@final
@dataclass(frozen=True)
class Moments:
    """What an initialiser implies for one width.

    Attributes:
        written: Mean of what writes to a neuron, ‖V_i‖² + b_i².
        read: Mean of what reads it, ‖U_:i‖².
        variance: Of Q_i.
        of_mean: Variance of the mean of Q_i over the layer.
        matrix: E tr(Q²)/h of the linear network without biases.
    """

    written: float
    read: float
    variance: float
    of_mean: float
    matrix: float

    @property
    def mean(self) -> float:
        """Of Q_i."""
        return self.written - self.read

    @property
    def relative_spread(self) -> float:
        """Standard deviation of Q_i over the mean size of its terms."""
        return math.sqrt(self.variance) / (self.written + self.read)


@final
@dataclass(frozen=True)
class Initialiser:
    """A way to draw a two-layer network.

    Attributes:
        label: For people.
        moments: Of Q at the widths (n, h, m).
        fill: Draws both weights, `[h, n]` and `[m, h]`, in place; `None` for what torch does.
    """

    label: str
    moments: Callable[[int, int, int], Moments]
    fill: Callable[[Tensor, Tensor, torch.Generator], object] | None

    def draw(
        self, widths: tuple[int, int, int], activation: str, generator: torch.Generator
    ) -> MLP:
        """A network in float64. Biases are 0, but for torch's own initialiser; a linear network,
        activation `"identity"`, has none."""
        bias = activation != "identity"
        net = MLP(widths, activation, bias=bias, dtype=torch.float64, generator=generator)
        if self.fill is not None:
            with torch.no_grad():
                first, second = (layer.get_parameter("weight") for layer in net.layers)
                self.fill(first, second, generator)
                for layer in net.layers if bias else ():
                    layer.get_parameter("bias").zero_()
        return net


def independent(
    n: int, h: int, m: int, first: Entries, second: Entries, bias: Entries | None = None
) -> Moments:
    """Of layers with independent entries."""
    b = bias or Entries(0, NORMAL)
    written, read = n * first.variance + b.variance, m * second.variance
    variance = n * first.variance_of_square + b.variance_of_square + m * second.variance_of_square
    spread = sum(k * e.variance**2 * (h - 2 + e.kurtosis) for k, e in ((n, first), (m, second)))
    mean = n * first.variance - read
    return Moments(written, read, variance, variance / h, mean**2 + spread)


def orthonormal(n: int, h: int, m: int) -> Moments:
    """Of uniform weights with orthonormal rows or columns, whichever are fewer."""
    p, q = min(n, h), min(m, h)
    variance = sum(2 * r * (h - r) / (h**2 * (h + 2)) for r in (p, q))
    return Moments(p / h, q / h, variance, 0.0, (p + q - 2 * p * q / h) / h)


def _torch(n: int, h: int, m: int) -> Moments:
    first = Entries(1 / (3 * n), UNIFORM)
    return independent(n, h, m, first, Entries(1 / (3 * h), UNIFORM), first)


def _xavier(n: int, h: int, m: int) -> Moments:
    return independent(n, h, m, Entries(2 / (n + h), UNIFORM), Entries(2 / (h + m), UNIFORM))


def _kaiming(n: int, h: int, m: int) -> Moments:
    return independent(n, h, m, Entries(2 / n, NORMAL), Entries(2 / h, NORMAL))


SMALL = 0.01


def _small(n: int, h: int, m: int) -> Moments:
    return independent(n, h, m, Entries(SMALL**2, NORMAL), Entries(SMALL**2, NORMAL))


def _mup(n: int, h: int, m: int) -> Moments:
    return independent(n, h, m, Entries(1 / n, NORMAL), Entries(1 / h**2, NORMAL))


def _both(fill: Callable[..., Tensor], **given: object) -> Callable[..., object]:
    def filled(first: Tensor, second: Tensor, generator: torch.Generator) -> None:
        for weight in (first, second):
            fill(weight, generator=generator, **given)

    return filled


def _fill_mup(first: Tensor, second: Tensor, generator: torch.Generator) -> None:
    nn.init.normal_(first, std=first.shape[1] ** -0.5, generator=generator)
    nn.init.normal_(second, std=1 / second.shape[1], generator=generator)


INITIALISERS = {
    "torch": Initialiser("PyTorch's default", _torch, None),
    "xavier": Initialiser("Xavier, uniform", _xavier, _both(nn.init.xavier_uniform_)),
    "kaiming": Initialiser(
        "Kaiming, normal", _kaiming, _both(nn.init.kaiming_normal_, nonlinearity="relu")
    ),
    "orthogonal": Initialiser("orthogonal", orthonormal, _both(nn.init.orthogonal_)),
    "small": Initialiser(f"normal, std {SMALL}", _small, _both(nn.init.normal_, std=SMALL)),
    "mup": Initialiser("μP-like, readers 1/h", _mup, _fill_mup),
}
"""PyTorch's default is uniform with variance 1/(3 fan_in), biases too; the others are those of
Glorot and Bengio (2010), He et al. (2015), Saxe et al. (2014), a small normal one, and a standard
deviation of 1/h for the readers as in μP (Yang and Hu, 2021)."""
