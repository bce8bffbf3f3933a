"""Shifts of one parameter that go unnoticed by themselves: families of the first kind."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.pushing import term_on
from paramsym.discovery.shifting.tolerance import PINNED, UNREAD, Tolerance, meet
from paramsym.discovery.shifting.walk import Run
from paramsym.discovery.shifting.words import Irregular, Word, placed
from paramsym.family import Family
from paramsym.groups import Translation


def killed(run: Run, name: str) -> Tolerance | None:
    """Changes of one parameter that nothing notices; `None` where there are none."""
    found: Tolerance | None = None
    for number in run.numbers_of(name):
        if number in run.outputs:
            return None
        for use in run.uses[number]:
            tolerance = run.tolerances[use.step, use.key]
            found = tolerance if found is None else meet(found, tolerance)
    if found is None:
        return None
    # Parts that this run does not read may be read by another.
    labels = np.where(found.labels == UNREAD, PINNED, found.labels)
    return None if bool((labels == PINNED).all()) else replace(found, labels=labels)


def families_killed(
    name: str, shape: tuple[int, ...], tolerance: Tolerance | None
) -> Iterator[Family]:
    """The family of what one parameter may do by itself."""
    if tolerance is None or any(w.parameter == name for w in tolerance.weights):
        return  # what it reads must not change by it
    labels = tolerance.labels
    for axis in sorted(tolerance.free):
        labels = _with_positions(labels, axis, shape[axis])
    kept = labels != PINNED
    places = np.unique(labels[kept], return_inverse=True)[1]
    numbered = np.full(labels.shape, NONE, dtype=np.int64)
    numbered[kept] = places
    cause = " and ".join(sorted(tolerance.cause))
    for component in _regular(numbered):
        size = int(component.max()) + 1
        word, weights = Word.identity(size), tolerance.weights
        term = term_on(name, shape, word, component, 1.0, weights)
        yield Family(f"{name} ({cause})", Translation(size), terms=(term,))


def _with_positions(labels: Labels, axis: int, size: int) -> Labels:
    shape = [1] * labels.ndim
    shape[axis] = size
    position = np.arange(size).reshape(shape)
    return np.where(labels == PINNED, PINNED, labels * size + position)


def _regular(labels: Labels) -> list[Labels]:
    """Labels that are one product of ranges, or each label alone."""
    try:
        placed(Word.identity(int(labels.max()) + 1), labels)
        return [labels]
    except Irregular:
        found = []
        for k in range(int(labels.max()) + 1):
            own = np.where(labels == k, 0, NONE)
            try:
                placed(Word.identity(1), own)
            except Irregular:
                continue
            found.append(own)
        return found
