"""A wrong op rule makes a false family; verification withdraws it and says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.discovery.ops import RULES
from paramsym.discovery.ops.activations import homogeneous
from paramsym.discovery.ops.copies import identity
from paramsym.discovery.ops.registry import Call, Result, Rule, rule
from tests.discover.checking import Net, change, generic, groups


@contextmanager
def planted(op: str, wrong: Rule) -> Iterator[None]:
    """The rule of an op replaced for a while."""
    right = RULES.get(op)
    RULES[op] = wrong
    try:
        yield
    finally:
        if right is None:
            del RULES[op]
        else:
            RULES[op] = right


def net(activation: Callable[..., torch.Tensor]) -> nn.Module:
    """One layer with a true scaling in front of one with the activation."""
    return generic(
        Net(
            lambda n, x: n.c(activation(n.b(torch.relu(n.a(x))))),
            a=nn.Linear(3, 4),
            b=nn.Linear(4, 5),
            c=nn.Linear(5, 2),
        )
    )


def linear(call: Call) -> Result:
    """As if the op were the identity."""
    return call.output(call["self"].layers)


def of_degree_two(call: Call) -> Result:
    """As if the op were homogeneous of degree 2."""
    value = call["self"]
    call.facts.isolate_all(value)
    return call.output([layer._replace(exponent=2 * layer.exponent) for layer in value.layers])


FAULTS: list[tuple[str, Callable[..., torch.Tensor], Rule, str]] = [
    ("tanh", torch.tanh, homogeneous, "T₊(5)"),
    ("gelu", nn.functional.gelu, homogeneous, "T₊(5)"),
    ("leaky_relu", nn.functional.leaky_relu, of_degree_two, "T₊(5)"),
    ("abs", torch.abs, linear, "GL(5)"),
    ("sigmoid", torch.sigmoid, linear, "GL(5)"),
    ("cumsum", lambda z: z.cumsum(-1), homogeneous, "T₊(5)"),
]


@pytest.mark.parametrize(("op", "activation", "wrong", "group"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_wrong_rule_is_found_out(
    op: str, activation: Callable[..., torch.Tensor], wrong: Rule, group: str
) -> None:
    """Without the check the false family comes through, and changes the function; with it, it is
    withdrawn by name, and the true family beside it stays."""
    model = net(activation)
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with planted(op, wrong):
        trusted = ps.discover(model, (x,), verify=False)
        checked = ps.discover(model, (x,))
    false = [f for f in trusted if f.moves == {"b.weight", "b.bias", "c.weight"}]
    assert [str(f.group) for f in false] == [group]
    defect, _ = change(model, (x,), trusted.select(false[0].name))
    assert defect > 1e-3
    assert not any(f.verified for f in trusted)
    assert trusted.verification is None

    assert checked.verification is not None
    assert checked.verification.withdrawn == (false[0].name,)
    kept = {f.name: f for f in checked}
    assert false[0].name not in kept
    assert groups(checked) == {"T₊(4)": 1}
    assert all(f.verified for f in checked)
    defect, bound = change(model, (x,), checked)
    assert defect <= bound


def test_a_fault_in_the_second_of_many() -> None:
    """Bisection withdraws the false families alone, among many true ones."""
    layers: list[nn.Module] = []
    for i in range(8):
        layers += [nn.Linear(3, 3), nn.Sigmoid() if i in (2, 5) else nn.LeakyReLU()]
    model = generic(nn.Sequential(*layers, nn.Linear(3, 2)))
    x = torch.randn(9, 3, dtype=torch.float64)
    with planted("sigmoid", homogeneous):
        checked = ps.discover(model, (x,))
    assert checked.verification is not None
    assert set(checked.verification.withdrawn) == {"4 → 6", "10 → 12"}
    assert [f.name for f in checked] == ["0 → 2", "2 → 4", "6 → 8", "8 → 10", "12 → 14", "14 → 16"]


def test_the_summary_names_what_was_withdrawn() -> None:
    """A withdrawn family is our bug, and the text says which it is."""
    model = net(torch.tanh)
    with planted("tanh", homogeneous):
        text = str(ps.discover(model, (torch.randn(9, 3, dtype=torch.float64),)))
    assert "b → c" in text


def test_true_rules_withdraw_nothing() -> None:
    """The same models under the rules as they are."""
    for _, activation, _, _ in FAULTS:
        symmetry = ps.discover(net(activation), (torch.randn(9, 3, dtype=torch.float64),))
        assert symmetry.verification is not None
        assert symmetry.verification.withdrawn == ()


def test_a_new_rule_lifts_a_barrier() -> None:
    """Registering a rule for an op is all that it takes to look through it."""
    model = net(torch.special.bessel_j0)
    x = torch.randn(9, 3, dtype=torch.float64)
    assert [b.op for b in ps.discover(model, (x,)).barriers] == ["special_bessel_j0"]
    with planted("special_bessel_j0", RULES["tanh"]):
        assert ps.discover(model, (x,)).barriers == ()


def test_an_op_has_one_rule() -> None:
    with pytest.raises(ValueError, match="'relu' has a rule already"):
        rule("relu")(identity)


@torch.library.custom_op("faults::root", mutates_args=())
def root(z: torch.Tensor) -> torch.Tensor:
    """√z, with no forward derivative for the check to measure."""
    return z.sqrt()


@root.register_fake
def _(z: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(z)


def test_an_output_that_is_no_number_any_more() -> None:
    """A false element that leaves one output alone and makes another NaN is seen."""

    def both(n: Net, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.sum(-1), n.b(root(n.a(x)))

    model = Net(both, a=nn.Linear(3, 4, bias=False), b=nn.Linear(4, 2)).double()
    with torch.no_grad():
        model.a.weight.copy_(torch.eye(4, 3) + 1e-3)
    with planted("faults::root", lambda call: call.output(call["z"].layers)):
        symmetry = ps.discover(model, (torch.rand(9, 3, dtype=torch.float64) + 0.1,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ("a → b",)
    assert len(symmetry) == 0
