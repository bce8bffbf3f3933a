"""A picture of a symmetry: the modules in a row, and an arc for every hidden space that may move.

In a deep network one block stands for all those like it. Geometry only, in pixels;
`templates/drawing.svg.j2` draws it.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import final

from paramsym.parameters import Parameter
from paramsym.report.spaces import Space, folding, module_of, spaces_of
from paramsym.symmetry import Symmetry

WIDTH = 840
MOST_MODULES = 90
"""Modules drawn; the picture of a larger model shows its first ones."""
_MOST_LABELS = 30
_NODE_GAP = 20
_HALF_LETTER = 3.8
_LABEL_HEIGHT = 18
_LETTER_TILTED = 5.5
_LONGEST = 22
_MARGIN = 8


@final
@dataclass(frozen=True)
class Box:
    """A module, or those of repeated blocks.

    Its left half stands for what it reads, its right half for what it writes.

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

    Discrete families share the arc of a continuous one that acts on the same parameters.

    Attributes:
        kind: Kind of its group, which decides the colour.
        label: The groups' symbols, or nothing where there is no room.
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
        left: Room to the left of the picture that tilted labels need.
        width: Of the picture without it.
        above: Height of the part above the modules' upper edge.
        below: Height of the part below it.
        depth: Height of the tallest box, below which the labels stand.
        boxes: The modules drawn.
        arcs: The families drawn.
        kinds: Kinds of groups that occur, with what they are in words.
        left_out: Number of modules that there was no room for.
        tilted: Whether labels are tilted.
    """

    left: float
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
    "discrete": "S, Z₂ · permute, change signs",
}


def draw(symmetry: Symmetry) -> Drawing:
    """Lay the symmetry out in a row of modules, in the order of the model's parameters."""
    tensors: dict[str, list[Parameter]] = {}
    for parameter in symmetry.parameters:
        tensors.setdefault(module_of(parameter.name), []).append(parameter)
    crowded = len(symmetry.families) + len(symmetry.discrete) > _MOST_LABELS
    place = folding(list(tensors), crowded=crowded)
    drawn: dict[str, list[Parameter]] = {}
    for module, own in tensors.items():
        drawn.setdefault(place[module], []).extend(own)
    copies = Counter(place.values())
    short = _short_names(list(drawn))
    modules = list(drawn)[:MOST_MODULES]
    pitch = min(150.0, (WIDTH - 2 * _MARGIN) / max(1, len(modules)))
    width = min(46.0, 0.62 * pitch)
    first = (WIDTH - pitch * len(modules)) / 2
    centre = {name: first + (i + 0.5) * pitch for i, name in enumerate(modules)}
    spaces = spaces_of(symmetry, place)
    boxes = tuple(
        _box(
            name,
            short[name],
            drawn[name],
            copies[name],
            centre[name] - width / 2,
            width,
            pitch,
            spaces,
        )
        for name in modules
    )
    arcs = _arcs(spaces, centre, width / 4)
    present = dict.fromkeys(space.kind for space in spaces)
    labels = [len(box.label) for box in boxes]
    depth = max((box.height for box in boxes), default=0.0)
    tilted = max(labels, default=0) * 7 > pitch
    reach = [_LETTER_TILTED * len(box.label) - box.x - box.width / 2 for box in boxes]
    return Drawing(
        max([0.0, *reach]) if tilted else 0.0,
        WIDTH,
        max((arc.y + arc.radius for arc in arcs), default=0) + 24,
        depth + (18 + 4.6 * max(labels, default=0) if tilted else 26),
        depth,
        boxes,
        arcs,
        tuple((kind, _WORDS[kind]) for kind in present),
        len(drawn) - len(modules),
        tilted,
    )


def _short_names(names: list[str]) -> dict[str, str]:
    """The ends of paths, as long as it takes to tell them apart and to have a word in them."""
    ends = Counter(
        ".".join(parts[-k:])
        for parts in (name.split(".") for name in names)
        for k in range(1, len(parts) + 1)
    )
    return {
        name: next(
            end
            for k in range(1, name.count(".") + 2)
            if (end := ".".join(name.split(".")[-k:])) == name
            or (ends[end] == 1 and re.search(r"[^\W\d_]", end))
        )
        for name in names
    }


def _box(
    name: str,
    short: str,
    tensors: list[Parameter],
    copies: int,
    x: float,
    width: float,
    pitch: float,
    spaces: list[Space],
) -> Box:
    writes = [space for space in spaces if name in space.writers]
    reads = [space for space in spaces if name in space.readers]
    kinds = [_kinds(side) for side in (reads, writes)]
    room = _MOST_LABELS * pitch >= WIDTH
    size = sum(p.numel for p in tensors)
    shown = tensors[: len(tensors) // copies]
    notes = ", ".join(f"{p.name} {'×'.join(map(str, p.shape)) or 'scalar'}" for p in shown)
    times = f", {copies} modules" if copies > 1 else ""
    return Box(
        name,
        _cut(short, _LONGEST) if room else "",
        f"{name}: {size:,} parameters{times} ({notes}{', …' if copies > 1 else ''})",
        x,
        width,
        10 + 9 * math.log10(1 + size),
        *kinds,
        plain=not (reads or writes),
    )


def _kinds(spaces: list[Space]) -> tuple[str, ...]:
    """Kinds of groups that act; discrete ones only where there is no other."""
    kinds = dict.fromkeys(space.kind for space in spaces)
    return tuple(kind for kind in kinds if kind != "discrete" or len(kinds) == 1)


def _cut(name: str, limit: int) -> str:
    return name if len(name) <= limit else "…" + name[len(name) - limit + 1 :]


def _arcs(spaces: list[Space], centre: dict[str, float], offset: float) -> tuple[Arc, ...]:
    arcs: list[Arc] = []
    labelled = len(spaces) <= _MOST_LABELS
    for space in sorted(spaces, key=lambda space: _span(space, centre)):
        feet = sorted(
            {centre[m] + offset for m in space.writers if m in centre}
            | {centre[m] - offset for m in space.readers if m in centre}
        )
        if not feet:
            continue
        x, span = (feet[0] + feet[-1]) / 2, feet[-1] - feet[0]
        radius = 2.5 + 0.9 * math.log2(1 + space.dim)
        y = 26 + min(150.0, 0.32 * span)
        label = space.groups if labelled else ""
        while any(_collide(x, y, radius, label, arc) for arc in arcs):
            y += _NODE_GAP / 2
        arcs.append(
            Arc(
                space.kind,
                label,
                f"{space.name}: {space.groups}"
                + (f", orbit dimension {space.dim:,}" if space.kind != "discrete" else ""),
                x,
                y,
                radius,
                1 + 0.25 * math.log2(1 + space.dim),
                tuple(feet),
            )
        )
    return tuple(arcs)


def _span(space: Space, centre: dict[str, float]) -> float:
    places = [centre[m] for m in space.writers | space.readers if m in centre]
    return max(places, default=0.0) - min(places, default=0.0)


def _collide(x: float, y: float, radius: float, label: str, arc: Arc) -> bool:
    """Whether two nodes, each with its label above it, would overlap."""
    if not label:
        return abs(arc.x - x) < 2 * arc.radius and abs(arc.y - y) < arc.radius
    near = max(46, _HALF_LETTER * (len(label) + len(arc.label)))
    apart = radius + arc.radius + _LABEL_HEIGHT
    return abs(arc.x - x) < near and abs(arc.y - y) < apart
