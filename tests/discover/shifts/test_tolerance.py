"""Partitions of entries, against a twin that lists every entry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.steps import Expand, Permute, Reshape, Step, Take
from paramsym.discovery.shifting.tolerance import PINNED, UNREAD, Tolerance, meet

SHAPE = (2, 3, 2)


def tolerances(shape: tuple[int, ...] = SHAPE) -> st.SearchStrategy[Tolerance]:
    @st.composite
    def drawn(draw: st.DrawFn) -> Tolerance:
        sizes = [draw(st.sampled_from([1, n])) for n in shape]
        count = int(np.prod(sizes))
        values = st.lists(st.integers(-2, 2), min_size=count, max_size=count)
        free = draw(st.sets(st.integers(0, len(shape) - 1)))
        free |= {a for a, n in enumerate(shape) if n == 1}
        return Tolerance(np.array(draw(values)).reshape(sizes), frozenset(free))

    return drawn()


def space(tolerance: Tolerance, shape: tuple[int, ...]) -> torch.Tensor:
    """A basis of all changes that go unnoticed, one a row."""
    labels = np.broadcast_to(tolerance.labels, shape)
    classes: dict[tuple[int, ...], np.ndarray] = {}
    for place in np.ndindex(*shape):
        label = int(labels[place])
        if label == PINNED:
            continue
        alone = label == UNREAD
        key = (label, *(place[a] for a in range(len(shape)) if alone or a in tolerance.free))
        classes.setdefault(key, np.zeros(shape))[place] = 1.0
    rows = [torch.from_numpy(c).flatten() for c in classes.values()]
    return torch.stack(rows) if rows else torch.zeros(0, int(np.prod(shape)), dtype=torch.float64)


def inside(small: torch.Tensor, large: torch.Tensor) -> bool:
    """Whether the span of some rows is in that of others."""
    rank = torch.linalg.matrix_rank
    if not len(small):
        return True
    return bool(rank(torch.cat([large, small])) == rank(large)) if len(large) else False


@settings(max_examples=150, deadline=None)
@given(tolerances(), tolerances())
def test_meet_allows_nothing_that_one_forbids(a: Tolerance, b: Tolerance) -> None:
    both = space(meet(a, b), SHAPE)
    assert inside(both, space(a, SHAPE))
    assert inside(both, space(b, SHAPE))


@settings(max_examples=100, deadline=None)
@given(tolerances(), st.lists(st.integers(-1, 3), min_size=12, max_size=12))
def test_allows_is_membership(tolerance: Tolerance, entries: list[int]) -> None:
    """A change by any vector goes unnoticed if that of every component does, and only then."""
    labels = np.array(entries).reshape(SHAPE)
    noticed = tolerance.allows(labels)
    basis = space(tolerance, SHAPE)
    for k in np.unique(labels[labels != NONE]):
        change = torch.from_numpy((labels == k).astype(float)).flatten()[None]
        assert inside(change, basis) == (noticed is None or k not in noticed)


STEPS: list[tuple[Step, tuple[int, ...]]] = [
    (Reshape((6, 2)), SHAPE),
    (Reshape((2, 6)), SHAPE),
    (Reshape((2, 3, 1, 2)), SHAPE),
    (Reshape((3, 4)), (6, 2)),
    (Permute((2, 0, 1)), SHAPE),
    (Take(1, np.array([1, 2])), SHAPE),
    (Take(1, np.array([2, 0, 1])), SHAPE),
    (Take(0, np.array([1])), SHAPE),
    (Take(1, np.array([0, 0, 1])), SHAPE),
    (Expand((4, 2, 3, 2)), SHAPE),
    (Expand((2, 3, 2)), (2, 1, 2)),
]


def moved(step: Step, values: torch.Tensor) -> torch.Tensor:
    """What the step does to a value."""
    if isinstance(step, Reshape):
        return values.reshape(step.new)
    if isinstance(step, Permute):
        return values.permute(step.order)
    if isinstance(step, Take):
        return values.index_select(step.along, torch.from_numpy(step.index))
    assert isinstance(step, Expand)
    return values.expand(step.new)


@pytest.mark.parametrize(("step", "shape"), STEPS, ids=str)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_steps(step: Step, shape: tuple[int, ...], data: st.DataObject) -> None:
    """Labels go where entries go; what is allowed before a step is allowed behind it."""
    count = int(np.prod(shape))
    entries = data.draw(st.lists(st.integers(-1, 4), min_size=count, max_size=count))
    labels = np.array(entries).reshape(shape)
    behind = step.labels(labels, shape)
    after = step.shape(shape)
    expected = moved(step, torch.from_numpy(labels))
    assert np.array_equal(np.broadcast_to(behind, after), expected.numpy())

    tolerance = data.draw(tolerances(after))
    before = space(step.tolerance(tolerance, shape), shape)
    pushed = (
        torch.stack([moved(step, x.reshape(shape)).flatten() for x in before])
        if len(before)
        else torch.zeros(0, int(np.prod(after)), dtype=torch.float64)
    )
    pushed = pushed[(pushed != 0).any(1)]
    assert inside(pushed, space(tolerance, after))
