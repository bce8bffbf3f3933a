"""Blocks of one matrix that read different vectors have columns of their own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.checking import Net, assert_sound, generic, groups

RNG = torch.Generator().manual_seed(0)
X = torch.randn(4, 4, 4, generator=RNG, dtype=torch.float64)
Y = torch.randn(4, 3, 4, generator=RNG, dtype=torch.float64)


def crossed(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """Attention to another sequence, each behind a norm of its own."""
    y = net.norm_y(y)
    return net.out(net.attention(net.norm_x(x), y, y, need_weights=False)[0])


def linear(**layers: nn.Module) -> nn.Module:
    norms = {"norm_x": nn.RMSNorm(4), "norm_y": nn.RMSNorm(4)}
    return generic(Net(crossed, **norms, **layers, out=nn.Linear(4, 3)))


def test_attention_to_another_sequence() -> None:
    """Each norm's gain against the rows that read it; heads as ever."""
    model = linear(attention=nn.MultiheadAttention(4, 2, batch_first=True, bias=False))
    symmetry = ps.discover(model, (X, Y))
    assert groups(symmetry) == {"GL(2) × 2": 2, "T₊(4)": 2, "GL(4)": 1}
    assert_sound(model, (X, Y), symmetry)


def by_slices(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """Rows of a matrix, on two streams that are linear in the inputs."""
    y = net.into_y(y)
    q, k, v = F.linear(net.into_x(x), net.w[:2]), F.linear(y, net.w[2:4]), F.linear(y, net.w[4:])
    return net.out(F.scaled_dot_product_attention(q, k, v))


def read_again(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """As before, and some rows read the other stream too."""
    return by_slices(net, x, y) + F.linear(net.into_y(y), net.w[:2]).sum()


def used_whole(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """As before, and the matrix is read as a whole."""
    return by_slices(net, x, y) + net.w.square().sum()


PARTS = {
    "into_x": lambda: nn.Linear(4, 3, bias=False),
    "into_y": lambda: nn.Linear(4, 3, bias=False),
    "w": lambda: nn.Parameter(torch.randn(7, 3)),
    "out": lambda: nn.Linear(3, 2),
}


def test_streams_of_their_own() -> None:
    """What the blocks read mixes apart (GL(3) twice), as do queries with keys, and values."""
    model = generic(Net(by_slices, **{name: make() for name, make in PARTS.items()}))
    symmetry = ps.discover(model, (X, Y))
    assert groups(symmetry) == {"GL(3)": 3, "GL(2)": 1}
    assert_sound(model, (X, Y), symmetry)
    assert ps.certify(model, (X, Y), symmetry).extra == 0


@pytest.mark.parametrize("run", [read_again, used_whole])
def test_no_blocks_where_rows_are_read_otherwise(run: Any) -> None:
    model = generic(Net(run, **{name: make() for name, make in PARTS.items()}))
    symmetry = ps.discover(model, (X, Y), verify=False)
    assert_sound(model, (X, Y), symmetry)
    assert groups(symmetry)["GL(3)"] < 3
