"""Changes of outputs, and the largest of several residuals."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from paramsym.residuals import largest, relative_change, relative_size


@pytest.mark.parametrize("order", list(permutations([0.5, math.nan, 2.0])))
def test_nothing_hides_a_nan(order: tuple[float, ...]) -> None:
    assert math.isnan(largest(*order))


def test_otherwise_it_is_the_largest() -> None:
    assert largest(0.5, 2.0, -1.0) == 2.0
    assert largest(0.5, math.inf) == math.inf


@pytest.mark.parametrize(
    ("output", "reference", "wanted"),
    [
        (torch.tensor([1.0, -3.0]), torch.tensor([1.0, -4.0]), 0.25),
        (torch.tensor([0.5]), torch.tensor([0.0]), 0.5),
        (torch.tensor([1.0]), torch.tensor([math.inf]), math.inf),
        (torch.tensor([1.0]), torch.tensor([math.nan]), math.inf),
        (torch.tensor([3 + 4j]), torch.tensor([0j + 5]), math.sqrt(20) / 5),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), 0.0),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), 1.0),
        (torch.tensor([True]), torch.tensor([False]), 1.0),
        (torch.tensor([True]), torch.tensor([True]), 0.0),
        (torch.empty(0), torch.empty(0), 0.0),
    ],
)
def test_relative_changes(output: Tensor, reference: Tensor, wanted: float) -> None:
    assert relative_change(output, reference) == pytest.approx(wanted)


def test_a_known_change() -> None:
    assert relative_size(torch.tensor([-1.0]), torch.tensor([4.0])) == 0.25
    assert relative_size(torch.tensor([True]), torch.tensor([False])) == 1.0
