"""Shifts that biases behind them take up: families of the second kind."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.pushing import Pushed, push, term_on
from paramsym.discovery.shifting.tolerance import Tolerance
from paramsym.discovery.shifting.uses import is_table, is_weight
from paramsym.discovery.shifting.values import Piece
from paramsym.discovery.shifting.walk import Run, entries_of
from paramsym.discovery.shifting.words import Irregular, Word
from paramsym.family import Family
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

    def is_known(self, places: Labels, killed: Tolerance | None) -> bool:
        """Whether the shifts are among those that go unnoticed by themselves."""
        ...

    def label(self, pushed: Pushed) -> str: ...


def families_taken_up(run: Run, name: str, killed: Tolerance | None) -> Iterator[Family]:
    """Shifts of the entries of a parameter that biases behind it take up."""
    if is_weight(run, name):
        return
    places = entries_of(run.parameters[name].shape, is_table(run, name))
    if places is not None:
        yield from families_of(Entries(run, name), places, killed)


def families_of(source: Source, places: Labels, killed: Tolerance | None) -> Iterator[Family]:
    """Families of the shifts that go unnoticed: components with one fate are one family.

    Args:
        source: What is shifted.
        places: Which component stands where in the parameter.
        killed: Changes of the parameter that go unnoticed by themselves, which are left out.
    """
    first = source.pushed(places)
    good = ~first.seen
    if not good.any():
        return
    fates: dict[bytes, list[int]] = defaultdict(list)
    signs = np.array([mask for _, mask in first.events], dtype=bool).reshape(-1, len(good)).T
    for k in np.flatnonzero(good):
        fates[signs[k].tobytes()].append(int(k))
    for members in fates.values():
        number = np.full(len(good) + 1, NONE, dtype=np.int64)
        number[members] = np.arange(len(members))
        own = np.where(places == NONE, NONE, number[places])
        pushed = source.pushed(own)
        known = not pushed.terms and source.is_known(own, killed)
        if pushed.partial or pushed.seen.any() or known:
            continue
        try:
            term = source.term(own)
        except Irregular:
            continue
        terms = (term, *pushed.terms)
        targets = {t.target.parameter for t in terms}
        read = {s.slot.parameter for t in terms for s in t.sources}
        if targets & read:  # what it reads must not change by it
            continue
        yield Family(source.label(pushed), Translation(len(members)), terms=terms)


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

    def is_known(self, places: Labels, killed: Tolerance | None) -> bool:
        return killed is not None and killed.allows(places) is None

    def label(self, pushed: Pushed) -> str:
        taken = dict.fromkeys(t.target.parameter for t in pushed.terms)
        return f"{self.name} → {', '.join(taken)}" if taken else self.name
