"""Any floating dtype, and several at once."""

import math
from collections.abc import Mapping

import torch

import paramsym as ps
from tests.laws.measure import TINY, largest, sample
from tests.laws.subject import Subject


def _roundings(name: str, families: ps.Symmetry, g: ps.GroupElement) -> float:
    """Bound on the norm-wise relative error of one moved parameter, in units of eps.

    A letter rounds its own entries and the result; inner products of length n accumulate in at
    least float32, and their terms exceed the result by at most √n times the condition number.
    """
    total = 1.0
    for family in families:
        if name in family.moves:
            degree = max((abs(port.degree) for port in family.ports), default=1.0)
            length = 1 if family.group.diagonal else family.group.n
            total += degree * math.sqrt(length) * g.condition()
    return total


def agreement(subject: Subject, rng: torch.Generator, dtypes: Mapping[str, torch.dtype]) -> float:
    """`act` keeps each parameter's dtype and agrees with float64 to the coarsest of them."""
    g = sample(subject, rng)
    low = {k: p.to(dtypes[k]) for k, p in subject.params.items()}
    moved = subject.symmetry.act(g, low)
    if any(moved[k].dtype != dtypes[k] for k in low):
        return math.inf
    exact = subject.symmetry.act(g, {k: p.double() for k, p in low.items()})
    coarsest = max(torch.finfo(dtype).eps for dtype in dtypes.values())
    return largest(
        *(
            float((moved[k] - exact[k]).norm() / (exact[k].norm() + TINY))
            / (coarsest * _roundings(k, subject.symmetry, g))
            for k in exact
        )
    )


def float32(subject: Subject, rng: torch.Generator) -> float:
    """On float32 parameters `act` stays float32 and agrees to that precision."""
    return agreement(subject, rng, dict.fromkeys(subject.params, torch.float32))


def bfloat16(subject: Subject, rng: torch.Generator) -> float:
    """On bfloat16 parameters `act` stays bfloat16 and agrees to that precision."""
    return agreement(subject, rng, dict.fromkeys(subject.params, torch.bfloat16))


def mixed_precision(subject: Subject, rng: torch.Generator) -> float:
    """Parameters of several dtypes keep theirs (gains in float32, weights in bfloat16)."""
    dtypes = {
        k: torch.float32 if p.ndim == 1 else torch.bfloat16 for k, p in subject.params.items()
    }
    low = {k: p.to(dtypes[k]) for k, p in subject.params.items()}
    M = subject.symmetry.sample_algebra(generator=rng)
    field = subject.symmetry.tangent(M, low)
    if any(field[k].dtype != dtypes[k] for k in low):
        return math.inf
    exact = subject.symmetry.tangent(M, {k: p.double() for k, p in low.items()})
    gap = math.sqrt(sum(float((field[k] - exact[k]).square().sum()) for k in exact))
    size = math.sqrt(sum(float(v.square().sum()) for v in exact.values()))
    fields = 1 + len(subject.symmetry)
    worst = gap / (fields * torch.finfo(torch.bfloat16).eps * size)
    moments = subject.symmetry.moment(low, low)
    if not all(bool(P.isfinite().all()) for P in moments.values()):
        return math.inf
    return largest(worst, agreement(subject, rng, dtypes))
