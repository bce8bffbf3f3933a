"""A picture of a symmetry: the modules in a row, and an arc for every hidden space that may move.

Geometry only, in pixels; `templates/drawing.svg.j2` draws it.
"""

import math
from dataclasses import dataclass
from typing import final

from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, Group, Orthogonal, PositiveScaling, Translation
from paramsym.symmetry import Symmetry

WIDTH = 840
MOST_MODULES = 90
"""Modules drawn; the picture of a larger model shows its first ones."""
_MOST_LABELS = 30
_NODE_GAP = 20
_MARGIN = 8


@final
@dataclass(frozen=True)
class Box:
    """A module: its left half stands for what it reads, its right half for what it writes.

    Attributes:
        name: Path of the module.
        label: The name as it is written below, or nothing where there is no room.
        title: What a reader sees on pointing at it.
        x: Left edge.
        width: Width.
        height: Height, by the logarithm of its number of parameters.
        reads: Kinds of the groups that act on its reading side; none for data.
        writes: Kinds of the groups that act on its writing side.
        plain: Whether no family moves it.
    """

    name: str
    label: str
    title: str
    x: float
    width: float
    height: float
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    plain: bool


@final
@dataclass(frozen=True)
class Arc:
    """A family: curves from the modules that write the space to a node, and on to its readers.

    Attributes:
        kind: Kind of its group, which decides the colour.
        label: The group's symbol, or nothing where there is no room.
        title: What a reader sees on pointing at it.
        x: Horizontal position of the node.
        y: Height of the node above the modules.
        radius: Radius of the node, by the logarithm of the orbit dimension.
        stroke: Width of the curves.
        feet: Horizontal positions of the curves' ends.
    """

    kind: str
    label: str
    title: str
    x: float
    y: float
    radius: float
    stroke: float
    feet: tuple[float, ...]


@final
@dataclass(frozen=True)
class Drawing:
    """The picture.

    Attributes:
        width: Of the picture.
        above: Height of the part above the modules' upper edge.
        below: Height of the part below it.
        depth: Height of the tallest box, below which the labels stand.
        boxes: The modules drawn.
        arcs: The families drawn.
        kinds: Kinds of groups that occur, with what they are in words.
        left_out: Number of modules that there was no room for.
        tilted: Whether labels are tilted.
    """

    width: int
    above: float
    below: float
    depth: float
    boxes: tuple[Box, ...]
    arcs: tuple[Arc, ...]
    kinds: tuple[tuple[str, str], ...]
    left_out: int
    tilted: bool


_WORDS = {
    "scaling": "T₊ · scale each coordinate",
    "linear": "GL · mix linearly",
    "affine": "Aff · mix linearly and shift",
    "rotation": "O · rotate",
    "pair": "ℂˣ · scale and turn each pair",
    "shift": "shift",
}


def kind_of(group: Group) -> str:
    """One word for a group, by which pictures colour it."""
    names: dict[type[Group], str] = {
        PositiveScaling: "scaling",
        Affine: "affine",
        Orthogonal: "rotation",
        ComplexScaling: "pair",
        Translation: "shift",
    }
    return names.get(type(group), "linear")


def module_of(parameter: str) -> str:
    """The module that holds a parameter; the parameter itself at the top of a model."""
    return parameter.rpartition(".")[0] or parameter


