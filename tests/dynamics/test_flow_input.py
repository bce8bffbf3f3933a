"""What `gradient_flow` refuses, and what it says."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.laws.subject import Params

START = {"x": torch.tensor([1.0, 2.0], dtype=torch.float64), "y": torch.ones(3).double()}


def loss(params: Params) -> Tensor:
    return params["x"].square().sum() + params["y"].square().sum()


def flow(
    loss: Any = loss, params: Any = START, times: Any = (0.0, 1.0), **options: Any
) -> ps.Trajectory:
    return ps.gradient_flow(loss, params, times, **options)


@pytest.mark.parametrize(
    "times", [(0.0,), (), (0.0, 0.0), (1.0, 0.5), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_times(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="`times` must be two or more finite, increasing times"):
        flow(times=times)


@pytest.mark.parametrize("rtol", [0.0, -1e-3, 1e-15, 1.0, float("nan")])
def test_rtol(rtol: float) -> None:
    with pytest.raises(ValueError, match=r"`rtol` must be at least 2\.2e-14"):
        flow(rtol=rtol)


@pytest.mark.parametrize("name", ["atol", "stop_at"])
@pytest.mark.parametrize("value", [-1e-12, float("inf"), float("nan")])
def test_atol_and_stop_at(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must not be negative, nor infinite; got"):
        flow(**{name: value})


def test_method() -> None:
    with pytest.raises(ValueError, match=r"`method` must be 'auto', .*; got 'euler'"):
        flow(method="euler")


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (0.0, ValueError, "`rate` must be positive and finite; got [0.0]"),
        (-1.0, ValueError, "`rate` must be positive and finite"),
        (float("inf"), ValueError, "`rate` must be positive and finite"),
        (True, TypeError, "`rate` must be a number or a tensor; got bool"),
        ("fast", TypeError, "`rate` must be a number or a tensor; got str"),
        ({"x": 1.0, "z": 1.0}, ValueError, "unknown: ['z'], missing: ['y']"),
        ({"x": 1.0, "y": torch.ones(2)}, ValueError, "`rate['y']` must be a number or have"),
        ({"x": 1.0, "y": torch.tensor([1.0, 0.0, 1.0])}, ValueError, "`rate['y']` must be posi"),
    ],
)
def test_rate(rate: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        flow(rate=rate)


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        ([torch.ones(2)], TypeError, "`params` must be a dict of tensors by name; got list"),
        ({}, ValueError, "`params` must have at least one parameter"),
        (
            {"x": torch.ones(2, dtype=torch.int64)},
            TypeError,
            "floating-point tensor; got torch.int",
        ),
        ({"x": torch.ones(2, dtype=torch.complex128)}, TypeError, "got torch.complex128"),
        ({"x": 1.0}, TypeError, "`params['x']` must be a real floating-point tensor; got float"),
        ({"x": torch.tensor([1.0, float("nan")])}, ValueError, "`params['x']` must be finite"),
    ],
)
def test_params(params: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        flow(params=params)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (lambda p: p["x"].square(), ValueError, "must return a scalar, of shape []; got shape [2]"),
        (lambda p: 1.0, TypeError, "`loss` must return a tensor; got float"),
        (lambda p: p["x"].sum().float(), TypeError, "must be computed in float64"),
        (lambda p: p["x"].sum() * 1j, TypeError, "got torch.complex128"),
        (lambda p: p["x"].long().sum(), TypeError, "got torch.int64"),
        (lambda p: (p["x"] - 5).log().sum(), ValueError, "must be finite at `params`; got nan"),
        (lambda p: (p["x"] - p["x"]).norm().sqrt(), ValueError, "gradient of `loss` must be fin"),
        (lambda p: p["x"].detach().sum(), ValueError, "depends on none of ['x', 'y']"),
        (lambda p: torch.ones((), dtype=torch.float64), ValueError, "must depend on at least one"),
    ],
)
def test_loss(wrong: Callable[[Params], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        flow(wrong)


def test_a_loss_that_is_not_a_function() -> None:
    """Dropout and changing batches have no flow; seen before the first step."""
    with pytest.raises(ValueError, match=r"function of `params` alone.*dropout"):
        flow(lambda p: nn.functional.dropout(p["y"].repeat(9) ** 2).sum())


def test_data_in_float32() -> None:
    """Parameters become float64, and data must too: the message says so."""
    model, x = nn.Linear(2, 1), torch.ones(3, 2)
    params = dict(model.named_parameters())

    def with_data(p: Params) -> Tensor:
        return torch.func.functional_call(model, dict(p), (x,)).square().sum()

    with pytest.raises(TypeError, match=r"failed on float64 parameters.*\.double\(\)"):
        flow(with_data, params)


def test_errors_of_the_loss_itself_pass() -> None:
    with pytest.raises(RuntimeError, match="size of tensor"):
        flow(lambda p: (p["x"] + p["y"]).sum())


@pytest.mark.parametrize(
    ("gradient", "kind", "message"),
    [
        (lambda p: None, TypeError, "`gradient` must return a dict"),
        (lambda p: {"x": p["x"]}, ValueError, "shape [3] for 'y', as the parameter has; got None"),
        (
            lambda p: {"x": p["x"], "y": p["x"]},
            ValueError,
            "for 'y', as the parameter has; got [2]",
        ),
        (lambda p: {k: v.float() for k, v in p.items()}, TypeError, "must be computed in float64"),
        (lambda p: {k: v / 0 for k, v in p.items()}, ValueError, "must be finite"),
    ],
)
def test_gradient(gradient: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        flow(gradient=gradient)
