"""What rounding of parameters does to the points that they are moved to."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.orbit.canonical_fixing import Fixing

Params = Mapping[str, Tensor]

SEED = 20230501
EPS = torch.finfo(torch.float64).eps


def in_units_of_rounding(points: Sequence[tuple[Fixing, Params]]) -> float:
    """The distance of two points, in units of what rounding does to them: the largest over
    parameters, of the norm and of the largest entry.

    Every entry x of the parameters from which a point was made is changed to x(1 + εr), with r
    uniform between −1 and 1, and follows the same word. Errors of single entries are independent,
    so that what is seen at random is what rounding does, in norm and size; bounds by condition
    numbers would be far too large.

    Args:
        points: Two points, each with the parameters from which it was made.
    """
    rng = torch.Generator().manual_seed(SEED)
    moved = [_moved_by_rounding(point, params, rng) for point, params in points]
    (first, _), (second, _) = points
    size = max(_norm(p) for p in second.now.values() if p.is_floating_point())
    worst = 0.0
    for name, p in first.now.items():
        if not p.is_floating_point():
            continue
        gap = p - second.now[name]
        for measure in (_norm, _largest):
            rounding = sum(measure(change[name]) for change in moved)
            worst = max(worst, measure(gap) / (rounding + EPS * size))
    return worst


def _moved_by_rounding(point: Fixing, params: Params, rng: torch.Generator) -> dict[str, Tensor]:
    rounded = {
        k: p.double() * (1 + point.eps * (2 * _uniform(p, rng) - 1)) if p.is_floating_point() else p
        for k, p in params.items()
    }
    there = act(point.word, rounded)
    return {k: there[k] - p for k, p in point.now.items() if p.is_floating_point()}


def _uniform(p: Tensor, rng: torch.Generator) -> Tensor:
    return torch.rand(p.shape, generator=rng, dtype=torch.float64)


def _norm(p: Tensor) -> float:
    return float(p.norm())


def _largest(p: Tensor) -> float:
    return float(p.abs().max()) if p.numel() else 0.0
