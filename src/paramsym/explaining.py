"""What moves a parameter, and what keeps the rest of it still."""

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch

from paramsym.family import Family
from paramsym.parameters import Parameter

if TYPE_CHECKING:
    from paramsym.symmetry import Barrier, Symmetry


@final
@dataclass(frozen=True)
class Motion:
    """How one family moves a parameter.

    Attributes:
        family: Name of the family.
        group: Its group, as text.
        role: `"writes"` where the parameter transforms by g, `"reads"` by π(g)⁻¹, `"shifts"` where
            a translation adds to it.
        axes: Axes that carry the coordinates; several where the coordinate depends on all of them,
            and all axes of a shift.
        rows: Positions along these axes that move.
        of: Positions along these axes.
        degree: α in π(g) = g^α.
    """

    family: str
    group: str
    role: str
    axes: tuple[int, ...]
    rows: int
    of: int
    degree: float = 1.0

    def __str__(self) -> str:
        axes = ", ".join(map(str, self.axes))
        place = f"axis {axes}" if len(self.axes) == 1 else f"axes {axes} jointly"
        if self.role == "shifts":
            place = "entries"
        extent = "all" if self.rows == self.of else f"{self.rows:,} of"
        degree = "" if self.degree == 1 else f", to the power {self.degree:g}"
        verb = {"writes": "writes by", "reads": "reads by", "shifts": "is shifted on"}[self.role]
        return f"{verb} {place} ({extent} {self.of:,}): {self.family}, {self.group}{degree}"


@final
@dataclass(frozen=True)
class Still:
    """Coordinates along one axis that no family moves.

    Attributes:
        axis: The axis.
        rows: How many of its coordinates are still.
        of: Its size.
    """

    axis: int
    rows: int
    of: int

    def __str__(self) -> str:
        extent = "all" if self.rows == self.of else f"{self.rows:,} of"
        return f"no family acts along axis {self.axis} ({extent} {self.of:,})"


@final
@dataclass(frozen=True)
class Explanation:
    """What is known of the symmetries of one parameter.

    Attributes:
        parameter: The parameter.
        motions: What moves it, family by family.
        still: What no family moves, axis by axis.
        unused: Whether the outputs do not depend on it.
        barriers: Ops of the model that were not analysed, if something of the parameter is still:
            a symmetry may exist behind them.
    """

    parameter: Parameter
    motions: tuple[Motion, ...]
    still: tuple[Still, ...]
    unused: bool
    barriers: tuple["Barrier", ...]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        shape = "×".join(map(str, self.parameter.shape)) or "scalar"
        aliases = f", tied with {', '.join(self.parameter.aliases)}" * bool(self.parameter.aliases)
        yield f"{self.parameter.name}  {shape}{aliases}"
        for motion in self.motions:
            yield f"  {motion}"
        if self.unused:
            yield "  unused: the outputs do not depend on it, so that every direction is flat"
            return
        if not self.parameter.is_real:
            yield "  not a real tensor: paramsym moves floating-point numbers only"
            return
        for still in self.still:
            yield f"  {still}"
        if not self.parameter.trainable:
            yield "  frozen: families that move it act, and have no conservation law"
        if self.parameter.altered_gradient:
            yield (
                "  its gradient is not that of the function, so that families that move it act, "
                f"and have no conservation law: {self.parameter.altered_gradient}"
            )
        for barrier in self.barriers:
            first, *more = barrier.where
            where = first + (f" and {len(more)} more" if more else "")
            yield f"  not analysed: {barrier.op} ×{barrier.count} in {where} ({barrier.reason})"
        if self.barriers:
            yield "  symmetries may exist behind these ops; `ps.register_rule` adds a rule"


def explain(symmetry: "Symmetry", parameter: str) -> Explanation:
    """Which families move a parameter, along which axis, and what of it none moves.

    Args:
        symmetry: Of the model.
        parameter: Name of the parameter; another name of a tied one will do.

    Raises:
        ValueError: If the symmetry knows no parameter of that name.
    """
    known = {alias: p for p in symmetry.parameters for alias in (p.name, *p.aliases)}
    if parameter not in known:
        close = difflib.get_close_matches(parameter, known, 1)
        hint = f"Did you mean {close[0]!r}?" if close else "`symmetry.parameters` lists them."
        raise ValueError(f"`parameter` must be the name of a parameter; got {parameter!r}. {hint}")
    described = known[parameter]
    moving = [family for family in symmetry.families if described.name in family.moves]
    unused = described.name in symmetry.unused
    still = () if unused or not described.is_real else tuple(_still(described, moving))
    return Explanation(
        described,
        tuple(motion for family in moving for motion in _motions(family, described)),
        still,
        unused,
        symmetry.barriers if still else (),
    )


def _motions(family: Family, parameter: Parameter) -> Iterator[Motion]:
    for port in family.ports:
        if port.parameter == parameter.name:
            yield Motion(
                family.name,
                str(family.group),
                "reads" if port.dual else "writes",
                port.axes,
                port.index.numel(),
                port.row_count,
                port.degree,
            )
    axes = tuple(range(len(parameter.shape)))
    for slot in dict.fromkeys(term.target for term in family.terms):
        if slot.parameter == parameter.name:
            size = math.prod(slot.within(parameter.shape))
            group = str(family.group)
            yield Motion(family.name, group, "shifts", axes, size, math.prod(parameter.shape))


def _still(parameter: Parameter, moving: list[Family]) -> Iterator[Still]:
    """Coordinates of every axis that no port takes, and no shift reaches."""
    shape = parameter.shape or (1,)
    moved = [torch.zeros(size, dtype=torch.bool) for size in shape]
    for family in moving:
        for port in family.ports:
            if port.parameter != parameter.name:
                continue
            if port.view != shape:  # counted in another shape: its axes are not the tensor's
                return
            sizes = [shape[a] for a in port.axes]
            rows = torch.unravel_index(port.index.flatten(), sizes)
            for axis, coordinates in zip(port.axes, rows, strict=True):
                moved[axis][coordinates] = True
        for term in family.terms:
            if term.target.parameter == parameter.name:
                block = term.target.block or (None,) * len(shape)
                for axis, bounds in enumerate(block):
                    moved[axis][slice(*bounds) if bounds else slice(None)] = True
    for axis, coordinates in enumerate(moved):
        rows = int((~coordinates).sum())
        if rows:
            yield Still(axis, rows, shape[axis])
