"""Rules that users write."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery.labels import Layer
from paramsym.discovery.ops import RULES, Call


@torch.library.custom_op("paramsym_extended::cube", mutates_args=())
def cube(z: Tensor) -> Tensor:
    return z**3


@cube.register_fake
def _(z: Tensor) -> Tensor:
    return torch.empty_like(z)


NAME = "paramsym_extended::cube"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(cube(self.a(x)))


def rule(call: Call) -> Any:
    call.facts.isolate_all(call["z"])
    return call.output([Layer(x.labels, 3 * x.exponent) for x in call["z"].layers])


@pytest.fixture(autouse=True)
def no_rule_is_left() -> Iterator[None]:
    yield
    assert NAME not in RULES


def discovered() -> ps.Symmetry:
    return ps.discover(Net(), (torch.randn(5, 3),))


def test_a_rule_lifts_the_barrier_until_it_is_removed() -> None:
    assert [barrier.op for barrier in discovered().barriers] == [NAME]
    with ps.register_rule(cube, rule) as handle:
        symmetry = discovered()
        assert handle.op == NAME
        assert symmetry.barriers == ()
        assert [family.name for family in symmetry] == ["a → b"]
        assert {port.degree for port in symmetry.families[0].ports if port.dual} == {3.0}
        assert symmetry.verification is not None
        assert symmetry.verification.holds
    assert len(discovered()) == 0
    handle.remove()


@pytest.mark.parametrize("op", [cube, NAME, torch.ops.paramsym_extended.cube.default])
def test_as_a_decorator_by_any_name(op: Any) -> None:
    @ps.register_rule(op)
    def decorated(call: Call) -> Any:
        return rule(call)

    assert len(discovered()) == 1
    decorated.remove()


def test_a_later_rule_is_not_removed_by_an_earlier_handle() -> None:
    first = ps.register_rule(cube, rule)
    first.remove()
    second = ps.register_rule(cube, rule)
    first.remove()
    assert NAME in RULES
    second.remove()


def test_a_rule_that_claims_too_much_is_found_out() -> None:
    def wrong(call: Call) -> Any:
        call.facts.isolate_all(call["z"])
        return call.output(call["z"].layers)

    with ps.register_rule(cube, wrong):
        check = discovered().verification
    assert check is not None
    assert check.withdrawn == ("a → b",)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda call: None, TypeError, r"must return `call.output\(layers\)`.*got NoneType"),
        (lambda call: [call["z"]] * 2, ValueError, "at most 1 values, one an output; got 2"),
        (
            lambda call: call.output([Layer(np.arange(7).reshape(1, 7))]),
            ValueError,
            r"broadcast to the output's shape \(5, 4\), with as many axes; got .* \(1, 7\)",
        ),
        (lambda call: call.output([Layer(np.arange(4))]), ValueError, r"got labels of shape \(4,"),
    ],
)
def test_what_a_rule_must_return(returned: Any, error: type[Exception], message: str) -> None:
    with ps.register_rule(cube, returned), pytest.raises(error, match=message):
        discovered()


@pytest.mark.parametrize(
    ("op", "function", "error", "message"),
    [
        ("relu", rule, ValueError, r"'relu' has a rule already \(.+\)"),
        ("relux", rule, ValueError, "torch has no op 'relux'"),
        (torch.relu, rule, TypeError, "`op` must be the name of an op"),
        (NAME, "rule", TypeError, "`function` must be a rule.*got str"),
    ],
)
def test_bad_arguments(op: Any, function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ps.register_rule(op, function)
