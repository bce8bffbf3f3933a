"""Linear equations of log-scales with few unknowns each, as arrays."""

from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np

from paramsym.discovery.distinct import changes, distinct_rows
from paramsym.discovery.labels import Labels

Number = int | Fraction
"""Rational numbers; whole ones as integers, which are ten times faster."""
Row = dict[int, Number]
"""An equation or a solution: unknown → coefficient."""


@final
@dataclass(frozen=True)
class Equations:
    """Equations Σ coefficient · scale[unknown] = 0, one a row; unused places have coefficient 0."""

    unknowns: Labels
    coefficients: Labels

    def __getitem__(self, chosen: np.ndarray) -> "Equations":
        return Equations(self.unknowns[chosen], self.coefficients[chosen])

    def over(self, of: Labels, sign: Labels) -> "Equations":
        """The same equations between classes of unknowns, each ± its class."""
        return Equations(of[self.unknowns], self.coefficients * sign[self.unknowns])

    def reduced(self, dead: np.ndarray) -> "Equations":
        """Every unknown once in a row, in order, those that vanish and unused places last."""
        unknowns, coefficients = self.unknowns, self.coefficients
        for _ in range(2):  # the second time, behind those that the first has added up to 0
            unused = (coefficients == 0) | dead[unknowns]
            coefficients = np.where(unused, 0, coefficients)
            order = np.argsort(np.where(unused, len(dead), unknowns), axis=1, kind="stable")
            unknowns = np.take_along_axis(unknowns, order, 1)
            coefficients = np.take_along_axis(coefficients, order, 1)
            for k in range(1, unknowns.shape[1]):
                twice = (unknowns[:, k] == unknowns[:, k - 1]) & (coefficients[:, k] != 0)
                coefficients[:, k] += np.where(twice, coefficients[:, k - 1], 0)
                coefficients[:, k - 1] = np.where(twice, 0, coefficients[:, k - 1])
        return Equations(unknowns, coefficients)

    def primitive(self) -> "Equations":
        """Distinct equations that are reduced, each divided by what its coefficients have in
        common."""
        divisor = np.gcd.reduce(self.coefficients, axis=1, initial=0)
        divisor = divisor * np.sign(self.coefficients[:, 0])  # the first one is in use
        coefficients = self.coefficients // divisor[:, None]
        unknowns = np.where(coefficients == 0, 0, self.unknowns)
        table = distinct_rows(np.hstack([unknowns, coefficients]))
        return Equations(*np.hsplit(table, 2))

    def twins(self) -> Labels:
        """Pairs of unknowns that are equal, because two equations differ in them only."""
        weight = np.random.default_rng(0).integers(2**62, size=self.unknowns.max(initial=0) + 1)
        share = self.coefficients * weight[self.unknowns]
        found = [np.empty((0, 2), dtype=np.int64)]
        for k in range(self.unknowns.shape[1]):
            # What the others add up to, modulo 2**64, brings candidates together.
            rest = share.sum(1) - share[:, k]
            order = np.argsort(rest)
            beside = np.flatnonzero(np.diff(rest[order]) == 0)
            pair = np.stack([order[beside], order[beside + 1]])
            unknowns, coefficients = self.unknowns[pair], self.coefficients[pair]
            others = np.delete(unknowns, k, axis=2)
            alike = (coefficients[0] == coefficients[1]).all(1) & (coefficients[0, :, k] != 0)
            alike &= (others[0] == others[1]).all(1) & (unknowns[0, :, k] != unknowns[1, :, k])
            found.append(unknowns[:, alike, k].T)
        return np.concatenate(found)

    def solved_by_own_unknowns(self, spared: np.ndarray) -> tuple[Labels, "Equations", "Equations"]:
        """Equations with an unknown, of coefficient ±1, that stands in no other one.

        Args:
            spared: A mask of unknowns for which they are not solved.

        Returns:
            For each of these the unknown, the last of several; the others of the equation, whose
            sum it is; and the equations that have no such unknown.
        """
        used = self.coefficients != 0
        uses = np.bincount(self.unknowns[used], minlength=len(spared))
        own = used & (abs(self.coefficients) == 1) & (uses == 1)[self.unknowns]
        own &= ~spared[self.unknowns]
        chosen = own.any(1)
        pivot = np.where(own, self.unknowns, -1).max(1, initial=-1)[chosen]
        unknowns, coefficients = self.unknowns[chosen], self.coefficients[chosen]
        at = own[chosen] & (unknowns == pivot[:, None])
        sign = -(coefficients * at).sum(1, keepdims=True)
        others = Equations(unknowns, np.where(at, 0, sign * coefficients))
        return pivot, others, self[~chosen]

    def users(self, of: Labels) -> dict[int, set[int]]:
        """Unknown → what stands in `of` beside the rows in which it is used."""
        used = self.coefficients != 0
        unknowns = self.unknowns[used]
        order = np.argsort(unknowns, kind="stable")
        unknowns, users = unknowns[order], np.repeat(of, used.sum(1))[order].tolist()
        starts = np.flatnonzero(changes(unknowns))
        stops = [*starts[1:].tolist(), len(users)]
        return {
            k: set(users[start:stop])
            for k, start, stop in zip(
                unknowns[starts].tolist(), starts.tolist(), stops, strict=False
            )
        }

    def rows(self) -> list[Row]:
        """The equations as dicts."""
        columns = zip(self.unknowns.tolist(), self.coefficients.tolist(), strict=True)
        return [
            {k: c for k, c in zip(unknowns, coefficients, strict=True) if c}
            for unknowns, coefficients in columns
        ]
