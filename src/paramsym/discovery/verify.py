"""Numerical verification: no family reaches a user unless the function is unchanged.

Everything runs in float64 at generic parameters and inputs (`points`).
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from paramsym.action import act, tangent
from paramsym.discovery.points import Point, Points
from paramsym.discovery.recording import TORCH, Recording, replay
from paramsym.discovery.responding import silent_families
from paramsym.family import Exactness, Family
from paramsym.residuals import largest, relative_change, relative_size
from paramsym.symmetry import Verification

SCALE = 0.1


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
        seed: Seed of the elements and of random ops.

    Returns:
        The families that hold, marked verified if the outputs respond to them at all, with measured
        defects where they are exact only as ε → 0; and what was measured.
    """
    generator = torch.Generator().manual_seed(seed)
    point = points.near
    kept, lost, measured = _surviving(families, point, generator, seed)
    # Lost by a bug of ours, or because this point is degenerate (dead channels), where others hold
    # for no better reason than that nothing depends on them.
    unheard = silent_families(kept, point, seed)
    doubtful = [*lost, *unheard]
    if doubtful and points.random is not None:
        _, lost, _ = _surviving(doubtful, points.random, generator, seed)
        names = {family.name for family in lost}
        kept = [family for family in families if family.name not in names]
        measured = _measure(kept, points.random, generator, seed)
        unheard = [family for family in unheard if family.name not in names]
        unheard = silent_families(unheard, points.random, seed, wholly=True)
    if unheard:
        unheard = silent_families(unheard, point, seed, wholly=True)
    marked = _with_defects(kept, recording, point, generator, seed)
    silent = {family.name for family in unheard}
    marked = [replace(f, verified=False) if f.name in silent else f for f in marked]
    return marked, replace(measured, withdrawn=tuple(family.name for family in lost))


def _surviving(
    families: list[Family], point: Point, generator: torch.Generator, seed: int
) -> tuple[list[Family], list[Family], Verification]:
    """All families if one joint element leaves the outputs alone; otherwise by bisection."""
    measured = _measure(families, point, generator, seed)
    if measured.holds:
        return families, [], measured
    if len(families) == 1:
        return [], families, measured
    half = len(families) // 2
    left, lost_left, _ = _surviving(families[:half], point, generator, seed)
    right, lost_right, _ = _surviving(families[half:], point, generator, seed)
    return left + right, lost_left + lost_right, measured


def _measure(
    families: list[Family], point: Point, generator: torch.Generator, seed: int
) -> Verification:
    """What a joint element and a joint generator do to the outputs."""
    word = _sample(families, generator)
    return Verification(
        _defect(families, word, point, seed),
        _derivative(families, point, generator, seed),
        _tolerance(families, word, point),
    )


def _with_defects(
    families: list[Family],
    recording: Recording,
    point: Point,
    generator: torch.Generator,
    seed: int,
) -> list[Family]:
    """Mark as verified; measure what the model's own ε costs, jointly for all families it does."""
    guarded = [family for family in families if family.exactness.as_eps_vanishes]
    exactness = Exactness(as_eps_vanishes=True)
    if guarded:
        outputs = replay(recording, point.params, point.inputs, seed=seed)
        own = replace(point, recording=recording, outputs=outputs)
        exactness = replace(
            exactness, defect=_defect(guarded, _sample(guarded, generator), own, seed)
        )
    return [
        replace(family, verified=True, exactness=exactness)
        if family.exactness.as_eps_vanishes
        else replace(family, verified=True)
        for family in families
    ]


def _sample(families: list[Family], generator: torch.Generator) -> list[Tensor]:
    return [f.group.sample(SCALE, generator=generator, discrete=True) for f in families]


def _defect(families: list[Family], word: list[Tensor], point: Point, seed: int) -> float:
    """Relative change of the outputs under a word."""
    moved = act(zip(families, word, strict=True), point.params)
    outputs = replay(point.recording, moved, point.inputs, seed=seed)
    changes = (relative_change(a, b) for a, b in zip(outputs, point.outputs, strict=True))
    return largest(0.0, *changes)


def _derivative(
    families: list[Family], point: Point, generator: torch.Generator, seed: int
) -> float | None:
    """Relative derivative of the outputs along a generator of size 1; `None` where an op of the
    model has no forward derivative."""
    if any(_is_custom(record.target) for record in point.recording.records):
        return None
    parts = [(f, f.group.sample_algebra(generator=generator)) for f in families]
    field = tangent(parts, point.params)
    real = {k: p for k, p in point.params.items() if p.is_floating_point()}
    direction = {k: field.get(k, torch.zeros_like(p)) for k, p in real.items()}

    def run(params: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return tuple(replay(point.recording, {**point.params, **params}, point.inputs, seed=seed))

    try:
        changes = torch.func.jvp(run, (real,), (direction,))[1]
    except (NotImplementedError, RuntimeError):
        return None
    sizes = (relative_size(d, b) for d, b in zip(changes, point.outputs, strict=True))
    measured = largest(0.0, *sizes)
    # Where an activation has no derivative (√ at 0) there is nothing to measure.
    return measured if math.isfinite(measured) else None


def _is_custom(target: Any) -> bool:
    """Whether an op is not torch's own: torch drops tangents at such ops without an error."""
    return getattr(target, "namespace", "aten") not in TORCH


def _tolerance(families: list[Family], word: list[Tensor], point: Point) -> float:
    """A rounding bound: every op may lose a few units in the last place, and every element passes
    its condition number on, once where it is written and once where it is read."""
    amplified = (
        _amplification(family, g, point.params)
        if family.group.linear(g) is None
        else _condition(g) ** 2
        for family, g in zip(families, word, strict=True)
    )
    depth = max(1, len(point.recording.records))
    return 64 * torch.finfo(torch.float64).eps * depth * max(amplified, default=1.0)


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
