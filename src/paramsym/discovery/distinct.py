"""Rows of integers: which are equal, how often each occurs, which sequences of them are alike.

A row becomes one number first (`keys`), so that all of this is sorting and comparing of whole
arrays. `np.unique` hashes instead, or sorts structured views, and both take far longer.
"""

from collections.abc import Sequence

import numpy as np

from paramsym.discovery.labels import FIXED, Labels

LARGEST = 2**62
"""Keys stay below this."""


def distinct(numbers: Labels) -> Labels:
    """Distinct entries in ascending order."""
    numbers = np.sort(numbers, axis=None)
    return numbers[changes(numbers)]


def changes(*columns: np.ndarray) -> np.ndarray:
    """For every row whether it differs from the one in front, as a mask; the first one does."""
    differs = np.ones(len(columns[0]), dtype=bool)
    if len(differs) > 1:
        differs[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            differs[1:] |= column[1:] != column[:-1]
    return differs


def repeats(labels: Labels, axis: int, size: int = 1) -> np.ndarray:
    """For every index along an axis whether all entries there are those at the index in front.

    Args:
        labels: An array.
        axis: The axis.
        size: To which size it is broadcast, if it has one entry only.
    """
    count = labels.shape[axis]
    if count == 1:
        return np.arange(size) > 0
    found = np.zeros(count, dtype=bool)
    slices = np.moveaxis(labels, axis, 0).reshape(count, -1)
    if (slices[1:, 0] == slices[:-1, 0]).any():
        found[1:] = (slices[1:] == slices[:-1]).all(1)
    return found


def keys(*columns: Labels) -> Labels:
    """One number for every row of a table, given by its columns: equal where rows are, and in the
    lexicographic order of the rows."""
    key, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    if not len(key):
        return key
    for column in columns:
        low, span = _range(column)
        if size * span > LARGEST:
            key, size = _ranks(key)
        if size * span > LARGEST:
            column, span = _ranks(column)
            low = 0
        key, size = key * span + (column - low), size * span
    return key


def _range(column: Labels) -> tuple[int, int]:
    """The smallest entry, and how many numbers there are from it to the largest."""
    low = int(column.min())
    return low, int(column.max()) - low + 1


def _ranks(numbers: Labels) -> tuple[Labels, int]:
    """Every number replaced by its rank among those that occur, and how many these are."""
    values, ranks = np.unique(numbers, return_inverse=True)
    return ranks, len(values)


def distinct_rows(rows: Labels) -> Labels:
    """Distinct rows, in the order of their last entries, then of those in front."""
    if len(rows) < 2:
        return rows
    key = keys(*rows.T[::-1])
    order = np.argsort(key)
    return rows[order[changes(key[order])]]


def counted(*columns: Labels) -> list[Labels]:
    """Distinct rows of a table in lexicographic order, and behind them how often each occurs; all
    by columns."""
    key = keys(*columns)
    order = np.argsort(key)
    starts = np.flatnonzero(changes(key[order]))
    counts = np.diff(np.append(starts, len(order)))
    return [*(column[order[starts]] for column in columns), counts]


def first_occurrences(*columns: Labels) -> tuple[Labels, Labels]:
    """Where each distinct row of a table occurs first, in order; and for every row its number among
    them."""
    key = keys(*columns)
    order = np.argsort(key, kind="stable")
    starts = changes(key[order])
    if starts.all():
        return np.arange(len(key)), np.arange(len(key))
    first = order[starts]
    number = np.empty(len(key), dtype=np.int64)
    number[order] = np.argsort(np.argsort(first))[np.cumsum(starts) - 1]
    return np.sort(first), number


def count_entries(labels: Labels, rows: Labels) -> Labels:
    """Distinct (label, row, count) triples in order, without fixed entries."""
    moving = labels.ravel() != FIXED
    return np.stack(counted(labels.ravel()[moving], rows.ravel()[moving]), 1)


def alike(starts: Labels, entries: Sequence[Labels]) -> Labels:
    """Numbers of sequences, the same for equal ones, in the order in which they first occur.

    Args:
        starts: Where each sequence begins in the table of their entries; it ends where the next
            one begins.
        entries: The table, by its columns.
    """
    number = np.zeros(len(starts), dtype=np.int64)
    if not len(starts):
        return number
    of_entry, _ = _ranks(keys(*entries))
    length = np.diff(np.append(starts, len(of_entry)))
    before = 0
    for n in distinct(length).tolist():
        own = length == n
        ranks, count = _ranks(keys(*(of_entry[starts[own] + k] for k in range(n))))
        number[own] = before + ranks
        before += count
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
