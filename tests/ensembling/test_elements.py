"""Group elements of a given scale."""

import pytest
import torch

from paramsym.ensembling import condition_numbers, group_elements
from paramsym.ensembling.elements import require_conditioned
from tests.ensembling.subjects import F64, rng


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.05, 1.0, 5.0])
def test_exponential(scale: float) -> None:
    """exp(εT), with exp(−εT) for inverse; every norm, for torch's exponential has weak spots."""
    g = group_elements(5, 30, scale, generator=rng())
    T = torch.randn(30, 5, 5, generator=rng(), dtype=F64) / 5**0.5
    for one, M in zip(g, scale * T, strict=True):
        series = term = torch.eye(5, dtype=F64)
        squarings = 20
        for n in range(1, 12):
            term = term @ (M / 2**squarings) / n
            series = series + term
        for _ in range(squarings):
            series = series @ series
        assert torch.allclose(one, series, rtol=1e-8, atol=1e-8 * float(one.abs().max()))


def test_generators_have_variance_one_over_h() -> None:
    h, members, scale = 20, 100, 1e-3
    T = (group_elements(h, members, scale, "linear", generator=rng()) - torch.eye(h)) / scale
    count = T.numel()
    assert abs(float(T.mean())) < 5 / (count * h) ** 0.5
    assert abs(float(T.var()) * h - 1) < 5 * (2 / count) ** 0.5


def test_both_agree_to_first_order() -> None:
    gaps = []
    for scale in (1e-3, 5e-4):
        both = [group_elements(6, 4, scale, kind, generator=rng()) for kind in ("exp", "linear")]
        gaps.append(float((both[0] - both[1]).norm()))
    assert 3.99 < gaps[0] / gaps[1] < 4.01


def test_float64_whatever_the_default() -> None:
    assert group_elements(3, 2, 1.0, generator=rng()).dtype == F64


def test_condition_numbers() -> None:
    g = group_elements(6, 10, 1.0, generator=rng())
    assert torch.allclose(condition_numbers(g), torch.linalg.cond(g), rtol=1e-10)
    odd = torch.stack([torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.eye(2)]).to(F64)
    odd[0, 0, 0] = 1.0
    assert condition_numbers(odd).tolist() == [float("inf"), float("inf"), 1.0]


def test_singular_elements_are_refused() -> None:
    condition = torch.tensor([10.0, 1e15, float("inf")], dtype=F64)
    with pytest.raises(ValueError, match=r"`scale` is too large for float64: at 20, 2 of 3 group"):
        require_conditioned(condition, 16, 20.0)
    with pytest.raises(ValueError, match="1 of 1 group"):
        require_conditioned(torch.tensor([torch.nan]), 4, 1.0)
    require_conditioned(condition[:1], 16, 20.0)


def test_unknown_elements() -> None:
    with pytest.raises(ValueError, match=r"`elements` must be one of \['exp', 'linear'\]; got 'e'"):
        group_elements(3, 2, 1.0, "e", generator=rng())
