"""Numerical verification: no family reaches a user unless the function is unchanged.

Everything runs in float64 at generic parameters and inputs (`points`). Of large matrix groups the
elements and generators are of low rank beside the unit, which costs little; such ones generate the
group (docs/derivations.md §32).
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from paramsym.action import Letter, act
from paramsym.discovery.point import Point
from paramsym.discovery.points import Points
from paramsym.discovery.recording import TORCH, Record, Recording
from paramsym.discovery.responding import silent_families
from paramsym.evidence import Verification
from paramsym.family import Exactness, Family
from paramsym.groups import LowRank
from paramsym.moment_map import pairings

SCALE = 0.1
"""Spread of the elements; those of low rank, which move less, are drawn with size 1."""


def verify(
    families: list[Family],
    recording: Recording,
    points: Points,
    seed: int,
) -> tuple[list[Family], Verification]:
    """Check families together; withdraw what fails.

    Args:
        families: What discovery found.
        recording: The model's run.
        points: Where to check: points of the same run in the limit ε → 0.
        seed: Seed of the elements.

    Returns:
        The families that hold, marked verified if the outputs respond to them at all, with measured
        defects where they are exact only as ε → 0; and what was measured.
    """
    generator = torch.Generator().manual_seed(seed)
    point = points.near
    kept, lost, measured = _surviving(families, point, generator)
    # Lost by a bug of ours, or because this point is degenerate (dead channels), where others hold
    # for no better reason than that nothing depends on them.
    unheard = silent_families(kept, point)
    doubtful = [*lost, *unheard]
    if doubtful and points.random is not None:
        _, lost, _ = _surviving(doubtful, points.random, generator)
        names = {family.name for family in lost}
        kept = [family for family in families if family.name not in names]
        measured = _measure(kept, points.random, generator)
        unheard = [family for family in unheard if family.name not in names]
        unheard = silent_families(unheard, points.random, wholly=True)
    if unheard:
        unheard = silent_families(unheard, point, wholly=True)
    marked = _with_defects(kept, recording, point, generator)
    silent = {family.name for family in unheard}
    marked = [replace(f, verified=False) if f.name in silent else f for f in marked]
    return marked, replace(measured, withdrawn=tuple(family.name for family in lost))


def _surviving(
    families: list[Family], point: Point, generator: torch.Generator
) -> tuple[list[Family], list[Family], Verification]:
    """All families if one joint element leaves the outputs alone; otherwise by bisection."""
    measured = _measure(families, point, generator)
    if measured.holds:
        return families, [], measured
    if len(families) == 1:
        return [], families, measured
    half = len(families) // 2
    left, lost_left, _ = _surviving(families[:half], point, generator)
    right, lost_right, _ = _surviving(families[half:], point, generator)
    return left + right, lost_left + lost_right, measured


def _measure(families: list[Family], point: Point, generator: torch.Generator) -> Verification:
    """What a joint element does to the outputs, and what generators do."""
    word = _sample(families, generator)
    return Verification(
        point.change(act(zip(families, word, strict=True), point.params)),
        _derivative(families, point, generator),
        _tolerance(families, word, point),
    )


def _with_defects(
    families: list[Family], recording: Recording, point: Point, generator: torch.Generator
) -> list[Family]:
    """Mark as verified; measure what the model's own ε costs, jointly for all families it does."""
    guarded = [family for family in families if family.exactness.as_eps_vanishes]
    exactness = Exactness(as_eps_vanishes=True)
    if guarded:
        word = zip(guarded, _sample(guarded, generator), strict=True)
        defect = point.change_of(recording, act(word, point.params))
        exactness = replace(exactness, defect=defect)
    return [
        replace(family, verified=True, exactness=exactness)
        if family.exactness.as_eps_vanishes
        else replace(family, verified=True)
        for family in families
    ]


def _sample(families: list[Family], generator: torch.Generator) -> list[Letter]:
    return [
        f.group.sample_low_rank(1.0, generator=generator)
        or f.group.sample(SCALE, generator=generator, discrete=True)
        for f in families
    ]


def _derivative(families: list[Family], point: Point, generator: torch.Generator) -> float | None:
    """Largest derivative of a random function of the outputs along a generator of size 1 of a
    family; `None` where there is no gradient.

    The function is of size 1; its gradient is orthogonal to the orbit (Proposition 3.4).
    """
    if any(map(_has_other_gradient, point.recording.records)):
        return None
    gradient = point.gradient
    if gradient is None:
        return None
    parts = [
        (
            f,
            f.group.sample_low_rank_algebra(generator=generator)
            or f.group.sample_algebra(generator=generator),
        )
        for f in families
    ]
    measured = pairings(parts, point.params, gradient).values()
    # Where an activation has no derivative (√ at 0) there is nothing to measure.
    finite = [abs(value) for value in measured if math.isfinite(value)]
    return max(finite, default=None if measured else 0.0)


_PUTS = ("scatter", "index_put", "index_copy", "put", "masked_scatter")
"""Ops that put entries where data say; of two at one place torch gives both a gradient."""


def _has_other_gradient(record: Record) -> bool:
    """Whether the gradient need not be the derivative: that of an op which is not torch's own is
    what its author says."""
    custom = getattr(record.target, "namespace", "aten") not in TORCH
    return custom or record.op.removesuffix("_") in _PUTS


def _tolerance(families: list[Family], word: list[Letter], point: Point) -> float:
    """A rounding bound: every op may lose a few units in the last place, and every element passes
    its condition number on, once where it is written and once where it is read."""
    amplified = map(_passed_on, families, word, [point.params] * len(families))
    depth = max(1, len(point.recording.records))
    return 64 * torch.finfo(torch.float64).eps * depth * max(amplified, default=1.0)


def _passed_on(family: Family, g: Letter, params: Mapping[str, Tensor]) -> float:
    if isinstance(g, LowRank):
        return g.condition() ** 2
    if family.group.linear(g) is None:
        return _amplification(family, g, params)
    return _condition(g) ** 2


def _amplification(family: Family, shift: Tensor, params: Mapping[str, Tensor]) -> float:
    """How much larger than its size a translation makes parameters: what it divides by may be
    small."""
    divided = [
        float(source.read(params).abs().max())
        for term in family.terms
        for source in term.sources
        if source.power == -1
    ]
    return 1.0 + float(shift.abs().max()) * max(divided, default=1.0)


def _condition(g: Tensor) -> float:
    if g.ndim < 2 or g.shape[-1] != g.shape[-2]:
        size = g.abs().clamp_min(torch.finfo(g.dtype).tiny)
        return float(size.max() / size.min()) if size.min() > 1e-12 else 1.0
    return float(torch.linalg.cond(g).max())
