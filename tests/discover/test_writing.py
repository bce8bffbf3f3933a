"""Writes through views are followed in exported models, and end the analysis in watched ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.cases import branching
from tests.discover.checking import Net, assert_sound, generic, groups

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def bent(z: Tensor) -> Tensor:
    return F.leaky_relu(z, 0.2)


def in_slices(net: Any, x: Tensor) -> Tensor:
    hidden = x.new_zeros(len(x), 8)
    hidden[:, :4] = net.a(x)
    hidden[:, 4:].copy_(bent(net.b(x)))
    hidden.view(-1, 2, 4)[:, 0].mul_(2)
    return net.c(bent(hidden))


def one_by_one(net: Any, x: Tensor) -> Tensor:
    hidden = torch.empty(len(x), 8, dtype=x.dtype)
    hidden[:, 0::2] = net.a(x)
    for k in range(4):
        hidden[:, 2 * k + 1] = net.b(x)[:, k]
    return net.c(bent(hidden))


def spectrum(net: Any, x: Tensor) -> Tensor:
    """Half of the frequencies are filled in, the others stay zero."""
    z = torch.zeros(len(x), 8, dtype=torch.complex128)
    z[:, :4] = torch.complex(net.a(x), net.b(x))
    return net.c(z.abs())


def parts() -> dict[str, nn.Module]:
    return {"a": nn.Linear(3, 4), "b": nn.Linear(3, 4), "c": nn.Linear(8, 2)}


@pytest.mark.parametrize(("run", "count"), [(in_slices, 2), (one_by_one, 2), (spectrum, 1)])
def test_all_names_of_the_memory_follow(run: Callable[[Any, Tensor], Tensor], count: int) -> None:
    model = generic(Net(run, **parts()))
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == {"T₊(4)": count}
    assert not symmetry.barriers
    assert_sound(model, (X,), symmetry)
    if run is not spectrum:
        assert ps.certify(model, (X,), symmetry).extra == 0


def test_writes_of_a_real_run_end_the_analysis() -> None:
    model = generic(branching(Net(in_slices, **parts())))
    symmetry = ps.discover(model, (X,))
    assert not symmetry.families
    assert {barrier.op for barrier in symmetry.barriers} == {"copy_"}


def test_a_program_is_followed_too() -> None:
    model = Net(in_slices, **parts()).double()
    program = torch.export.export(model, (X,), strict=False)
    assert groups(ps.discover(program, (X,))) == {"T₊(4)": 2}


def test_whole_numbers_cut_off_what_is_written() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        counts = torch.zeros(len(x), 4, dtype=torch.long)
        counts.copy_(bent(net.a(x)))
        return net.d(counts.double())

    model = generic(Net(run, a=nn.Linear(3, 4), d=nn.Linear(4, 2)))
    assert not ps.discover(model, (X,)).families


def in_steps(net: Any, x: Tensor) -> Tensor:
    """A linear state, written step by step."""
    states = torch.zeros(len(x), 3, 4, dtype=x.dtype)
    for t in range(3):
        states[:, t] = net.e(x[:, t : t + 1])
    return net.c(bent(net.d(states)).flatten(1))


def emptied(net: Any, x: Tensor) -> Tensor:
    z = torch.stack([net.a(x), net.a(x.sin())], 1)
    z[:, 1] = 0
    z[:, :, 3:] = 0
    return net.c(bent(z).flatten(1))


@pytest.mark.parametrize(
    ("run", "found"),
    [(in_steps, {"GL(4)": 1, "T₊(2)": 1}), (emptied, {"T₊(4)": 1})],
)
def test_zeros_are_of_any_space(
    run: Callable[[Any, Tensor], Tensor], found: dict[str, int]
) -> None:
    """Vectors written into zeros mix, and zeros written over them."""
    layers = {"e": nn.Linear(1, 4, bias=False), "d": nn.Linear(4, 2)}
    readers = {"c": nn.Linear(6 if run is in_steps else 8, 2)}
    model = generic(Net(run, **parts() | layers | readers))
    symmetry = ps.discover(model, (X,))
    linear = symmetry.select(*(f.name for f in symmetry if f.ports))
    assert groups(linear) == found
    assert_sound(model, (X,), symmetry)
