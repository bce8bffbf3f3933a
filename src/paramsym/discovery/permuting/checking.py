"""No discrete family reaches a user unless the function is unchanged, in float64.

Random words of all families together first; family by family where that fails. A false family that
passes one word by chance is caught by the next (docs/derivations.md §20).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paramsym.discovery.permuting.moving import move
from paramsym.discovery.point import Point
from paramsym.discovery.points import Points
from paramsym.discovery.recording import Recording
from paramsym.discovery.responding import silent_families
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.residuals import largest

DRAWS = (2, 16)
"""Fewest and most words."""
WORK = 2**25
"""Parameters that the words move in all, where that leaves more than the fewest."""


def check(
    families: Sequence[DiscreteFamily], points: Points, seed: int
) -> tuple[list[DiscreteFamily], list[str], float]:
    """The families that hold, marked verified; the names of those that do not; what was measured.

    The last is the largest relative change of an output under a word of what is kept.
    """
    if not families:
        return [], [], 0.0
    generator = torch.Generator().manual_seed(seed)
    point = points.near
    size = sum(p.numel() for p in point.params.values())
    draws = max(DRAWS[0], min(DRAWS[1], WORK // max(1, size)))
    kept, lost, measured = _surviving(list(families), point, generator, draws)
    # Lost by a bug of ours, or because this point is degenerate (dead channels), where others hold
    # for no better reason than that nothing depends on them.
    doubtful = [*lost, *silent_families(kept, point)]
    if doubtful and points.random is not None:
        _, lost, _ = _surviving(doubtful, points.random, generator, draws)
        names = {f.name for f in lost}
        kept = [f for f in families if f.name not in names]
        measured = _defect(kept, points.random, generator, draws)
    return [replace(f, verified=True) for f in kept], [f.name for f in lost], measured


def tolerance(recording: Recording) -> float:
    """A rounding bound: a permutation changes the order of summation only, so that every op may
    lose a few units in the last place."""
    return 64 * torch.finfo(torch.float64).eps * max(1, len(recording.records))


def _surviving(
    families: list[DiscreteFamily], point: Point, generator: torch.Generator, draws: int
) -> tuple[list[DiscreteFamily], list[DiscreteFamily], float]:
    measured = _defect(families, point, generator, draws)
    if measured <= tolerance(point.recording):
        return families, [], measured
    if len(families) == 1:
        return [], families, measured
    half = len(families) // 2
    left, lost_left, _ = _surviving(families[:half], point, generator, draws)
    right, lost_right, _ = _surviving(families[half:], point, generator, draws)
    return left + right, lost_left + lost_right, measured


def _defect(
    families: list[DiscreteFamily],
    point: Point,
    generator: torch.Generator,
    draws: int,
) -> float:
    """Largest relative change of an output under random words; stops at the first that fails."""
    worst = 0.0
    for k in range(draws if families else 0):
        word = [(f, _draw(f, generator, moving=k == 0)) for f in families]
        worst = largest(worst, point.change(move(word, point.params)))
        if not worst <= tolerance(point.recording):
            break
    return worst


def _draw(family: DiscreteFamily, generator: torch.Generator, *, moving: bool) -> Tensor:
    """A uniform element; where wanted, one that moves something."""
    g = family.group.sample(generator=generator)
    if moving and bool((g == family.group.identity()).all()):
        g = g.flip(-1) if isinstance(family.group, Permutations) else -g
    return g
