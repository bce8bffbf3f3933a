"""Canonical signs: what is left of rotations once their eigenbasis is fixed, and of sign families.

All signs of a model are one vector space over the field of two elements. In the coordinates of the
eigenbases, seen through gains, every entry of a parameter is multiplied by a product of them, so
that an entry in which one sign is unknown makes that one known (docs/derivations.md §30).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Signs
from paramsym.family import Family
from paramsym.groups import ComplexScaling, Orthogonal
from paramsym.orbit.binary import BinarySystem
from paramsym.orbit.canonical_gains import framed_rows
from paramsym.orbit.canonical_rotations import axes, fixed_directions, turned
from paramsym.ports import Port

Params = Mapping[str, Tensor]
AnyFamily = Family | DiscreteFamily
NONE = -1


def signs(
    families: Sequence[Family],
    discrete: Sequence[DiscreteFamily],
    params: Params,
    quiet: float,
    toward: Params | None = None,
) -> tuple[list[tuple[AnyFamily, Tensor]], list[str]]:
    """Elements after which a fixed combination of the entries that each sign multiplies is
    positive, and what nothing fixes.

    Signs become known one after the other: from entries that no other unknown sign multiplies, the
    first parameter first. Then from products of entries. What is free after that does nothing
    that others do not.

    Args:
        families: Those whose eigenbases were fixed; their signs are left.
        discrete: Discrete families; those of signs are taken.
        params: Parameter dict at the eigenbases.
        quiet: Relative size below which entries may be rounding of zero, and say nothing.
        toward: Parameters that differ by signs only: their entries are the combination then, so
            that no terms cancel.
    """
    signed = [*families, *(f for f in discrete if isinstance(f.group, Signs))]
    if not signed:
        return [], []
    problem = _Problem(signed, params, quiet, toward)
    problem.solve()
    return problem.elements(), problem.ties()


class _Problem:
    """Unknown signs, numbered family by family, and what the entries say about them."""

    def __init__(
        self, families: Sequence[AnyFamily], params: Params, quiet: float, toward: Params | None
    ) -> None:
        self.families = families
        self.params = params
        self.toward = toward
        self.quiet = quiet
        self.widths = [_unknowns(family) for family in families]
        starts = torch.tensor([0, *(copies * n for copies, n in self.widths)]).cumsum(0).tolist()
        self.numbers = {
            family.name: torch.arange(start, stop).reshape(width)
            for family, width, start, stop in zip(
                families, self.widths, starts, starts[1:], strict=False
            )
        }
        self.count = starts[-1]
        self.known = torch.zeros(self.count, dtype=torch.float64)
        """1, −1, or 0 where a sign is unknown."""
        held = {port.parameter for family in families for port in family.ports}
        self.names = [name for name in params if name in held]
        self.sizes = self._sizes()
        # What no entry shows needs no choice.
        self.known[self.sizes <= self.quiet**2 * self.sizes.max()] = 1.0

    def solve(self) -> None:
        """Make known what can be."""
        while bool((self.known == 0).any()):
            progress = [self._read(name) for name in self._unread()]
            if not any(progress):
                self._eliminate()
                return

    def elements(self) -> list[tuple[AnyFamily, Tensor]]:
        """What makes every combination positive."""
        found = []
        for family, width in zip(self.families, self.widths, strict=True):
            sign = self.known[self.numbers[family.name]]
            sign = torch.where(sign < 0, -1.0, 1.0).double().reshape(width)
            if isinstance(family, DiscreteFamily):
                g = sign.reshape(family.group.shape)
            elif isinstance(family.group, ComplexScaling):
                g = turned(family, torch.diag_embed(sign.expand(-1, 2)))
            else:
                g = turned(family, torch.diag_embed(sign))
            found.append((family, g))
        return found

    def ties(self) -> list[str]:
        """Families with signs that stay unknown."""
        return [
            f"{family.name!r}: signs that nothing fixes"
            for family in self.families
            if bool((self.known[self.numbers[family.name]] == 0).any())
        ]

    def _read(self, name: str) -> bool:
        """Make known what the entries with one unknown sign say; whether there was anything."""
        ids, totals, clear = self._said(name, most=1)
        self.known[ids[0, clear]] = totals[clear].sign()
        return bool(clear.any())

    def _eliminate(self) -> None:
        """Make known what products of entries say: elimination in the field of two elements.

        Signs that are free then are products of others in all that they do, and are 1.
        """
        system = BinarySystem()
        vague: list[int] = []
        for name in self._unread():
            ids, totals, clear = self._said(name)
            for row, total, is_clear in zip(ids.T.tolist(), totals.tolist(), clear, strict=True):
                unknowns = sum(1 << number for number in row if number != NONE)
                if is_clear:
                    system.add(unknowns, total < 0)
                else:
                    vague.append(unknowns)
        tied = [unknowns for unknowns in vague if not system.determines(unknowns)]
        flipped = system.solution()
        for number in (self.known == 0).nonzero().flatten().tolist():
            if not any(unknowns >> number & 1 for unknowns in tied):
                self.known[number] = -1.0 if number in flipped else 1.0

    def _said(self, name: str, most: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """For each set of unknown signs that multiply entries of a parameter: the signs, `[most,
        sets]`, a fixed combination of the entries, and whether it is clear of zero."""
        values, ids = self._entries(name, self.params)
        state = self._state(ids)
        count = (state == 0).sum(0, dtype=torch.int8)
        chosen = count > 0 if most is None else (count > 0) & (count <= most)
        if self.toward is None:
            weights = fixed_directions((values.numel(),))[chosen]
        else:
            weights = self._entries(name, self.toward)[0][chosen]
        values, ids, state = values[chosen], ids[:, chosen], state[:, chosen]
        unknown = torch.where(state == 0, ids, NONE)
        if most == 1:
            sets, of = torch.arange(self.count)[None], unknown.amax(0)
        else:
            sets, of = torch.unique(_descending(unknown), dim=1, return_inverse=True)
        zeros = torch.zeros(sets.shape[1], dtype=torch.float64)
        terms = values * torch.where(state == 0, 1.0, state).prod(0)
        totals = zeros.index_add(0, of, terms * weights)
        squares = zeros.index_add(0, of, values.square())
        # An entry that is rounding of zero says nothing: it is small beside others of its signs.
        least = torch.where(sets >= 0, self.sizes[sets.clamp_min(0)], torch.inf).amin(0)
        loud = squares > self.quiet**2 * least
        sizes = squares.sqrt()
        if self.toward is not None:
            sizes = sizes * zeros.index_add(0, of, weights.square()).sqrt()
        clear = loud & (totals.abs() > self.quiet * sizes)
        return sets[:, loud], totals[loud], clear[loud]

    def _unread(self) -> list[str]:
        """Parameters with signs that are unknown."""
        unknown = {
            port.parameter
            for family in self.families
            if bool((self.known[self.numbers[family.name]] == 0).any())
            for port in self._ports_of(family)
        }
        return [name for name in self.names if name in unknown]

    def _state(self, ids: Tensor) -> Tensor:
        """Of each sign at each entry, what is known; 1 where there is none."""
        return torch.where(ids >= 0, self.known[ids.clamp_min(0)], 1.0)

    def _sizes(self) -> Tensor:
        """For every sign the sum of squares of the entries that it multiplies."""
        total = torch.zeros(self.count + 1, dtype=torch.float64)
        for name in self.names:
            values, ids = self._entries(name, self.params)
            for row in ids:
                total.index_add_(0, row.where(row >= 0, self.count), values.square())
        return total[:-1]

    def _entries(self, name: str, params: Params) -> tuple[Tensor, Tensor]:
        """The entries `[size]` of a parameter in the coordinates of the eigenbases, and the signs
        `[most, size]` that multiply each, −1 where there are fewer."""
        values = params[name].double()
        layers: list[Tensor] = []
        for family, port in self._ports(name):
            if isinstance(family, Family) and isinstance(family.group, Orthogonal):
                basis = axes(family)
                rest = basis.new_full((len(basis), 1), len(basis) ** -0.5)
                basis = torch.cat([basis, rest], 1)[:, : len(basis)]
                values = port.put(values, basis.mT @ framed_rows(port, {**params, name: values}))
            layers.append(self._layer(port, self._of_rows(family), values))
            layers += self._through_gain(port, values)
        ids = torch.stack([layer.flatten() for layer in layers])
        return values.flatten(), _without_pairs(ids)

    def _ports_of(self, family: AnyFamily) -> Iterator[Port]:
        """Ports of a family, and those behind gains that it moves."""
        yield from family.ports
        for other in self.families:
            for port in other.ports:
                if port.frame is not None and port.frame.parameter in family.moves:
                    yield port

    def _ports(self, name: str) -> Iterator[tuple[AnyFamily, Port]]:
        return (
            (family, port)
            for family in self.families
            for port in family.ports
            if port.parameter == name
        )

    def _of_rows(self, family: AnyFamily) -> Tensor:
        """The signs of a family's coordinates, `[copies, n]`."""
        numbers = self.numbers[family.name]
        if isinstance(family.group, ComplexScaling):
            return numbers.expand(-1, 2)
        missing = family.group.n - numbers.shape[1]
        return torch.nn.functional.pad(numbers, (0, missing), value=NONE)

    def _layer(self, port: Port, numbers: Tensor, like: Tensor) -> Tensor:
        """A tensor shaped like a parameter, with the sign of each entry that a port holds."""
        empty = torch.full_like(like, NONE, dtype=torch.int64)
        return port.put(empty, numbers[..., None].expand(-1, -1, port.width))

    def _through_gain(self, port: Port, like: Tensor) -> list[Tensor]:
        """The signs of the gain between a space and a port, which multiply what is seen through."""
        if port.frame is None:
            return []
        gain = self.params[port.frame.parameter]
        found = []
        for family, other in self._ports(port.frame.parameter):
            of_gain = self._layer(other, self._of_rows(family), gain)
            numbers = of_gain.reshape(-1, port.index.shape[1]).expand(port.index.shape[:2])
            found.append(self._layer(port, numbers, like))
        return found


def _unknowns(family: AnyFamily) -> tuple[int, int]:
    """How many signs a family leaves: for each copy one a coordinate, or one a plane."""
    if isinstance(family, DiscreteFamily):
        return family.group.copies, family.group.n
    if isinstance(family.group, ComplexScaling):
        return family.group.copies, 1
    return family.group.copies, axes(family).shape[1]


def _without_pairs(ids: Tensor) -> Tensor:
    """A sign that multiplies an entry twice does not multiply it."""
    ids = _descending(ids)
    for i in range(len(ids) - 1):
        pair = (ids[i] == ids[i + 1]) & (ids[i] >= 0)
        ids[i] = ids[i].where(~pair, NONE)
        ids[i + 1] = ids[i + 1].where(~pair, NONE)
    return ids


def _descending(ids: Tensor) -> Tensor:
    """Every column sorted, by exchanges: columns are short, and there are many."""
    rows = list(ids)
    for end in range(len(rows) - 1, 0, -1):
        for i in range(end):
            rows[i], rows[i + 1] = rows[i].maximum(rows[i + 1]), rows[i].minimum(rows[i + 1])
    return torch.stack(rows)
