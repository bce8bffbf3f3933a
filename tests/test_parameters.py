"""Parameters: tied weights, frozen ones, and the checks at the public boundary."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paramsym.parameters import Parameter, check_params, parameters_of

EXPECTED = (Parameter("weight", (2, 3), aliases=("head.weight",)), Parameter("bias", (2,)))


def good() -> dict[str, Any]:
    return {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}


class Tied(nn.Module):
    """Two layers that share a weight; the second has a frozen bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.second.bias.requires_grad_(False)


def test_tied_weights_are_one_parameter() -> None:
    tied, frozen = parameters_of(Tied())
    assert tied == Parameter("first.weight", (3, 3), ("second.weight",), True)
    assert frozen == Parameter("second.bias", (3,), (), False)
    assert (tied.numel, Parameter("scalar", ()).numel) == (9, 1)


def test_equal_but_separate_weights_are_two() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
    assert [p.name for p in parameters_of(model)] == ["0.weight", "1.weight"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_good_parameters_pass(dtype: torch.dtype) -> None:
    check_params({k: p.to(dtype) for k, p in good().items()}, EXPECTED, values=True)


BAD: list[tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = [
    (lambda p: list(p.values()), TypeError, r"`params` must be a dict.*list.*named_parameters"),
    (lambda p: {"weight": p["weight"]}, ValueError, r"lacks 'bias'.*frozen ones too"),
    (lambda p: p | {"wieght": p["weight"]}, ValueError, r"unknown entry 'wieght'.*mean 'weight'"),
    (lambda p: p | {"zzz": p["bias"]}, ValueError, r"unknown entry 'zzz'. Remove it.*no buffers"),
    (
        lambda p: {f"module.{k}": v for k, v in p.items()},
        ValueError,
        r"lacks 'weight'.*start with 'module\.'.*model inside of it.*removeprefix\('module\.'\)",
    ),
    (lambda p: p | {"head.weight": p["weight"]}, ValueError, r"'head.weight'.*tied to 'weight'"),
    (lambda p: p | {"bias": torch.ones(3)}, ValueError, r"'bias'.*shape \(2,\).*got \(3,\).*anew"),
    (lambda p: p | {"bias": torch.ones(2).int()}, TypeError, r"'bias'.*floating-point.*int32"),
    (lambda p: p | {"bias": torch.ones(2).bool()}, TypeError, r"'bias'.*floating-point.*bool"),
    (lambda p: p | {"bias": [0.0, 0.0]}, TypeError, r"'bias'.*must be a tensor; got list"),
    (lambda p: p | {"bias": None}, TypeError, r"'bias'.*must be a tensor; got NoneType"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD, ids=[m for _, _, m in BAD])
def test_bad_parameters(
    spoil: Callable[[dict[str, Any]], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_params(spoil(good()), EXPECTED)


def test_the_symmetry_of_a_wrapped_model_is_told() -> None:
    wrapped = tuple(Parameter(f"_orig_mod.{p.name}", p.shape) for p in EXPECTED)
    with pytest.raises(ValueError, match=r"wrapped model.*'_orig_mod\.': discover that of"):
        check_params(good(), wrapped)


def test_tensors_without_values_cannot_be_checked() -> None:
    on_meta = {k: p.to("meta") for k, p in good().items()}
    check_params(on_meta, EXPECTED)
    with pytest.raises(ValueError, match=r"'weight'.*on the meta device and has no values"):
        check_params(on_meta, EXPECTED, values=True)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_are_checked_on_request(value: float) -> None:
    spoiled: dict[str, Tensor] = good()
    spoiled["weight"][0, :2] = value
    check_params(spoiled, EXPECTED)
    with pytest.raises(ValueError, match=r"'weight'.*finite; 2 of 6 entries are NaN or infinite"):
        check_params(spoiled, EXPECTED, values=True)


def test_the_argument_is_named() -> None:
    with pytest.raises(ValueError, match=r"`velocity` lacks 'weight'"):
        check_params({}, EXPECTED, argument="velocity")
