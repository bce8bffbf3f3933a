"""Newton's method for the conserved quantities of coupled families of any kind.

The Gram matrix of the generators, ⟨M_i·θ, M_j·θ⟩, is never formed: conjugate gradients apply it by
the infinitesimal action and the moment map (docs/derivations.md §24).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from paramsym.action import tangent
from paramsym.family import Family
from paramsym.moment_map import moment, moments
from paramsym.orbit.target_matrices import lyapunov, symmetric_exp
from paramsym.orbit.target_spaces import as_element, grams, linear_part

Params = Mapping[str, Tensor]
Field = dict[str, Tensor]

STEPS = 200
"""Most steps of conjugate gradients."""


def newton_step(families: Sequence[Family], gaps: Field, params: Params, accuracy: float) -> Field:
    """Symmetric generators x along which Q changes by the gaps, to first order.

    For laws quadratic in θ, dQ = 2Gx with the Gram matrix G; for linear ones Gx.

    Args:
        families: Families with a law.
        gaps: What is missing in the Q of each.
        params: Parameters that they move or read.
        accuracy: Relative accuracy of the linear equations.
    """
    moved_names = frozenset[str]().union(*(f.moves for f in families))
    reached = {k: params[k] for k in params if k in moved_names}
    right = {f.name: gaps[f.name] / (2 if f.ports else 1) for f in families}
    precondition = _preconditioner(families, params)

    def product(x: Field) -> Field:
        moved = tangent([(f, x[f.name]) for f in families], params)
        covector = {k: moved[k] if k in moved else torch.zeros_like(p) for k, p in reached.items()}
        found = moments(families, params, covector)
        return {f.name: f.group.symmetric(found[f.name]).double().cpu() for f in families}

    x = {k: torch.zeros_like(v) for k, v in right.items()}
    residual = right
    z = precondition(residual)
    direction, now = z, _dot(residual, z)
    goal = accuracy**2 * now
    for _ in range(STEPS):
        if now <= goal or now <= 0:
            break
        image = product(direction)
        curvature = _dot(direction, image)
        if curvature <= 0:
            break
        x = _sum(x, direction, now / curvature)
        residual = _sum(residual, image, -now / curvature)
        z = precondition(residual)
        following = _dot(residual, z)
        direction = _sum(z, direction, following / now)
        now = following
    return x


def _preconditioner(families: Sequence[Family], params: Params) -> Callable[[Field], Field]:
    inverses = {family.name: _inverse(family, params) for family in families}
    return lambda r: {name: inverses[name](value) for name, value in r.items()}


def _inverse(family: Family, params: Params) -> Callable[[Tensor], Tensor]:
    """The family's own block of the Gram matrix, inverted."""
    group = family.group
    if group.diagonal or not family.ports:
        if family.ports:
            diagonal = scale_squares(family, params, 2)
        else:
            ones = torch.ones(group.shape, dtype=torch.float64)
            moved = tangent([(family, ones)], params)
            covector = {k: moved.get(k, torch.zeros_like(p)) for k, p in params.items()}
            diagonal = moment(family, params, covector).double().cpu().abs()
        safe = torch.where(diagonal > 0, 1 / torch.where(diagonal > 0, diagonal, 1.0), 0.0)
        return lambda r: safe * r
    A, B = grams(family, params)

    def solve(r: Tensor) -> Tensor:
        M = lyapunov(A + B, 2 * linear_part(family, r))
        padded = group.from_parts(M, M.new_zeros(M.shape[:2]) if group.translates else None)
        return group.symmetric(group.project(padded))

    return solve


def scale_squares(family: Family, params: Params, power: int) -> Tensor:
    """Σ |d|^power w of every coordinate of a scaling."""
    total = torch.zeros(family.group.shape, dtype=torch.float64)
    for port in family.ports:
        alone = Family(family.name, family.group, (port,))
        share = moment(alone, params, params).double().cpu().abs()
        total = total + share * abs(port.degree) ** (power - 1)
    return total


def exponential(family: Family, M: Tensor) -> Tensor:
    """exp of a symmetric generator of the family."""
    if family.group.diagonal or not family.ports:
        return family.group.exp(M)
    return as_element(family, symmetric_exp(linear_part(family, M)))


def spectral(family: Family, M: Tensor) -> float:
    """Largest eigenvalue, in size, of a symmetric generator."""
    if not family.ports:  # translations are linear: no step is too long
        return 1e-300 if bool(M.any()) else 0.0
    if family.group.diagonal:
        return float(M.abs().max())
    return float(torch.linalg.matrix_norm(linear_part(family, M), 2).max())


def _dot(a: Field, b: Field) -> float:
    return sum(float((a[k] * b[k]).sum()) for k in a)


def _sum(a: Field, b: Field, factor: float) -> Field:
    return {k: a[k] + factor * b[k] for k in a}


def norm(a: Field) -> float:
    """√Σ of squares of all entries."""
    return _dot(a, a) ** 0.5
