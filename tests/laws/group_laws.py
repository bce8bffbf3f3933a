"""The laws of a group, its algebra and its representation, as residuals over rounding bounds."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from paramsym.groups import Group
from tests.laws.measure import EPS, largest

GroupLaw = Callable[[Group, torch.Generator], float]

SCALE = 0.5
"""Spread of the drawn generators; exp of it has condition numbers below about 100."""


def _draw(group: Group, rng: torch.Generator) -> Tensor:
    return group.sample(SCALE, generator=rng, discrete=True)


def _near(a: Tensor, b: Tensor, group: Group, *elements: Tensor) -> float:
    """Difference over 64·n·eps·(product of the elements' norms): products of n terms each."""
    size = max(1.0, float(b.abs().max()))
    for g in elements:
        size *= max(1.0, float(g.abs().max())) ** 2
    return float((a - b).abs().max()) / (64 * (group.n + 1) * EPS * size)


def _truth(holds: bool) -> float:
    return 0.0 if holds else float("inf")


def associativity(group: Group, rng: torch.Generator) -> float:
    g, h, k = (_draw(group, rng) for _ in range(3))
    left = group.compose(group.compose(g, h), k)
    return _near(left, group.compose(g, group.compose(h, k)), group, g, h, k)


def unit(group: Group, rng: torch.Generator) -> float:
    g, e = _draw(group, rng), group.identity()
    return largest(_near(group.compose(e, g), g, group), _near(group.compose(g, e), g, group))


def inverse(group: Group, rng: torch.Generator) -> float:
    g, e = _draw(group, rng), group.identity()
    back = group.inverse(g)
    sides = group.compose(g, back), group.compose(back, g)
    return largest(*(_near(side, e, group, g, back) for side in sides))


def closure(group: Group, rng: torch.Generator) -> float:
    """Products, inverses and exponentials are elements."""
    g, h = _draw(group, rng), _draw(group, rng)
    made = (g, group.compose(g, h), group.inverse(g), group.identity())
    shaped = all(x.shape == group.shape for x in made)
    return _truth(shaped and all(group.contains(x) for x in made))


def subgroups(group: Group, rng: torch.Generator) -> float:
    """exp(sM) exp(tM) = exp((s+t)M)."""
    M = group.sample_algebra(SCALE, generator=rng)
    together = group.compose(group.exp(0.3 * M), group.exp(0.7 * M))
    return _near(together, group.exp(M), group, group.exp(0.3 * M), group.exp(0.7 * M))


def velocity(group: Group, rng: torch.Generator) -> float:
    """d/dt exp(tM) = M at t = 0, in the group's own coordinates (scales for a scaling)."""
    M = group.sample_algebra(SCALE, generator=rng)
    zero = torch.zeros((), dtype=torch.float64)
    slope = torch.func.jvp(lambda t: group.exp(t * M), (zero,), (zero + 1,))[1]
    return _near(slope, M, group)


def projection(group: Group, rng: torch.Generator) -> float:
    """`project` is the orthogonal projection onto an algebra of `dim` dimensions."""
    P, R = (torch.randn(group.shape, dtype=torch.float64, generator=rng) for _ in range(2))
    once = group.project(P)
    twice = _near(group.project(once), once, group)
    pairings = torch.stack([(once * R).sum(), (P * group.project(R)).sum()])
    return largest(twice, _near(pairings[0], pairings[1], group, P, R))


def basis(group: Group, rng: torch.Generator) -> float:
    """`basis` is orthonormal, lies in the algebra and spans it."""
    E = group.basis()
    if tuple(E.shape) != (group.dim, *group.shape):
        return float("inf")
    if not group.dim:
        return 0.0
    flat = E.flatten(1)
    M = group.sample_algebra(generator=rng).flatten()
    gram = _near(flat @ flat.T, torch.eye(group.dim, dtype=torch.float64), group)
    spans = _near(flat.T @ (flat @ M), M, group)
    inside = all(group.contains_algebra(x) for x in E)
    return largest(gram, spans, _truth(inside))


def splitting(group: Group, rng: torch.Generator) -> float:
    """M is its symmetric, its antisymmetric and its translation part, each in the algebra."""
    if not group.dim:
        return 0.0
    M = group.sample_algebra(generator=rng)
    S, A = group.symmetric(M), group.antisymmetric(M)
    linear = group.linear_only(M)
    if group.linear(M) is None:
        return largest(_near(S, M, group), _near(A, torch.zeros_like(A), group))
    if not group.diagonal:
        adjoints = largest(_near(S.mT, S, group), _near(-A.mT, A, group))
    else:
        adjoints = _near(A, torch.zeros_like(A), group)
    inside = all(group.contains_algebra(x) for x in (S, A, *[linear] * group.splits))
    whole = _near(S + A, linear, group) if group.splits else 0.0
    return largest(whole, adjoints, _truth(inside))


def symmetric_dimension(group: Group, rng: torch.Generator) -> float:
    """`symmetric_dim` is the rank of the symmetric part."""
    parts = [group.symmetric(E).flatten() for E in group.basis()]
    rank = int(torch.linalg.matrix_rank(torch.stack(parts))) if parts else 0
    return _truth(rank == group.symmetric_dim)


def representation(group: Group, rng: torch.Generator) -> float:
    """`linear` is a homomorphism, and `translation` a cocycle: t(gh) = A(g) t(h) + t(g)."""
    g, h = _draw(group, rng), _draw(group, rng)
    gh = group.compose(g, h)
    A, B, AB = group.linear(g), group.linear(h), group.linear(gh)
    t, s, ts = group.translation(g), group.translation(h), group.translation(gh)
    worst = 0.0
    if A is not None and B is not None and AB is not None:
        worst = _near(A * B if group.diagonal else A @ B, AB, group, g, h)
    if t is not None and s is not None and ts is not None:
        moved = s if A is None else (A @ s.reshape(group.copies, group.n, 1)).reshape(s.shape)
        worst = largest(worst, _near(moved + t, ts, group, g, h))
    return worst


def parts(group: Group, rng: torch.Generator) -> float:
    """`from_parts` puts an algebra element together again."""
    M = group.sample_algebra(generator=rng)
    return _near(group.from_parts(group.linear(M), group.translation(M)), M, group)


GROUP_LAWS: Mapping[str, GroupLaw] = {
    law.__name__: law
    for law in (
        associativity,
        unit,
        inverse,
        closure,
        subgroups,
        velocity,
        projection,
        basis,
        splitting,
        symmetric_dimension,
        representation,
        parts,
    )
}
"""Every law of a group by name."""