def draw(symmetry: Symmetry) -> Drawing:
    """Lay the symmetry out in a row of modules, in the order of the model's parameters."""
    sizes: dict[str, int] = {}
    for parameter in symmetry.parameters:
        module = module_of(parameter.name)
        sizes[module] = sizes.get(module, 0) + parameter.numel
    modules = list(sizes)[:MOST_MODULES]
    pitch = min(150.0, (WIDTH - 2 * _MARGIN) / max(1, len(modules)))
    width = min(46.0, 0.62 * pitch)
    left = (WIDTH - pitch * len(modules)) / 2
    centre = {name: left + (i + 0.5) * pitch for i, name in enumerate(modules)}
    sides = {family.name: _sides(family) for family in symmetry.families}
    boxes = tuple(
        _box(symmetry, name, sizes[name], centre[name] - width / 2, width, pitch, sides)
        for name in modules
    )
    arcs = _arcs(symmetry, centre, width / 4, sides)
    present = dict.fromkeys(kind_of(family.group) for family in symmetry.families)
    labels = [len(box.label) for box in boxes]
    depth = max((box.height for box in boxes), default=0.0)
    tilted = max(labels, default=0) * 7 > pitch
    return Drawing(
        WIDTH,
        max((arc.y + arc.radius for arc in arcs), default=0) + 24,
        depth + (18 + 4.6 * max(labels, default=0) if tilted else 26),
        depth,
        boxes,
        arcs,
        tuple((kind, _WORDS[kind]) for kind in present),
        len(sizes) - len(modules),
        tilted,
    )


def _sides(family: Family) -> tuple[set[str], set[str]]:
    """Modules that write the family's space and modules that read it."""
    readers = {module_of(port.parameter) for port in family.ports if port.dual}
    writers = {module_of(port.parameter) for port in family.ports if not port.dual}
    return writers | {module_of(term.target.parameter) for term in family.terms} - readers, readers


def _box(
    symmetry: Symmetry,
    name: str,
    size: int,
    x: float,
    width: float,
    pitch: float,
    sides: dict[str, tuple[set[str], set[str]]],
) -> Box:
    writes = [f for f in symmetry.families if name in sides[f.name][0]]
    reads = [f for f in symmetry.families if name in sides[f.name][1]]
    kinds = [tuple(dict.fromkeys(kind_of(f.group) for f in side)) for side in (reads, writes)]
    room = _MOST_LABELS * pitch >= WIDTH
    tensors = [p for p in symmetry.parameters if module_of(p.name) == name]
    notes = ", ".join(f"{p.name} {'×'.join(map(str, p.shape)) or 'scalar'}" for p in tensors)
    return Box(
        name,
        _short(name) if room else "",
        f"{name}: {size:,} parameters ({notes})",
        x,
        width,
        10 + 9 * math.log10(1 + size),
        *kinds,
        plain=not (reads or writes),
    )


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else "…" + name[len(name) - limit + 1 :]


def _arcs(
    symmetry: Symmetry,
    centre: dict[str, float],
    offset: float,
    sides: dict[str, tuple[set[str], set[str]]],
) -> tuple[Arc, ...]:
    arcs: list[Arc] = []
    labelled = len(symmetry.families) <= _MOST_LABELS
    for family in sorted(symmetry.families, key=lambda f: _span(sides[f.name], centre)):
        writers, readers = sides[family.name]
        feet = sorted(
            {centre[m] + offset for m in writers if m in centre}
            | {centre[m] - offset for m in readers if m in centre}
        )
        if not feet:
            continue
        x, span = (feet[0] + feet[-1]) / 2, feet[-1] - feet[0]
        radius = 2.5 + 0.9 * math.log2(1 + family.dim)
        y = 26 + min(150.0, 0.32 * span)
        while any(_collide(x, y, arc, labelled) for arc in arcs):
            y += _NODE_GAP / 2
        arcs.append(
            Arc(
                kind_of(family.group),
                str(family.group) if labelled else "",
                f"{family.name}: {family.group}, orbit dimension {family.dim:,}",
                x,
                y,
                radius,
                1 + 0.25 * math.log2(1 + family.dim),
                tuple(feet),
            )
        )
    return tuple(arcs)


def _span(sides: tuple[set[str], set[str]], centre: dict[str, float]) -> float:
    places = [centre[m] for side in sides for m in side if m in centre]
    return max(places, default=0.0) - min(places, default=0.0)


def _collide(x: float, y: float, arc: Arc, labelled: bool) -> bool:
    near = 46 if labelled else 2 * arc.radius
    return abs(arc.x - x) < near and abs(arc.y - y) < (_NODE_GAP + 6 if labelled else arc.radius)
