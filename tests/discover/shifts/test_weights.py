"""Changes that are multiplied by parameters, against a twin that lists every entry."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.steps import Step
from paramsym.discovery.shifting.tolerance import PINNED, UNREAD, Tolerance, joined_along, meet
from paramsym.discovery.shifting.weights import Weight, joined
from tests.discover.shifts.test_tolerance import (
    SHAPE,
    STEPS,
    inside,
    moved,
    space,
    tolerances,
)

NAMES = ("p", "q")


def numbers(name: str, size: int) -> np.ndarray:
    """Entries of a parameter: no two alike, nor any quotients of them."""
    return np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37])[:size]) + (name == "q")


def weighted(shape: tuple[int, ...] = SHAPE) -> st.SearchStrategy[Tolerance]:
    @st.composite
    def drawn(draw: st.DrawFn) -> Tolerance:
        tolerance = draw(tolerances(shape))
        held = [a for a in range(len(shape)) if a not in tolerance.free]
        places = [(a, name) for a in held for name in NAMES]
        chosen = draw(st.lists(st.sampled_from(places), unique=True, max_size=2)) if places else []
        weights = joined((), [Weight(a, name, -1) for a, name in chosen])
        assert weights is not None
        return replace(tolerance, weights=weights)

    return drawn()


def changes(tolerance: Tolerance, shape: tuple[int, ...]) -> torch.Tensor:
    """A basis of all changes that go unnoticed, one a row."""
    basis = space(replace(tolerance, weights=()), shape).reshape(-1, *shape)
    read = torch.from_numpy(np.broadcast_to(tolerance.labels, shape) != UNREAD)
    for w in tolerance.weights:
        factor = torch.from_numpy(numbers(w.parameter, shape[w.axis]) ** w.power)
        factor = factor.reshape([-1 if a == w.axis else 1 for a in range(len(shape))])
        basis = torch.where(read, basis * factor, basis)
    return basis.flatten(1)


@settings(max_examples=150, deadline=None)
@given(weighted(), weighted())
def test_meet_allows_nothing_that_one_forbids(a: Tolerance, b: Tolerance) -> None:
    both = changes(meet(a, b), SHAPE)
    assert inside(both, changes(a, SHAPE))
    assert inside(both, changes(b, SHAPE))


@settings(max_examples=60, deadline=None)
@given(weighted())
def test_meet_keeps_what_both_allow(a: Tolerance) -> None:
    """The same changes, or changes that are free where the other's are multiplied."""
    assert inside(changes(a, SHAPE), changes(meet(a, a), SHAPE))
    a = replace(a, labels=np.zeros((1, 1, 1), dtype=np.int64))
    free = Tolerance(a.labels, frozenset({0, 1, 2}))
    for both in (meet(a, free), meet(free, a)):
        assert inside(changes(a, SHAPE), changes(both, SHAPE))


@settings(max_examples=100, deadline=None)
@given(weighted(), st.lists(st.integers(-1, 3), min_size=12, max_size=12))
def test_what_is_not_noticed_goes_unnoticed(tolerance: Tolerance, entries: list[int]) -> None:
    labels = np.array(entries).reshape(SHAPE)
    noticed = tolerance.allows(labels)
    basis = changes(tolerance, SHAPE)
    for k in np.unique(labels[labels != NONE]):
        if noticed is None or k not in noticed:
            change = torch.from_numpy((labels == k).astype(float)).flatten()[None]
            assert inside(change, basis)


@pytest.mark.parametrize(("step", "shape"), STEPS, ids=str)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_steps(step: Step, shape: tuple[int, ...], data: st.DataObject) -> None:
    """What is allowed before a step is allowed behind it."""
    after = step.shape(shape)
    tolerance = data.draw(weighted(after))
    back = step.tolerance(tolerance, shape)
    assert not back.free & {w.axis for w in back.weights}
    before = changes(back, shape)
    pushed = [moved(step, x.reshape(shape)).flatten() for x in before]
    if pushed:
        rows = torch.stack(pushed)
        assert inside(rows[(rows != 0).any(1)], changes(tolerance, after))


@settings(max_examples=60, deadline=None)
@given(weighted(), st.sets(st.integers(0, 2)))
def test_repeated(tolerance: Tolerance, axes: set[int]) -> None:
    """A change that is the same all along an axis is none that is multiplied there."""
    joint = joined_along(tolerance, sorted(axes))
    shape = tuple(1 if a in axes else n for a, n in enumerate(SHAPE))
    repeated = [x.reshape(shape).expand(SHAPE).flatten() for x in changes(joint, shape)]
    if repeated:
        assert inside(torch.stack(repeated), changes(tolerance, SHAPE))


def test_plain_forgets_what_is_multiplied() -> None:
    labels = np.array([0, PINNED, UNREAD])
    tolerance = Tolerance(labels, frozenset(), weights=(Weight(0, "p"),))
    assert tolerance.plain().labels.tolist() == [PINNED, PINNED, UNREAD]
    assert tolerance.plain().weights == ()
    assert joined((Weight(0, "p"),), [Weight(0, "p")]) is None
