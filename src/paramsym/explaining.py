"""What moves a parameter, and what keeps the rest of it still."""

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.family import Family
from paramsym.parameters import Parameter
from paramsym.ports import Port
from paramsym.still import Pin, still_coordinates

if TYPE_CHECKING:
    from paramsym.evidence import Barrier
    from paramsym.symmetry import Symmetry


@final
@dataclass(frozen=True)
class Motion:
    """How one family moves a parameter.

    Attributes:
        family: Name of the family.
        group: Its group, as text.
        role: `"writes"` where the parameter transforms by g, `"reads"` by π(g)⁻¹, `"shifts"` where
            a translation adds to it; `"permutes"` or `"flips"` where a discrete family does.
        axes: Axes that carry the coordinates; several where the coordinate depends on all of them,
            and all axes of a shift.
        rows: Positions along these axes that move.
        of: Positions along these axes.
        degree: α in π(g) = g^α.
        by: Parameters that the motion depends on: the gain of a frame, the weights that a shift is
            compensated by. Where there are any, the parameters move nonlinearly.
    """

    family: str
    group: str
    role: str
    axes: tuple[int, ...]
    rows: int
    of: int
    degree: float = 1.0
    by: tuple[str, ...] = ()

    def __str__(self) -> str:
        axes = ", ".join(map(str, self.axes))
        place = f"axis {axes}" if len(self.axes) == 1 else f"axes {axes} jointly"
        if self.role == "shifts":
            place = "entries"
        extent = "all" if self.rows == self.of else f"{self.rows:,} of"
        degree = "" if self.degree == 1 else f", to the power {self.degree:g}"
        verb = _VERBS[self.role]
        by = ", ".join(self.by)
        depends = (
            f", by amounts that depend on {by}" if self.role == "shifts" else f", through {by}"
        )
        end = degree + (depends if by else "")
        return f"{verb} {place} ({extent} {self.of:,}): {self.family}, {self.group}{end}"


_VERBS = {
    "writes": "writes by",
    "reads": "reads by",
    "shifts": "is shifted on",
    "permutes": "is permuted along",
    "flips": "may change sign along",
}


@final
@dataclass(frozen=True)
class Still:
    """Coordinates along one axis that no continuous family moves.

    Attributes:
        axis: The axis.
        rows: How many of its coordinates are still.
        of: Its size.
        pins: What pins them, where that is known.
    """

    axis: int
    rows: int
    of: int
    pins: tuple[Pin, ...] = ()

    def __str__(self) -> str:
        extent = "all" if self.rows == self.of else f"{self.rows:,} of"
        lines = [f"no family acts along axis {self.axis} ({extent} {self.of:,})"]
        for pin in self.pins:
            some = f"{pin.rows:,} " if pin.rows < self.rows else ""
            lines.append(f"  {some}pinned by {pin}")
        return "\n".join(lines)


@final
@dataclass(frozen=True)
class Explanation:
    """What is known of the symmetries of one parameter.

    Attributes:
        parameter: The parameter.
        motions: What moves it, family by family, discrete ones last.
        still: What no continuous family moves, axis by axis.
        unused: Whether the outputs do not depend on it.
        barriers: Ops that were not analysed, if something of the parameter is still: a symmetry may
            exist behind them. Those that pin it, or all of the model where no pins are known.
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
            yield from (f"  {line}" for line in str(still).splitlines())
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
    """Which families move a parameter, along which axis, and which op pins what none moves.

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
    still = () if unused or not described.is_real else tuple(_still(described, moving, symmetry))
    pinned = {pin.op for part in still for pin in part.pins}
    return Explanation(
        described,
        tuple(_motions([*moving, *symmetry.discrete], described)),
        still,
        unused,
        tuple(b for b in symmetry.barriers if still and (b.op in pinned or not symmetry.pins)),
    )


def _motions(families: Iterable[Family | DiscreteFamily], parameter: Parameter) -> Iterator[Motion]:
    for family in families:
        for port in family.ports:
            if port.parameter == parameter.name:
                yield _motion(family, port)
        if isinstance(family, Family):
            yield from _shifts(family, parameter)


def _motion(family: Family | DiscreteFamily, port: Port) -> Motion:
    if isinstance(family, Family):
        role = "reads" if port.dual else "writes"
    else:
        role = "permutes" if isinstance(family.group, Permutations) else "flips"
    by = (port.frame.parameter,) if port.frame is not None else ()
    rows, of = port.index.numel(), port.row_count
    return Motion(family.name, str(family.group), role, port.axes, rows, of, port.degree, by)


def _shifts(family: Family, parameter: Parameter) -> Iterator[Motion]:
    axes, of = tuple(range(len(parameter.shape))), math.prod(parameter.shape)
    terms = [term for term in family.terms if term.target.parameter == parameter.name]
    for slot in dict.fromkeys(term.target for term in terms):
        sources = [s.slot.parameter for t in terms if t.target == slot for s in t.sources]
        size, by = math.prod(slot.within(parameter.shape)), tuple(dict.fromkeys(sources))
        yield Motion(family.name, str(family.group), "shifts", axes, size, of, by=by)


def _still(parameter: Parameter, moving: Iterable[Family], symmetry: "Symmetry") -> Iterator[Still]:
    shape = parameter.shape or (1,)
    for axis, mask in enumerate(still_coordinates(parameter, moving)):
        rows = int(mask.sum())
        if rows:
            own = (p for p in symmetry.pins if (p.parameter, p.axis) == (parameter.name, axis))
            yield Still(axis, rows, shape[axis], tuple(own))
