"""Losses of any precision are computed in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.landscape import hessian
from paramsym.landscape.precision import DoublePrecision
from tests.landscape.losses import EPS, Params, detached, normal

CASTS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x.float(),
    lambda x: x.to(torch.float32),
    lambda x: x.to(dtype=torch.bfloat16),
    lambda x: x.half(),
    lambda x: x.type(torch.float32),
    lambda x: x + torch.zeros(x.shape, dtype=torch.float32),
]


@pytest.mark.parametrize("cast", CASTS)
def test_casts_round_nothing(rng: torch.Generator, cast: Callable[[Tensor], Tensor]) -> None:
    theta = normal(rng, 4)
    found = hessian(lambda p: (cast(p["a"]) ** 4).sum(), {"a": theta})
    torch.testing.assert_close(found, torch.diag(12 * theta**2), rtol=8 * EPS, atol=0)


def test_a_float32_model_on_float32_data(rng: torch.Generator) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).eval()
    assert isinstance(model[1], nn.BatchNorm1d)
    model[1].running_mean = torch.randn(4, generator=rng)
    x, y = torch.randn(9, 3, generator=rng), torch.randn(9, 2, generator=rng)
    params = detached(model)
    narrow = hessian(lambda p: (functional_call(model, p, (x,)) - y).square().mean(), params)
    assert narrow.dtype == torch.float64
    wide, exact = (model.double(), {k: p.double() for k, p in params.items()})
    X, Y = x.double(), y.double()
    expected = hessian(lambda p: (functional_call(wide, p, (X,)) - Y).square().mean(), exact)
    torch.testing.assert_close(narrow, expected, rtol=0, atol=64 * EPS * float(expected.norm()))


def test_buffers_are_left_alone_and_read_as_written(rng: torch.Generator) -> None:
    buffer = torch.zeros(3)

    def loss(params: Params) -> Tensor:
        made = torch.zeros(3)  # of torch's default dtype
        made[:2] = params["a"]
        buffer.copy_(made)
        return (buffer**2).sum()

    found = hessian(loss, {"a": torch.ones(2)})
    torch.testing.assert_close(found, 2 * torch.eye(2, dtype=torch.float64))
    assert not buffer.any()


def test_a_batch_norm_in_training_keeps_its_statistics(rng: torch.Generator) -> None:
    model = nn.BatchNorm1d(3)
    x = torch.randn(8, 3, generator=rng)
    hessian(lambda p: (functional_call(model, p, (x,)) ** 4).sum(), detached(model))
    assert model.running_mean is not None
    assert not model.running_mean.any()


def test_the_largest_tensor() -> None:
    with DoublePrecision() as mode:
        torch.ones(3).outer(torch.ones(7)).sum()
    assert mode.largest == 21


def test_shapes_keep_their_type() -> None:
    with DoublePrecision():
        shape = torch.zeros(2, 3).shape
    assert isinstance(shape, torch.Size)
    assert shape.numel() == 6
