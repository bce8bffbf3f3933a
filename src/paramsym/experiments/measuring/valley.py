"""Gradient flows of the scalar network UVX into the valley of ‖Y − UVX‖² (Figures 1 and 8)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym import Symmetry, discover, gradient_flow
from paramsym.experiments.experiment import Arrays, Finished, Settings, Task

TIME = 20.0
"""Both losses decay like e^{−8t} at the slowest minimum, so that this is the limit to rounding."""

RTOL = 1e-12
SPREAD = 1.5
"""Standard deviation of random starts."""

RANDOM = 16
"""Random starts a seed."""

PRECISION = 1e-9
"""Relative error that a flow at `RTOL` may have at its end: some hundred steps' worth."""

U, V = "U.weight", "V.weight"


@final
@dataclass(frozen=True)
class Valley:
    """The loss a(Y − UVX)² of two numbers U, V.

    Attributes:
        Y: Target, not 0.
        X: Sample, not 0.
        a: 1 in Figure 1 and ½ in Figure 8.
    """

    Y: float
    X: float
    a: float

    @property
    def product(self) -> float:
        """UV at the minimum."""
        return self.Y / self.X

    def loss(self, params: Mapping[str, Tensor]) -> Tensor:
        """A scalar: the sum over entries of U and V, which are separate networks."""
        return self.a * (self.Y - params[U] * params[V] * self.X).square().sum()

    def gradient(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """∇L (eq. (109), times 2a)."""
        slope = -2 * self.a * self.X * (self.Y - params[U] * params[V] * self.X)
        return {U: slope * params[V], V: slope * params[U]}

    def largest_eigenvalue(self, up: Tensor, v: Tensor) -> Tensor:
        """Of the Hessian at one point, by automatic differentiation."""
        point = torch.stack([up, v])
        return torch.linalg.eigvalsh(
            torch.func.hessian(lambda p: self.loss({U: p[0], V: p[1]}))(point)
        )[-1]

    def at(self, Q: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        """The point with U > 0, UV = product and U² − V² = Q."""
        root = torch.hypot(Q, 2 * product)
        # One factor without cancellation, the other from the product.
        large = ((Q.abs() + root) / 2).sqrt()
        small = product / large
        up = torch.where(Q >= 0, large, small.abs())
        return up, torch.where(Q >= 0, small, large.copysign(product))

    def sharpness(self, Q: Tensor) -> Tensor:
        """The Hessian's eigenvalue across the minimum, 2aX²√(Q² + 4Y²/X²) (corrects eq. (111))."""
        return 2 * self.a * self.X**2 * torch.hypot(Q, torch.tensor(2 * self.product).to(Q))


@cache
def symmetry() -> Symmetry:
    """That of x ↦ UVx for numbers U and V: V ↦ gV and U ↦ Ug⁻¹ for g > 0."""
    model = nn.Sequential()
    model.add_module("V", nn.Linear(1, 1, bias=False))
    model.add_module("U", nn.Linear(1, 1, bias=False))
    return discover(model.double(), (torch.ones(1, 1, dtype=torch.float64),))


def act(g: Tensor, up: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """(U, V) moved by g, entry by entry of tensors of the same shape."""
    (family,) = symmetry()

    def move(g: Tensor, up: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        moved = symmetry().act(
            {family.name: g.reshape(1)}, {U: up.reshape(1, 1), V: v.reshape(1, 1)}
        )
        return moved[U].reshape(()), moved[V].reshape(())

    return torch.vmap(move)(g, up, v)


def tasks(valley: Valley, shown: list[tuple[float, float]], settings: Settings) -> list[Task]:
    """Flows from the starts that are drawn, and from random ones for every seed."""
    common = {"Y": valley.Y, "X": valley.X, "a": valley.a, "time": TIME, "points": 241}
    starts = [list(start) for start in shown]
    return [Task("flows drawn", flow, {**common, "starts": starts})] + [
        Task(
            f"{RANDOM} flows, seed {seed}",
            flow,
            {**common, "seed": seed, "count": RANDOM, "spread": SPREAD},
        )
        for seed in settings.repetitions
    ]


def flow(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Gradient flow from S starts, given as (U, V) or drawn.

    Args:
        settings: `Y`, `X`, `a`, `time` and `points`, with `starts` or `seed`, `count`, `spread`.
        folder: Not used.

    Returns:
        `times` `[T]`, denser at the start; `U`, `V`, `Q` = U² − V² and `loss` `[S, T]`; `sharpness`
        `[S]`, the largest eigenvalue of the Hessian at the end, by automatic differentiation.
    """
    valley = Valley(settings["Y"], settings["X"], settings["a"])
    times = settings["time"] * torch.linspace(0, 1, settings["points"], dtype=torch.float64) ** 3
    starts = _starts(settings)
    # One system of all flows, which do not touch one another.
    path = gradient_flow(
        valley.loss, {U: starts[:, 0], V: starts[:, 1]}, times, rtol=RTOL, gradient=valley.gradient
    )
    up, v = path.params[U].T.contiguous(), path.params[V].T.contiguous()
    return {
        "times": times,
        "U": up,
        "V": v,
        "Q": conserved(up, v),
        "loss": valley.a * (valley.Y - up * v * valley.X).square(),
        "sharpness": torch.vmap(valley.largest_eigenvalue)(up[:, -1], v[:, -1]),
    }


def conserved(up: Tensor, v: Tensor) -> Tensor:
    """Q = U² − V² entry by entry: the engine's quantity, writers minus readers, with a minus."""
    (family,) = symmetry()

    def one(up: Tensor, v: Tensor) -> Tensor:
        params = {U: up.reshape(1, 1), V: v.reshape(1, 1)}
        return -symmetry().conserved(params)[family.name].reshape(())

    return torch.vmap(one)(up.flatten(), v.flatten()).reshape(up.shape)


def _starts(settings: Mapping[str, Any]) -> Tensor:
    if "starts" in settings:
        return torch.tensor(settings["starts"], dtype=torch.float64)
    generator = torch.Generator().manual_seed(settings["seed"])
    draws = torch.randn(settings["count"], 2, generator=generator, dtype=torch.float64)
    return settings["spread"] * draws


def split(results: list[Finished]) -> tuple[Finished, list[Finished]]:
    """The flows that are drawn, and those of each seed."""
    drawn = next(r for r in results if "starts" in r.task.settings)
    return drawn, [r for r in results if "seed" in r.task.settings]


def joined(results: list[Finished]) -> dict[str, Tensor]:
    """All flows of several tasks, less the times that they share."""
    return {k: torch.cat([r[k] for r in results]) for k in results[0].arrays if k != "times"}


def drift(flows: Mapping[str, Tensor]) -> Tensor:
    """The largest change of Q along each flow, relative to U² + V² at its start, `[S]`."""
    size = flows["U"][:, 0].square() + flows["V"][:, 0].square()
    return (flows["Q"] - flows["Q"][:, :1]).abs().amax(1) / size


def position(up: Tensor, v: Tensor) -> Tensor:
    """½log(U/V): 0 at U = V; a scaling by g moves it by −log|g|."""
    return (up / v).log() / 2


def missed(valley: Valley, flows: Mapping[str, Tensor]) -> Tensor:
    """Distance of each end to the minimum with the Q of the start, relative to its norm, `[S]`."""
    Q = flows["Q"][:, 0]
    up, v = valley.at(Q, torch.full_like(Q, valley.product))
    ends = flows["U"][:, -1], flows["V"][:, -1]
    side = ends[0].sign()
    return torch.hypot(ends[0] - side * up, ends[1] - side * v) / torch.hypot(up, v)


def starts_on(valley: Valley, levels: tuple[float, ...], products: tuple[float, ...]) -> list[Any]:
    """Starts (U, V) with every Q of `levels` and every UV of `products`, and their negatives.

    With Q = 0 and a product below 0 there is none that flows to the minimum but to the saddle.
    """
    found: list[tuple[float, float]] = []
    for Q in levels:
        for product in products:
            if Q == 0 and product <= 0:
                continue
            point = valley.at(*(torch.tensor(x, dtype=torch.float64) for x in (Q, product)))
            pair = (float(point[0]), float(point[1]))
            assert math.isfinite(pair[0])
            found += [pair, (-pair[0], -pair[1])]
    return found
