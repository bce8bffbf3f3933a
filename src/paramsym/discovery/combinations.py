"""Constant combinations of the entries of one value, such as rotary position embeddings.

Multiplying coordinates by different constants, negating some of them, cutting and joining: each of
these alone lets no matrix mix the coordinates. But if the whole turns pairs of them, (a, b) ↦
(c·a − s·b, s·a + c·b), then whatever else commutes with rotations of the pair commutes with it.
So facts are kept back along such a chain of ops (`Combination.unstated`) until its end, where
`settled` looks at the numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.distinct import distinct
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import FIXED, Combination, Labels, Layer, Term, Value, full_labels

LARGEST = 2**22
"""Entries above which combinations are not followed."""


def combination_of(value: Value) -> Combination | None:
    """Its combination; a value with one layer of several labels may be a base itself."""
    if value.combination is not None:
        return value.combination
    if _single(value) is None or np.prod(value.shape, dtype=np.int64) > LARGEST:
        return None

    def itself() -> tuple[Term, ...]:
        layer = _single(value)
        assert layer is not None
        free = [1 if a in layer.axes else size for a, size in enumerate(value.shape)]
        places = torch.arange(int(np.prod(free, dtype=np.int64))).reshape(free)
        return (
            Term(
                torch.ones(value.shape, dtype=torch.float64),
                full_labels(layer.labels, value.shape),
                places.expand(value.shape),
            ),
        )

    return Combination(value, itself)


def _single(value: Value) -> Layer | None:
    """The layer that varies, if it is the only one."""
    found = [x for x in value.layers if x.axes]
    if len(found) != 1 or abs(found[0].exponent) != 1:
        return None
    return found[0] if found[0].labels.ndim == len(value.shape) else None


def viewed(value: Value, view: Callable[[Tensor], Tensor]) -> Combination | None:
    """After an op that moves entries."""
    before = combination_of(value)
    if before is None:
        return None

    def terms() -> tuple[Term, ...] | None:
        found = before.terms()
        return found and tuple(Term(*(view(x) for x in term)) for term in found)

    return Combination(before.base, terms, before.unstated)


def scaled(value: Value, factor: Tensor | complex, fact: Callable[[], None]) -> Combination | None:
    """After a product with a constant, which would state a fact by itself."""
    before = combination_of(value)
    unknown = isinstance(factor, complex) or (
        isinstance(factor, Tensor)
        and (factor.device.type == "meta" or factor.is_complex() or factor.ndim > len(value.shape))
    )
    if before is None or unknown:
        return None

    def terms() -> tuple[Term, ...] | None:
        found = before.terms()
        return found and tuple(
            Term(coefficient * factor, label, place) for coefficient, label, place in found
        )

    return Combination(before.base, terms, (*before.unstated, fact))


def turned(value: Value, factor: Tensor, fact: Callable[[], None]) -> Combination | None:
    """After a product of pairs, along the last axis, with complex constants."""
    before = combination_of(value)
    if before is None:
        return None
    straight = torch.stack([factor.real, factor.real], -1)
    crossed = torch.stack([-factor.imag, factor.imag], -1)

    def terms() -> tuple[Term, ...] | None:
        found = before.terms()
        if found is None:
            return None
        swapped = [Term(*(x.flip(-1) for x in term)) for term in found]
        return (
            *(t._replace(coefficient=t.coefficient * straight) for t in found),
            *(t._replace(coefficient=t.coefficient * crossed) for t in swapped),
        )

    return Combination(before.base, terms, (*before.unstated, fact))


def joined(
    values: Sequence[Value], join: Callable[[list[Tensor]], Tensor], fact: Callable[[], None]
) -> Combination | None:
    """After concatenation of combinations of one base."""
    before = _of_one_base(values)
    if before is None:
        return None

    def terms() -> tuple[Term, ...] | None:
        found = [combination.terms() for combination in before]
        known = [f for f in found if f is not None]
        if len(known) < len(found):
            return None
        count = max(len(f) for f in known)
        # A piece with fewer terms has more of them, with coefficient 0.
        padded = [f + (f[0]._replace(coefficient=0 * f[0].coefficient),) * (count - len(f))
                  for f in known]  # fmt: skip
        return tuple(
            Term(*(join([f[k][i] for f in padded]) for i in range(3))) for k in range(count)
        )

    unstated = tuple(dict.fromkeys(f for c in before for f in c.unstated))
    return Combination(before[0].base, terms, (*unstated, fact))


def added(left: Value, right: Value, sign: float, fact: Callable[[], None]) -> Combination | None:
    """After the sum of two combinations of one base and shape."""
    before = _of_one_base((left, right))
    if before is None or left.shape != right.shape:
        return None
    a, b = before

    def terms() -> tuple[Term, ...] | None:
        first, second = a.terms(), b.terms()
        if first is None or second is None:
            return None
        return (*first, *(t._replace(coefficient=sign * t.coefficient) for t in second))

    return Combination(a.base, terms, (*dict.fromkeys((*a.unstated, *b.unstated)), fact))


def _of_one_base(values: Sequence[Value]) -> list[Combination] | None:
    found = [combination_of(value) for value in values]
    known = [c for c in found if c is not None]
    if len(known) < len(found) or any(c.base is not known[0].base for c in known):
        return None
    return known


def settled(value: Value, facts: Facts) -> Value:
    """The value at the end of the chain: pairs that turn, or else every fact kept back."""
    combination = value.combination
    if combination is None:
        return value
    if combination.unstated:
        layer, terms = _single(value), combination.terms()
        turned = None if layer is None or terms is None else _turned(layer, terms)
        if turned is None:
            for fact in combination.unstated:
                fact()
        else:
            facts.turn(*turned)
    return replace(value, combination=None)


def _turned(layer: Layer, terms: tuple[Term, ...]) -> tuple[Labels, Labels] | None:
    """Pairs of labels that turn, `[pairs, 2]`, and the labels that stand alone, all multiplied by
    the same number at each place; `None` if the map is not of this kind."""
    where = terms[0].place
    # Coordinates that stand beside one another must come from one vector of the base.
    one = where
    for axis in layer.axes:
        one = one.narrow(axis, 0, 1)
    if any((term.place != one).any() or (term.label == FIXED).any() for term in terms):
        return None
    own, place = full_labels(layer.labels, tuple(where.shape)).flatten(), where.flatten()
    partner = torch.full_like(own, -1)
    straight = torch.zeros(own.shape, dtype=torch.float64)
    crossed = straight.clone()
    for term in terms:
        label, coefficient = term.label.flatten(), term.coefficient.flatten()
        other = (label != own) & (coefficient != 0)
        clash = other & (partner != -1) & (partner != label)
        if clash.any():
            return None
        partner = torch.where(other, label, partner)
        straight += torch.where(label == own, coefficient, 0)
        crossed += torch.where(other, coefficient, 0)
    mate = _partners(own, partner)
    if mate is None:
        return None
    if bool((mate == -1).all()):  # all coordinates only multiplied
        if not _same_at_each_place(place, straight):
            return None
        return np.empty((0, 2), dtype=np.int64), distinct(own.numpy())
    mate = mate[own]
    alone = mate == -1
    # Entries of the same label at the same place have the same numbers, and those of the partner
    # are (c, −s) where these are (c, s).
    span = int(max(own.max(), mate.max())) + 1
    keys, inverse = torch.unique(place * span + own, return_inverse=True)
    c, s = (torch.zeros(len(keys), dtype=torch.float64) for _ in range(2))
    c[inverse], s[inverse] = straight, crossed
    if (c[inverse] != straight).any() or (s[inverse] != crossed).any():
        return None
    wanted = torch.where(alone, place * span + own, place * span + mate)
    at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    if (keys[at] != wanted).any() or (c[at] != straight)[~alone].any():
        return None
    if (s[at] != -crossed)[~alone].any():
        return None
    if not _same_at_each_place(place[alone], straight[alone]):
        return None
    pairs = torch.stack([own, mate], 1)[(own < mate) & ~alone]
    return torch.unique(pairs, dim=0).numpy(), torch.unique(own[alone]).numpy()


def _partners(own: Tensor, partner: Tensor) -> Tensor | None:
    """For every label its partner, −1 where it has none; `None` if not one to one."""
    mate = torch.full((int(max(own.max(), partner.max())) + 1,), -1)
    mate[own[partner != -1]] = partner[partner != -1]
    known = partner != -1
    if (mate[own[known]] != partner[known]).any():
        return None
    paired = torch.nonzero(mate != -1).flatten()
    if (mate[mate[paired]] != paired).any():
        return None
    return mate


def _same_at_each_place(place: Tensor, number: Tensor) -> bool:
    if not len(place) or bool((number == number[0]).all()):
        return True
    _, inverse = torch.unique(place, return_inverse=True)
    common = torch.zeros(int(inverse.max()) + 1, dtype=number.dtype)
    common[inverse] = number
    return bool((common[inverse] == number).all())
