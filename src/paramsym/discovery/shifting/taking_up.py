"""Shifts that biases behind them take up: families of the second kind."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, final

import numpy as np

from paramsym.discovery.distinct import distinct
from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.pushing import Pushed, push, term_on
from paramsym.discovery.shifting.tolerance import PINNED, Tolerance, none_spanned
from paramsym.discovery.shifting.uses import is_table, is_weight
from paramsym.discovery.shifting.values import Piece
from paramsym.discovery.shifting.walk import Run, entries_of
from paramsym.discovery.shifting.words import Irregular, Word
from paramsym.family import Exactness, Family
from paramsym.groups import Translation
from paramsym.terms import Term


class Source(Protocol):
    """A way to shift a parameter, component by component."""

    def pushed(self, places: Labels) -> Pushed:
        """What becomes of the shift of these components."""
        ...

    def term(self, places: Labels) -> Term:
        """What it adds to the parameter itself."""
        ...

    def spanned(self, places: Labels, killed: Tolerance | None) -> Labels:
        """For every component the number of those that, shifted alike, go unnoticed by
        themselves; `PINNED` for the others."""
        ...

    def label(self, pushed: Pushed) -> str: ...


def families_taken_up(run: Run, name: str, killed: Tolerance | None) -> Iterator[Family]:
    """Shifts of the entries of a parameter that biases behind it take up."""
    table = is_table(run, name)
    if is_weight(run, name) and not table:
        return
    places = entries_of(run.parameters[name].shape, table)
    if places is None:
        return
    entries = Entries(run, name)
    families = list(families_of(entries, places, killed))
    for axis, size in enumerate(places.shape):
        if not families and size > 1:
            # A norm in between may see all changes but those that are the same along an axis.
            rest = [n for a, n in enumerate(places.shape) if a != axis]
            alike = np.expand_dims(np.arange(prod(rest)).reshape(rest), axis)
            families = list(families_of(entries, alike, killed))
    yield from families


def families_of(source: Source, places: Labels, killed: Tolerance | None) -> Iterator[Family]:
    """Families of the shifts that go unnoticed: components with one fate are one family.

    Args:
        source: What is shifted.
        places: Which component stands where in the parameter.
        killed: Changes of the parameter that go unnoticed by themselves, which are left out.
    """
    places = _without_known(places, source.spanned(places, killed))
    if bool((places == NONE).all()):
        return
    first = source.pushed(places)
    good = ~first.seen
    signs = np.array([mask for _, mask in first.events], dtype=bool).reshape(-1, len(good))
    for members in _alike(np.flatnonzero(good), signs):
        spanned = source.spanned(_numbered(places, members), killed)
        # Those that shift alike next to one another, where they can be.
        for order in ([members[k] for k in np.argsort(spanned, kind="stable")], members):
            own = _numbered(places, order)
            pushed = first if order == list(range(len(good))) else source.pushed(own)
            family = _family(source, own, pushed, killed)
            if family is not None:
                yield family
                break
            if order == members:
                break


def _alike(components: Labels, signs: np.ndarray) -> list[list[int]]:
    """Components with the same signs together."""
    own = signs[:, components]
    if bool((own == own[:, :1]).all()):
        return [components.tolist()] if len(components) else []
    fates: dict[bytes, list[int]] = defaultdict(list)
    for k, fate in zip(components.tolist(), np.packbits(own, axis=0).T, strict=True):
        fates[fate.tobytes()].append(k)
    return list(fates.values())


def _family(
    source: Source, places: Labels, pushed: Pushed, killed: Tolerance | None
) -> Family | None:
    """The family of all these components; `None` where their terms cannot be written, or would read
    what they move."""
    if pushed.partial or pushed.seen.any():
        return None
    size = int(places.max()) + 1
    group = _group(size, source.spanned(places, killed))
    try:
        terms = [source.term(places), *pushed.terms]
    except Irregular:
        return None
    if group.copies > 1:  # the terms see the shift as one row
        terms = [term if term.view else replace(term, view=(size,)) for term in terms]
    targets = {term.target.parameter for term in terms}
    read = frozenset[str]().union(*(term.reads for term in terms))
    if not group.dim or targets & read:
        return None
    return Family(source.label(pushed), group, terms=tuple(terms), exactness=_exact(terms))


def _exact(terms: Sequence[Term]) -> Exactness:
    """Exact, but where a deviation is read that moves: of a variance without its ε."""
    sources = [source for term in terms for source in term.sources]
    return Exactness(any(s.power == -0.5 and not s.is_constant for s in sources))


def _without_known(places: Labels, spanned: Labels) -> Labels:
    """Places of the components that do not go unnoticed each by itself, numbered anew."""
    sizes = np.bincount(spanned[spanned != PINNED], minlength=1)
    rest = np.flatnonzero((spanned == PINNED) | (sizes[spanned] > 1))
    return places if len(rest) == len(spanned) else _numbered(places, rest)


def _numbered(places: Labels, members: Sequence[int] | Labels) -> Labels:
    """Places of some components, with these numbered in order."""
    number = np.full(int(places.max()) + 2, NONE, dtype=np.int64)
    number[np.asarray(members, dtype=np.int64)] = np.arange(len(members))
    return np.where(places == NONE, NONE, number[places])


def _group(n: int, spanned: Labels) -> Translation:
    """Shifts of n components, without those that go unnoticed by themselves, which are a family of
    their own: where all components, or all of each block, may shift alike, the rest has mean
    zero."""
    parts = distinct(spanned)
    blocks = spanned.reshape(len(parts), -1) if n % len(parts) == 0 else spanned[None]
    apart = len(distinct(blocks[:, 0])) == len(blocks)
    if PINNED in parts or not apart or not bool((blocks == blocks[:, :1]).all()):
        return Translation(n)
    return Translation(n // len(parts), len(parts), mean_free=True)


@final
@dataclass(frozen=True)
class Entries:
    """Shifts of a parameter's own entries."""

    run: Run
    name: str

    def pushed(self, places: Labels) -> Pushed:
        n = int(places.max()) + 1
        word = Word.identity(n)
        starts = [(number, Piece(word, places)) for number in self.run.numbers_of(self.name)]
        return push(self.run, self.name, n, starts)

    def term(self, places: Labels) -> Term:
        shape = self.run.parameters[self.name].shape
        return term_on(self.name, shape, Word.identity(int(places.max()) + 1), places, 1.0)

    def spanned(self, places: Labels, killed: Tolerance | None) -> Labels:
        return none_spanned(places) if killed is None else killed.spanned(places)

    def label(self, pushed: Pushed) -> str:
        taken = dict.fromkeys(t.target.parameter for t in pushed.terms)
        return f"{self.name} → {', '.join(taken)}" if taken else self.name
