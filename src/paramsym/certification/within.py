"""Families of a block of parameters: those that move nothing else, and combinations of others."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import final

import torch
from torch import Tensor

from paramsym.certification.jacobian import Jacobian, Params
from paramsym.certification.null_space import triangular
from paramsym.family import Family
from paramsym.orbit_dimension import fields

COMBINED = 10_000_000
"""Largest matrix of fields of families that reach outside of a block, in entries, of which the
combinations that stay inside are looked for."""

VANISHES = 1e-10
"""What may be left outside of a combination of fields of length 1 that cancels there, and inside of
one that cancels there too. Sums of products of a few parameters are known to some 1e-15."""


@final
@dataclass(frozen=True)
class Within:
    """The families that concern some of a model's parameters.

    Attributes:
        inside: Those that move no others.
        across: Others, of which combinations that move none outside are looked for: those that move
            parameters inside and outside, and those that share parameters outside with them.
        left_out: Names of such, which are too large for that.
    """

    inside: tuple[Family, ...]
    across: tuple[Family, ...] = ()
    left_out: tuple[str, ...] = ()


def families_within(families: Iterable[Family], every: Jacobian, names: Collection[str]) -> Within:
    """The families of a block, of which `every` knows the parameters of the whole."""
    block, used = set(names), every.sizes.keys()
    moved = {family: family.moves & used for family in families}
    inside = tuple(family for family in moved if moved[family] <= block)
    rest = [family for family in moved if family not in inside]
    across: list[Family] = []
    left_out: list[Family] = []
    rows, columns, reached = 0, set[str](), set(block)
    # Others may cancel outside what those do that reach in, and others again what these do.
    while level := [f for f in rest if moved[f] & reached and f not in (*across, *left_out)]:
        for family in sorted(level, key=lambda f: f.group.dim):
            more = columns | moved[family]
            size = (rows + family.group.dim) * sum(every.sizes[k] for k in more)
            if size > COMBINED:
                left_out.append(family)
                continue
            across.append(family)
            rows, columns = rows + family.group.dim, more
        reached = set().union(*(moved[f] for f in (*across, *left_out))) - block
    return Within(inside, tuple(across), tuple(family.name for family in left_out))


def combinations(across: Sequence[Family], params: Params, jacobian: Jacobian) -> Tensor:
    """Fields of families that reach outside of a block, combined so that nothing moves there:
    orthonormal, as rows over the entries of the block, `[k, d]`.

    If F are the fields inside of the block and G those outside, the combinations c with cᵀG = 0
    give the rows cᵀF, of rank rank[F G] − rank G (docs/derivations.md §29).
    """
    # Not only fields that reach in: others may cancel what these do outside.
    moved = sorted(set().union(*(family.moves for family in across)) - jacobian.sizes.keys())
    moved = [name for name in moved if params[name].is_floating_point()]
    bases = [family.group.basis().double() for family in across]
    pairs = list(zip(across, bases, strict=True))
    inner = torch.cat([fields(f, basis, params, jacobian.sizes) for f, basis in pairs])
    outer = torch.cat([fields(f, basis, params, moved) for f, basis in pairs])
    lengths = (inner.square().sum(1) + outer.square().sum(1)).sqrt()
    kept = lengths > 0
    inner, outer = (x[kept] / lengths[kept, None] for x in (inner, outer))
    if not len(inner):
        return inner
    vectors, values, _ = torch.linalg.svd(triangular(outer.mT).mT)
    together = vectors.mT[values <= VANISHES * values[0].clamp_min(1.0)] @ inner
    _, values, rows = torch.linalg.svd(together, full_matrices=False)
    return rows[values > VANISHES]


def matching(names: Collection[str], patterns: Iterable[str]) -> list[str]:
    """The names that match a pattern, in their order.

    Raises:
        ValueError: If a pattern matches none.
    """
    patterns = list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"`parameters`: {pattern!r} matches no parameter that the outputs depend on; there "
                f"are {', '.join(sorted(names)[:6])}, …. Patterns are as in a shell: "
                '"layers.0.*".'
            )
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]
