"""Minimising on orbits against gradient descent in the same Lie algebra, to the same value."""

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.timing import Comparison
from paramsym import Symmetry, discover
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import WeightNorm, WeightRange
from paramsym.orbit.pulling_back import PulledBack

PAIRS = 3
RATES = (1e-4, 1e-3, 1e-2)
"""Of plain descent; the best of them is what we are held against."""
MOST = 500
"""Steps after which plain descent gives up."""
CLOSE = 1e-4
"""Both go on until this share of what is to be gained is left."""

Params = dict[str, Tensor]


def run() -> Iterator[Comparison]:
    """Weight norm and weight range of a ReLU net, and weight norm of a linear one."""
    torch.manual_seed(0)
    relu, linear = (_chain(kind) for kind in (nn.ReLU, nn.Identity))
    yield from _compared("weight norm, ReLU net, 256 scalings", relu, WeightNorm())
    yield from _compared("weight range, ReLU net, 256 scalings", relu, WeightRange())
    yield from _compared("weight norm, linear net, GL(32) × 2", linear, WeightNorm())


def _chain(kind: type[nn.Module]) -> tuple[Symmetry, Params]:
    width = 128 if kind is nn.ReLU else 32
    layers = [nn.Linear(64, width), kind(), nn.Linear(width, width), kind(), nn.Linear(width, 64)]
    net = nn.Sequential(*layers).double()
    params = {k: p.detach() for k, p in net.named_parameters()}
    symmetry = discover(net, (torch.randn(2, 64, dtype=torch.float64),))
    # Away from the balanced point that torch starts near.
    generator = torch.Generator().manual_seed(1)
    symmetry = symmetry.select(*(f.name for f in symmetry if f.ports))
    return symmetry, symmetry.act(symmetry.sample(0.5, generator=generator), params)


def _compared(
    name: str, model: tuple[Symmetry, Params], objective: Callable[[Params], Tensor]
) -> Iterator[Comparison]:
    symmetry, params = model
    best = minimise_on_orbit(symmetry, params, objective, iterations=1000, tolerance=1e-9)
    goal = best.value + CLOSE * (best.values[0] - best.value)
    enough = next(i for i, value in enumerate(best.values) if value <= goal)
    pulled = PulledBack(objective, symmetry.families, 1, double=True)
    steps, rate = min(_descent(pulled, params, rate, goal) for rate in RATES)
    ours, theirs = [], []
    for _ in range(PAIRS):
        begun = time.perf_counter()
        minimise_on_orbit(symmetry, params, objective, iterations=enough, tolerance=0.0)
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        _descent(pulled, params, rate, goal)
        theirs.append(time.perf_counter() - begun)
    title = f"{name}: {enough} steps of L-BFGS / {steps:g} of gradient descent"
    yield Comparison(title, tuple(ours), tuple(theirs), None)


def _descent(pulled: PulledBack, params: Params, rate: float, goal: float) -> tuple[float, float]:
    """Steps of constant size until the goal is reached, infinitely many if it is not; the rate."""
    point = pulled.at(params)
    for step in range(MOST):
        if point.value <= goal:
            return float(step), rate
        if not math.isfinite(point.value):
            break
        point = pulled.at(pulled.moved(point.params, -rate * point.gradient))
    return math.inf, rate
