"""What is stated of arrays of labels says the same as all their entries do."""

import numpy as np
import pytest

from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Labels, Layer


def drawn(rng: np.random.Generator, facts: Facts) -> Layer:
    """A layer over 4 × 3 × 2 entries that varies along some axes, and repeats itself along them."""
    sizes = [size if rng.random() < 0.6 else 1 for size in (4, 3, 2)]
    kinds = [rng.integers(0, size, size=size) for size in sizes]
    labels = facts.fresh(tuple(sizes))[np.ix_(*kinds)]
    return Layer(labels, float(rng.choice([1.0, -1.0, 2.0])))


def null_space(rows: np.ndarray) -> np.ndarray:
    """The projection onto the solutions."""
    return np.eye(rows.shape[1]) - np.linalg.pinv(rows) @ rows


@pytest.mark.parametrize("seed", range(60))
def test_a_balance_says_what_its_entries_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts = Facts()
    layers = [drawn(rng, facts) for _ in range(rng.integers(1, 4))]
    facts.balance(*layers)
    entries = np.zeros((24, facts.count))
    for layer in layers:
        labels = np.broadcast_to(layer.labels, (4, 3, 2)).ravel()
        np.add.at(entries, (np.arange(24), labels), layer.exponent)
    stated = []
    for exponents, blocks in facts.balances.items():
        for labels in np.concatenate(blocks):
            row = np.zeros(facts.count)
            np.add.at(row, labels, exponents)
            stated.append(row)
    assert len(stated) <= 24
    assert abs(null_space(np.array(stated)) - null_space(entries)).max() < 1e-12


def test_entries_that_repeat_are_stated_once() -> None:
    """A class token beside patches, and positions added: two kinds of rows, not one a position."""
    facts = Facts()
    tokens = facts.fresh((2, 5))[np.r_[0, np.ones(99, dtype=int)]]
    facts.balance(Layer(tokens), Layer(facts.fresh((100, 1)), -1.0), Layer(facts.fresh((5,)), -1.0))
    assert sum(len(rows) for rows in facts.balances[1.0, -1.0, -1.0]) == 2 * 5 + 98


def test_a_gain_has_one_label_for_every_pair_of_coordinate_and_entry() -> None:
    facts = Facts()
    tokens = facts.fresh((2, 5))[np.r_[0, np.ones(99, dtype=int)]]
    after = facts.multiply(tokens, facts.fresh((5,)), "gain", 0.0)
    assert pairs(after, tokens) == 10
    assert len(np.unique(after)) == len(facts.gains[0].after) == 10


def pairs(left: Labels, right: Labels) -> int:
    """How many different pairs stand in the same places."""
    return len(set(zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)))
