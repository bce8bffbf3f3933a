"""Numbers added to what a layer gives: its bias scales about minus that number."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.cases import branching
from tests.discover.checking import Net, assert_sound, detached, generic, groups, nullity

RNG = torch.Generator().manual_seed(0)
X = torch.randn(30, 3, generator=RNG, dtype=torch.float64)
C = torch.randn(30, 2, generator=RNG, dtype=torch.float64)


def bent(z: Tensor) -> Tensor:
    return F.leaky_relu(z, 0.2)


def modulated(net: Any, x: Tensor, c: Tensor) -> Tensor:
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (1 + scale) + shift))


def read_twice(net: Any, x: Tensor, c: Tensor) -> Tensor:
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (scale + 1) + shift)) + net.out(bent(x.sin() * (scale + 1) + shift))


def one_less(net: Any, x: Tensor, c: Tensor) -> Tensor:
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (scale + -0.5) + shift))


def read_plainly_too(net: Any, x: Tensor, c: Tensor) -> Tensor:
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (1 + scale) + shift)) + scale.sin()[:, :2]


def two_numbers(net: Any, x: Tensor, c: Tensor) -> Tensor:
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (1 + scale) + shift)) + net.out(bent(x * (2 + scale) + shift))


def from_one(net: Any, x: Tensor, c: Tensor) -> Tensor:
    """1 − s is no sum."""
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (1 - scale) + shift))


def after_a_square(net: Any, x: Tensor, c: Tensor) -> Tensor:
    """The number is not added to what the layer gives."""
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    return net.out(bent(x * (1 + scale.square()) + shift))


def overwritten(net: Any, x: Tensor, c: Tensor) -> Tensor:
    """Something else stands where a part of the layer's output was."""
    scale, shift = net.f(torch.tanh(c)).chunk(2, -1)
    scale = scale.clone()
    scale[:, 0] = x[:, 1]
    return net.out(bent(x * (1 + scale) + shift))


def model(run: Callable[..., Tensor]) -> nn.Module:
    return generic(Net(run, f=nn.Linear(2, 6), out=nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("run", "centre"), [(modulated, "-1"), (read_twice, "-1"), (one_less, "0.5")]
)
@pytest.mark.parametrize("watch", [False, True], ids=["exported", "watched"])
def test_scales_of_modulations(run: Callable[..., Tensor], centre: str, watch: bool) -> None:
    """One scale for each channel, and nothing else."""
    net = model(run)
    symmetry = ps.discover(branching(net) if watch else net, (X, C))
    assert groups(symmetry) == {f"T₊(3) about {centre}": 1}
    assert_sound(net, (X, C), symmetry)
    assert nullity(net, (X, C)) == 3 == symmetry.orbit_dim(detached(net))


@pytest.mark.parametrize(
    "run", [read_plainly_too, two_numbers, from_one, after_a_square, overwritten]
)
def test_none_where_the_layer_is_read_otherwise(run: Callable[..., Tensor]) -> None:
    net = model(run)
    symmetry = ps.discover(net, (X, C), verify=False)
    assert_sound(net, (X, C), symmetry)
    assert not any("about" in kind for kind in groups(symmetry))


def test_channels_of_a_convolution() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        a, b = net.into(x).split(2, 1)
        return net.out(bent(a * (1 + b)))

    net = generic(Net(run, into=nn.Conv2d(2, 4, 1), out=nn.Conv2d(2, 2, 1)))
    x = torch.randn(4, 2, 3, 3, generator=RNG, dtype=torch.float64)
    symmetry = ps.discover(net, (x,))
    assert groups(symmetry) == {"T₊(2)": 1, "T₊(2) about -1": 1}
    assert_sound(net, (x,), symmetry)
    assert nullity(net, (x,)) == 4


def test_seen_in_another_shape() -> None:
    """Rows beside one another become one axis, which tensors that repeat a bias cannot show."""

    def run(net: Any, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = net.f(torch.tanh(c)).view(-1, 3).view(30, 2, 3).unbind(1)
        return net.out(bent(x * (1 + scale) + shift))

    model = generic(Net(run, f=nn.Linear(2, 6), out=nn.Linear(3, 2)))
    assert_sound(model, (X, C), ps.discover(model, (X, C)))
