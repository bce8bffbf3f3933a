"""Complex parameters are barriers: what is said of the real ones holds."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.discover.checking import Net, groups

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def complex_weight(n: int, m: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(n, m, dtype=torch.complex128))


def mixed() -> nn.Module:
    def run(net: Any, x: Tensor) -> Tensor:
        z = net.into(x).to(torch.complex128) @ net.p
        return net.out(torch.relu(net.hidden(torch.view_as_real(z).flatten(1))))

    return Net(
        run, into=nn.Linear(3, 3), p=complex_weight(3, 4), hidden=nn.Linear(8, 3),
        out=nn.Linear(3, 2),
    ).double()  # fmt: skip


def test_a_barrier_that_is_named() -> None:
    model = mixed()
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == {"T₊(3)": 1, "T₊(1)": 1}  # one scale passes the product
    (barrier,) = symmetry.barriers
    assert (barrier.op, barrier.count) == ("complex parameter", 1)
    assert symmetry.verification is not None
    assert symmetry.verification.holds
    params = dict(model.named_parameters())
    moved = symmetry.act(symmetry.sample(generator=torch.Generator().manual_seed(0)), params)
    after = torch.func.functional_call(model, moved, (X,))
    assert float((after - model(X)).detach().abs().max()) < 1e-12


def test_no_real_parameter_to_count() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        return torch.view_as_real(x.to(torch.complex128) @ net.p @ net.q)

    model = Net(run, p=complex_weight(3, 4), q=complex_weight(4, 2))
    assert not ps.discover(model, (X,)).families
    with pytest.raises(ValueError, match="no real parameter that its outputs depend on"):
        ps.certify(model, (X,))
