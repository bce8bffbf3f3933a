"""The solver of balances against a dense null space."""

import numpy as np
import pytest

from paramsym.discovery.balances import Balances, solve

COUNT = 30


def dense(balances: Balances) -> np.ndarray:
    """The equations as one matrix."""
    rows = []
    for exponents, blocks in balances.items():
        for labels in np.concatenate(blocks):
            row = np.zeros(COUNT)
            for label, exponent in zip(labels, exponents, strict=True):
                if label >= 0:
                    row[label] += exponent
            rows.append(row)
    return np.array(rows)


def drawn(seed: int) -> Balances:
    """Equations of every kind: sparse enough that some solutions are left, with labels that stand
    twice in one, fixed ones, and sums that many labels share."""
    rng = np.random.default_rng(seed)
    kinds = [(1.0,), (1.0, -1.0), (1.0, 1.0), (1.0, 2.0), (0.5, -1.5), (1.0, 1.0, -1.0),
             (1.0, -2.0, 0.5), (1.0, 1.0, 1.0, -1.0), (1.0, -1.0, 1 / 3)]  # fmt: skip
    balances: dict[tuple[float, ...], list[np.ndarray]] = {}
    for exponents in kinds:
        for _ in range(rng.integers(0, 3)):
            rows = rng.integers(-1, COUNT, size=(rng.integers(1, 4), len(exponents)))
            balances.setdefault(exponents, []).append(rows)
    shared = rng.integers(-1, COUNT, size=2)
    column = rng.permutation(COUNT)[: rng.integers(1, 8)]
    stacked = np.stack([column, *(np.full(len(column), label) for label in shared)], 1)
    balances.setdefault((1.0, 1.0, -1.0), []).append(stacked)
    return balances


@pytest.mark.parametrize("seed", range(60))
def test_solutions_are_the_null_space(seed: int) -> None:
    balances = drawn(seed)
    classes, elimination = solve(balances, COUNT)
    solutions = np.zeros((len(elimination.basis()), COUNT))
    for vector, solution in zip(elimination.basis(), solutions, strict=True):
        for k, size in vector.items():
            solution[classes.of == k] = float(size)
        solution *= classes.sign
    matrix = dense(balances)
    assert abs(matrix @ solutions.T).max(initial=0.0) < 1e-12
    rank = np.linalg.matrix_rank(matrix)
    assert np.linalg.matrix_rank(solutions) == len(solutions) == COUNT - rank


def test_the_first_label_of_a_class_is_positive() -> None:
    """Families read the sign of a class off its first label."""
    for seed in range(20):
        classes, _ = solve(drawn(seed), COUNT)
        names, first = np.unique(classes.of, return_index=True)
        assert (np.diff(names) == 1).all()
        assert (classes.sign[first] == 1).all()


def test_long_sums_with_one_part_in_common_need_no_elimination() -> None:
    """xᵢ + y − z = 0 for many i: all xᵢ are equal, which leaves one equation of three classes."""
    x = np.arange(3, COUNT)
    rows = np.stack([x, np.full(len(x), 1), np.full(len(x), 2)], 1)
    classes, elimination = solve({(1.0, 1.0, -1.0): [rows]}, COUNT)
    assert len(set(classes.of.tolist())) == 4  # 0 stands in no equation
    assert len(elimination.basis()) == 3
