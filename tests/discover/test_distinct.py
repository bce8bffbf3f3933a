"""Rows of integers against plain Python."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from paramsym.discovery.distinct import (
    alike,
    changes,
    count_entries,
    counted,
    distinct,
    distinct_rows,
    first_occurrences,
    keys,
    repeats,
)
from paramsym.discovery.labels import FIXED

SIZES = list(product((0, 1, 2, 50), (1, 2, 3), (1, 4, 2**61)))
TABLES = [
    np.random.default_rng(seed).integers(-2, span, (rows, width))
    for seed, (rows, width, span) in enumerate(SIZES)
]


@pytest.mark.parametrize("table", TABLES)
def test_keys_order_rows(table: np.ndarray) -> None:
    key = keys(*table.T)
    for i, j in product(range(len(table)), repeat=2):
        assert (key[i] < key[j]) == (tuple(table[i]) < tuple(table[j]))


@pytest.mark.parametrize("table", TABLES)
def test_distinct_rows(table: np.ndarray) -> None:
    expected = sorted(set(map(tuple, table.tolist())), key=lambda row: row[::-1])
    assert list(map(tuple, distinct_rows(table).tolist())) == expected


@pytest.mark.parametrize("table", TABLES)
def test_counts(table: np.ndarray) -> None:
    expected = Counter(map(tuple, table.tolist()))
    *columns, counts = counted(*table.T)
    found = zip(zip(*(c.tolist() for c in columns), strict=True), counts.tolist(), strict=True)
    assert list(found) == sorted(expected.items())


def test_distinct_entries_of_an_array() -> None:
    assert distinct(np.array([[3, 1], [1, -1]])).tolist() == [-1, 1, 3]
    assert distinct(np.empty((0, 2), dtype=np.int64)).tolist() == []


def test_fixed_entries_are_not_counted() -> None:
    labels, rows = np.array([[5, FIXED, 5], [4, 5, FIXED]]), np.array([[0, 0, 0], [1, 1, 1]])
    assert count_entries(labels, rows).tolist() == [[4, 1, 1], [5, 0, 2], [5, 1, 1]]


def test_changes_are_seen_in_every_column() -> None:
    columns = np.array([1, 1, 1, 2]), np.array([7, 7, 8, 8])
    assert changes(*columns).tolist() == [True, False, True, True]
    assert changes(np.empty(0, dtype=np.int64)).tolist() == []


def test_sequences_are_numbered_as_they_occur() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 2, (rng.integers(1, 4), 2)) for _ in range(60)]
    starts = np.cumsum([0, *map(len, sequences[:-1])])
    number = alike(starts, list(np.concatenate(sequences).T))
    first: dict[bytes, int] = {}
    assert number.tolist() == [first.setdefault(s.tobytes(), len(first)) for s in sequences]
    assert len(first) < len(sequences)


def test_there_may_be_no_sequences() -> None:
    none = np.empty(0, dtype=np.int64)
    assert alike(none, [none]).tolist() == []


@pytest.mark.parametrize("table", TABLES)
def test_first_occurrences(table: np.ndarray) -> None:
    first, number = first_occurrences(*table.T)
    rows = list(map(tuple, table.tolist()))
    order = list(dict.fromkeys(rows))
    assert [rows[k] for k in first] == order
    assert [order[k] for k in number] == rows


@pytest.mark.parametrize("seed", range(20))
def test_repeats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, size=3)
    labels = np.repeat(rng.integers(0, 2, size=sizes), rng.integers(1, 3), axis=1)
    for axis in range(3):
        slices = [labels.take(k, axis) for k in range(labels.shape[axis])]
        same = [False, *(np.array_equal(*pair) for pair in pairwise(slices))]
        assert repeats(labels, axis).tolist() == same
    assert repeats(np.zeros((1, 2), dtype=np.int64), 0, 3).tolist() == [False, True, True]
