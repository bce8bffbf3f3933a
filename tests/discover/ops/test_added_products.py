"""`addcmul` and `addcdiv` say what the sum and the product say that they are made of."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.discover.checking import Net, generic, groups

Function = Callable[[Tensor, Tensor], Tensor]

PAIRS: dict[str, tuple[Function, Function]] = {
    "a + a b": (lambda a, b: torch.addcmul(a, a, b), lambda a, b: a + a * b),
    "b + a b": (lambda a, b: torch.addcmul(b, a, b), lambda a, b: b + a * b),
    "a + b b": (lambda a, b: torch.addcmul(a, b, b), lambda a, b: a + b * b),
    "a + a a": (lambda a, b: torch.addcmul(a, a, a) + b, lambda a, b: a + a * a + b),
    "a + a / b": (lambda a, b: torch.addcdiv(a, a, b), lambda a, b: a + a / b),
}


@pytest.mark.parametrize("name", PAIRS)
def test_families_are_those_of_the_parts(name: str) -> None:
    """In one call, of linear layers without and with a bias; nothing is withdrawn."""
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def found(f: Function) -> ps.Symmetry:
        model = generic(
            Net(
                lambda n, x: n.out(f(n.a(x), n.b(x))),
                a=nn.Linear(3, 2, bias=False),
                b=nn.Linear(3, 2),
                out=nn.Linear(2, 4),
            )
        )
        return ps.discover(model, (x,))

    fused, parts = map(found, PAIRS[name])
    assert groups(fused) == groups(parts)
    assert fused.verification is not None
    assert fused.verification.withdrawn == ()
