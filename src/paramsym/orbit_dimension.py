"""Dimensions of orbits: by rank of the infinitesimal action, and at generic parameters."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from paramsym.action import tangent
from paramsym.family import Family
from paramsym.free_actions import acting_freely
from paramsym.groups import Group
from paramsym.sharded import whole

DENSE_LIMIT = 40_000_000
"""Largest matrix of tangents, in entries (320 MB in float64), that is built."""

GENERIC_LIMIT = 2e10
"""Most multiplications, generators² × parameters, that a generic dimension may take: a second."""

AT_ONCE = 128
"""Generators whose fields are computed together."""


def tangent_rank(
    families: Sequence[Family], params: Mapping[str, Tensor], *, symmetric: bool = False
) -> int:
    """Rank of the infinitesimal action of all families together, in float64.

    With `symmetric`, of the symmetric generators only: the number of independent conserved
    quantities of families that have laws, because M·θ is the gradient of Q_M up to a factor.

    Columns (generators) are normalised; a singular value counts above max(shape)·eps·largest, the
    rounding bound of a dense SVD.

    Raises:
        ValueError: If the matrix would have more than `DENSE_LIMIT` entries.
    """
    moved = sorted(set().union(*(family.moves for family in families)))
    total = sum(params[name].numel() for name in moved)
    generators = sum(f.group.symmetric_dim if symmetric else f.group.dim for f in families)
    if total * generators > DENSE_LIMIT:
        raise ValueError(
            f"`orbit_dim` needs a dense matrix of {generators} generators × {total} parameters, "
            f"more than {DENSE_LIMIT:.0e} entries. Use `symmetry.dim`, or `symmetry.select(...)` "
            "on a few families."
        )
    if total * generators == 0:
        return 0
    exact = {name: whole(p.detach()).double().cpu() for name, p in params.items()}
    rows = torch.cat(
        [
            fields(f, symmetric_basis(f.group) if symmetric else f.group.basis(), exact, moved)
            for f in families
        ]
    )
    norms = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(norms > 0, norms, 1)
    size = max(rows.shape)
    if rows.shape[1] > rows.shape[0]:  # the same singular values, of a smaller matrix
        rows = torch.linalg.qr(rows.T, mode="r").R
    values = torch.linalg.svdvals(rows)
    threshold = size * torch.finfo(torch.float64).eps * values[0]
    return int((values > threshold).sum())


def fields(
    family: Family, basis: Tensor, params: Mapping[str, Tensor], names: Iterable[str]
) -> Tensor:
    """A family's fields M·θ for some generators, `[generators, entries of these parameters]`.

    Args:
        family: The family.
        basis: Generators, `[generators, *shape of the group]`.
        params: The parameters θ, all that the family moves or reads.
        names: Parameters whose entries are wanted, in order.
    """
    names = list(names)

    def field(M: Tensor) -> Tensor:
        moved = tangent([(family, M)], params)
        return torch.cat([moved.get(k, torch.zeros_like(params[k])).flatten() for k in names])

    if not len(basis):
        return basis.new_zeros(0, sum(params[k].numel() for k in names))
    return vmap(field, chunk_size=AT_ONCE)(basis)


def symmetric_basis(group: Group) -> Tensor:
    """An orthonormal basis of the symmetric part of the algebra, `[symmetric_dim, *shape]`."""
    parts = torch.stack([group.symmetric(M) for M in group.basis()]).flatten(1)
    _, _, directions = torch.linalg.svd(parts, full_matrices=False)
    return directions[: group.symmetric_dim].reshape(group.symmetric_dim, *group.shape)


def generic_dim(
    families: Sequence[Family], shapes: Mapping[str, tuple[int, ...]], *, laws: bool = False
) -> int:
    """Dimension of the joint orbit at generic parameters; with `laws`, the number of independent
    conserved quantities of families that have one.

    Scalings are independent of one another and of the matrices (discovery removes those that a
    matrix family contains). Other families that share a parameter are coupled: their stabilizers
    can be smaller than apart (docs/derivations.md §6). Those that act freely nevertheless count in
    full; of the rest, the joint rank is computed at random parameters, or bounded by the sum of the
    closed forms where that is too large.
    """

    def own(family: Family) -> int:
        return family.law_dim if laws else family.dim

    families = families if laws else _beside_shifts(families, shapes)
    dim = sum(own(f) for f in families if f.group.diagonal)
    free, left = _freely(families)
    dim += sum(f.group.symmetric_dim if laws else f.group.dim for f in free)
    for coupled in _coupled(left):
        dim += own(coupled[0]) if len(coupled) == 1 else _coupled_dim(coupled, shapes, laws)
    return dim


def is_bound(
    families: Sequence[Family], shapes: Mapping[str, tuple[int, ...]], *, laws: bool = False
) -> bool:
    """Whether `generic_dim` is an upper bound: a joint rank was too large to compute."""
    _, left = _freely(families if laws else _beside_shifts(families, shapes))
    return any(len(c) > 1 and _is_too_large(c, shapes, laws) for c in _coupled(left))


def _beside_shifts(
    families: Sequence[Family], shapes: Mapping[str, tuple[int, ...]]
) -> list[Family]:
    """The families without those of spaces between matrices that shift in any way, both where they
    are written and where they are read: what these do, the shifts do (docs/derivations.md §33)."""
    shifting = {
        name
        for family in families
        if not family.ports and not family.has_law
        for term in family.terms
        if not term.sources and len(shapes[name := term.target.parameter]) == 2
        if family.group.dim == math.prod(shapes[name])
    }

    def is_between(family: Family) -> bool:
        sides = {port.dual for port in family.ports}
        return len(sides) == 2 and not family.terms and family.moves <= shifting

    return [family for family in families if not is_between(family)]


def _freely(families: Sequence[Family]) -> tuple[list[Family], list[Family]]:
    """Families that are no scalings: those that act freely, and the others."""
    others = [f for f in families if not f.group.diagonal]
    free = acting_freely(others)
    return free, [f for f in others if not any(f is other for other in free)]


def _is_too_large(
    families: Sequence[Family], shapes: Mapping[str, tuple[int, ...]], laws: bool
) -> bool:
    generators = sum(f.group.symmetric_dim if laws else f.group.dim for f in families)
    entries = _entries(families, shapes, symmetric=laws)
    return entries > DENSE_LIMIT or entries * generators > GENERIC_LIMIT


def _coupled_dim(families: list[Family], shapes: Mapping[str, tuple[int, ...]], laws: bool) -> int:
    if _is_too_large(families, shapes, laws):
        return sum(f.law_dim if laws else f.dim for f in families)
    names = set().union(*(f.moves | f.reads for f in families))
    generator = torch.Generator().manual_seed(0)
    draw = {
        k: torch.randn(shapes[k], dtype=torch.float64, generator=generator) for k in sorted(names)
    }
    return tangent_rank(families, draw, symmetric=laws)


def _entries(
    families: Sequence[Family], shapes: Mapping[str, tuple[int, ...]], *, symmetric: bool
) -> int:
    """Size of the matrix of tangents."""
    moved = set().union(*(family.moves for family in families))
    generators = sum(f.group.symmetric_dim if symmetric else f.group.dim for f in families)
    return sum(math.prod(shapes[name]) for name in moved) * generators


def _coupled(families: Iterable[Family]) -> list[list[Family]]:
    """Families in groups that share a moved parameter, directly or through others."""
    groups: list[tuple[set[str], list[Family]]] = []
    for family in families:
        names, members = set(family.moves), [family]
        apart = []
        for group in groups:
            if group[0] & names:
                names |= group[0]
                members = group[1] + members
            else:
                apart.append(group)
        groups = [*apart, (names, members)]
    return [members for _, members in groups]
