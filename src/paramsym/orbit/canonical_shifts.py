"""Canonical shifts: what a family adds to its own parameter is orthogonal to what is there.

A family of shifts is a translation of one parameter, its *own*, along with what takes the shift up
elsewhere. Where gains are fixed the translation is affine, and the point of the orbit whose own
parameter is orthogonal to all its directions is one least-squares problem, in closed form
(docs/derivations.md §30).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.family import Family
from paramsym.groups import Affine, Translation
from paramsym.terms import Slot, Term

Params = Mapping[str, Tensor]
Letters = list[tuple[Family, Tensor]]

SWEEPS = 32
"""Passes over all families: one each for what follows from one another, and more where two
families shift one parameter along directions that are not orthogonal."""

SETTLED = 64 * torch.finfo(torch.float64).eps
"""Relative size of a shift that counts as rounding of what it is taken from."""


def shifting(family: Family) -> bool:
    """Whether a family shifts a parameter of its own."""
    return own_term(family) is not None


def own_term(family: Family) -> Term | None:
    """The first term by which every entry of the translation shifts entries of its own."""
    if not isinstance(family.group, Affine | Translation) or (
        isinstance(family.group, Translation) and family.ports
    ):
        return None
    single = family.group.n * family.group.copies == 1
    spread = (term for term in family.terms if term.coefficient and (single or _spreads(term)))
    return next(spread, None)


def _spreads(term: Term) -> bool:
    inputs, output = term.equation.split("->")
    return set(inputs.split(",")[0]) <= set(output)


def orthogonal_shifts(families: Sequence[Family], params: Params) -> tuple[Letters, list[str]]:
    """Elements, in the order in which they act, after which every family's own parameter is
    orthogonal to the directions along which it shifts, and names of families that do not settle."""
    now = dict(params)
    word: Letters = []
    restless: list[str] = []
    chain = _in_order(families)
    sizes = dict.fromkeys((family.name for family in chain), 0.0)
    for _ in range(SWEEPS):
        restless = []
        for family in chain:
            t, change, size = _to_orthogonal(family, now)
            # Of the largest that was there: what is zero now is zero to the rounding of that.
            sizes[family.name] = max(sizes[family.name], size)
            if change <= SETTLED * sizes[family.name]:
                continue
            restless.append(family.name)
            g = as_translation(family, t)
            now = act([(family, g)], now)
            word.append((family, g))
        if not restless:
            break
    return word, restless


def as_translation(family: Family, t: Tensor) -> Tensor:
    """The group element that translates by `t`."""
    group = family.group
    if isinstance(group, Affine):
        g = group.identity().to(t)
        g[..., : group.n, group.n] = t.reshape(group.translation_shape)
        return g
    return t.reshape(group.shape)


def _to_orthogonal(family: Family, params: Params) -> tuple[Tensor, float, float]:
    """The translation that makes the own parameter orthogonal, how much it moves that one, and the
    norm of what is there."""
    term = own_term(family)
    assert term is not None
    group = family.group
    held = term.target.read(params)
    unit = torch.ones(group.translation_shape, dtype=held.dtype)
    # Every entry of the target takes one entry of the translation: the normal equations are
    # diagonal.
    weights = _shaped(term, term.adjoint(term.change(unit, params), params), family)
    share = _shaped(term, term.adjoint(held, params), family)
    t = -share / weights
    if isinstance(group, Translation) and group.mean_free:
        # The least squares among the shifts of mean zero.
        mean = t.sum(-1, keepdim=True) / weights.reciprocal().sum(-1, keepdim=True)
        t = t - mean / weights
    return t, float((weights * t.square()).sum().sqrt()), float(held.norm())


def _shaped(term: Term, share: Tensor, family: Family) -> Tensor:
    """A term's share of the dual translation, one number for each entry of the translation."""
    group, shape = family.group, family.group.translation_shape
    if term.view:
        return share.reshape(shape)
    return share.expand(*shape[: share.ndim - 1], group.n)


def _in_order(families: Sequence[Family]) -> list[Family]:
    """Families before those whose own parameter they move; in the given order where they go
    round."""
    own = {family: own_term(family) for family in families}
    left, found = list(families), []
    movers: dict[str, list[tuple[Family, Slot]]] = {}
    for family in families:
        for term in family.terms:
            if term is not own[family]:
                movers.setdefault(term.target.parameter, []).append((family, term.target))
    before: dict[Family, set[Family]] = {}
    for family in families:
        term = own[family]
        assert term is not None
        before[family] = {
            mover
            for mover, slot in movers.get(term.target.parameter, ())
            if mover is not family and _meet(slot, term.target)
        }
    done: set[Family] = set()
    while left:
        ready = [family for family in left if before[family] <= done] or left[:1]
        found += ready
        done |= set(ready)
        left = [family for family in left if family not in done]
    return found


def _meet(a: Slot, b: Slot) -> bool:
    """Whether two blocks of a parameter overlap; where their views differ, it is assumed."""
    if a.view != b.view or not a.block or not b.block:
        return True
    return all(
        p is None or q is None or (p[0] < q[1] and q[0] < p[1])
        for p, q in zip(a.block, b.block, strict=True)
    )
