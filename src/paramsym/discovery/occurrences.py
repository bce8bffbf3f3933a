"""Where coordinates stand in parameters, and ports made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from paramsym.discovery.balances import Classes
from paramsym.discovery.labels import FIXED, Labels, Value
from paramsym.discovery.naming import family_name
from paramsym.discovery.statements import Compensation, Displaced
from paramsym.family import EXACT, Exactness, Family
from paramsym.groups import Group
from paramsym.ports import Frame, Port


@final
@dataclass(frozen=True)
class Occurrences:
    """Where classes stand in one layer of one parameter.

    Attributes:
        parameter: Its name.
        layer: Number of the layer.
        view: Shape of the parameter.
        axes: Axes along which the layer varies.
        classes: Class of every row along the axes, `FIXED` where there is none.
        signs: Its sign.
        offset: Number added to the parameter before it is read.
        norm: The normalisation whose bias it is, where the classes are scales of what that reads.
    """

    parameter: str
    layer: int
    view: tuple[int, ...]
    axes: tuple[int, ...]
    classes: Labels
    signs: Labels
    offset: float = 0.0
    norm: Compensation | None = None


def occurrences(parameters: dict[str, Value], classes: Classes) -> list[Occurrences]:
    found = []
    for name, value in parameters.items():
        for i, layer in enumerate(value.layers):
            axes = layer.axes or (0,) * bool(value.shape)
            labels = layer.labels.ravel()
            of = np.where(labels == FIXED, FIXED, classes.of[labels])
            view = value.shape or (1,)
            found.append(Occurrences(name, i, view, axes or (0,), of, classes.sign[labels]))
    return found


def by_offset(place: Occurrences, offsets: np.ndarray | None) -> list[Occurrences]:
    """Where classes stand in entries to which the same number is added, for each number."""
    if offsets is None:
        return [place]
    return [
        replace(place, classes=np.where(offsets == o, place.classes, FIXED), offset=float(o))
        for o in np.unique(offsets)
    ]


def displaced_occurrences(
    parameters: dict[str, Value], displaced: Mapping[str, Displaced], classes: Classes
) -> list[Occurrences]:
    """Where classes stand in parameters to which a number is added."""
    found = []
    for name, value in parameters.items():
        known = displaced.get(name)
        if known is None or len(known.before) != value.layers[0].labels.size:
            continue
        (place,) = occurrences({name: value}, classes)
        of, signs = classes.of[known.after], classes.sign[known.after]
        found.append(replace(place, classes=of, signs=signs, offset=known.offset))
    return found


def port_at(
    place: Occurrences, index: np.ndarray, degree: float, frame: Frame | None = None
) -> Port:
    return Port(
        place.parameter,
        place.view,
        place.axes,
        torch.from_numpy(index.astype(np.int64)),
        dual=bool(degree < 0),
        degree=float(abs(degree)),
        frame=frame,
    )


def family_of(
    group: Group, ports: list[Port], parameters: dict[str, Value], exactness: Exactness = EXACT
) -> Family:
    order = {name: i for i, name in enumerate(parameters)}
    ports.sort(key=lambda port: (order[port.parameter], port.dual, port.axes))
    return Family(family_name(ports, group), group, tuple(ports), exactness=exactness)
