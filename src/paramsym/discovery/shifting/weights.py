"""Parameters that the changes of a value are divided by: in front of a layer scale λ, what goes
unnoticed behind it does if it is λ⁻¹ times as large, entry by entry."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import final

from paramsym.discovery.shifting.values import View


@final
@dataclass(frozen=True, order=True)
class Weight:
    """A parameter with one entry for every position of an axis.

    Attributes:
        axis: The axis of the value.
        parameter: The parameter's name.
        power: The power to which changes are multiplied by it.
    """

    axis: int
    parameter: str
    power: int = -1


Weights = tuple[Weight, ...]
"""Weights in order, each parameter at most once an axis."""


def vector_of(view: View | None) -> str | None:
    """The parameter that a view is, entry by entry along one axis; `None` where it is another."""
    if view is None or not view.is_whole or sum(size > 1 for size in view.shape) != 1:
        return None
    return view.parameter


def moved(weights: Weights, axis: Callable[[int], int | None]) -> Weights | None:
    """The weights with other axes; `None` where one gets none."""
    found = []
    for weight in weights:
        new = axis(weight.axis)
        if new is None:
            return None
        found.append(replace(weight, axis=new))
    return tuple(sorted(found))


def joined(weights: Weights, more: Iterable[Weight]) -> Weights | None:
    """Both; `None` where a parameter would be there twice along one axis."""
    both = (*weights, *more)
    places = {(weight.axis, weight.parameter) for weight in both}
    return tuple(sorted(both)) if len(places) == len(both) else None
