"""The recorder of a real run finds what the export finds, and carries on where that cannot."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import paramsym as ps
from paramsym.family import EXACT
from tests.discover.cases import Case, branching
from tests.discover.checking import Args, Net, assert_sound, change, generic, groups
from tests.discover.graphs import graphs
from tests.discover.ops import (
    test_activations,
    test_convolution,
    test_joining,
    test_linear,
    test_normalization,
    test_pooling,
    test_reductions,
    test_views,
)
from tests.discover.test_random_graphs import check

MODULES = (
    test_activations,
    test_convolution,
    test_joining,
    test_linear,
    test_normalization,
    test_pooling,
    test_reductions,
    test_views,
)
CASES = [case for module in MODULES for case in module.CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorder_is_export(case: Case) -> None:
    """The same families, port by port, and the same unused parameters.

    A real run sees below composite ops, so it may find more where the export names a barrier, and
    less where it writes through views, which only an export follows. It sees a mask and not the
    flag that asked for it.
    """
    model, args = case.built()
    exported = ps.discover(model, args, verify=False)
    recorded = ps.discover(branching(model), args, verify=False)
    if exported.barriers:
        assert recorded.group_dim >= exported.group_dim
    elif recorded.barriers:
        assert all(family in exported.families for family in recorded.families)
    else:
        assert recorded.families == exported.families
    assert recorded.unused == exported.unused
    assert recorded.parameters == exported.parameters
    assert recorded.mode == exported.mode
    assert recorded.mode_dependent <= exported.mode_dependent


@settings(max_examples=50)
@given(st.booleans().flatmap(lambda images: graphs(images=images)))
def test_random_graphs(drawn: tuple[nn.Module, Args]) -> None:
    """The same families on random models, sound without checking.

    Shifts between layers of width 1 may be read otherwise, or be found in the export only; those
    found are held to the function.
    """
    model, args = drawn
    exported = ps.discover(model, args, verify=False)
    recorded = ps.discover(branching(model), args)
    assert recorded.verification is not None
    assert not recorded.verification.withdrawn
    if not exported.barriers:
        linear = [family for family in exported.families if family.ports]
        found = [replace(family, verified=False) for family in recorded.families if family.ports]
        assert [replace(family, exactness=EXACT) for family in found] == [
            replace(family, exactness=EXACT) for family in linear
        ]
    check(model, args)


def hidden(net: Net, x: Tensor) -> Tensor:
    return net.b(torch.relu(net.a(x)))


def parts() -> dict[str, nn.Module]:
    return {"a": nn.Linear(3, 4), "b": nn.Linear(4, 2)}


def on_data(net: Net, x: Tensor) -> Tensor:
    return hidden(net, x) if x.sum() > 0 else -hidden(net, x)


def by_counting(net: Net, x: Tensor) -> Tensor:
    for _ in range(int((x > 0).sum().clamp(1, 3))):
        x = x + 1
    return hidden(net, x)


def by_numpy(net: Net, x: Tensor) -> Tensor:
    scale = float(x.detach().numpy().max())
    return scale * hidden(net, x)


def rows_with_a_property(net: Net, x: Tensor) -> Tensor:
    return hidden(net, x[x[:, 0] > -100])


def test_numbers_out_of_torch() -> None:
    """What numpy computes from the inputs is a constant of the run."""
    model = generic(Net(by_numpy, **parts()))
    args = (torch.randn(6, 3, dtype=torch.float64),)
    symmetry = ps.discover(model, args)
    assert groups(symmetry) == {"T₊(4)": 1}
    defect, bound = change(model, args, symmetry)
    assert defect <= bound


@pytest.mark.parametrize("run", [on_data, by_counting, rows_with_a_property])
def test_control_flow_on_data(run: Callable[[Net, Tensor], Tensor]) -> None:
    """What the branch taken computes has the scalings of its hidden layer."""
    model = generic(Net(run, **parts()))
    args = (torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),)
    symmetry = ps.discover(model, args)
    assert groups(symmetry) == {"T₊(4)": 1}
    assert_sound(model, args, symmetry)


def test_a_branch_on_hidden_values_pins_them() -> None:
    """A scaling would change what the model decides, so none is claimed there."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = torch.relu(net.a(x))
        z = torch.relu(net.b(z)) if z.sum() > 1 else torch.relu(net.b(-z))
        return net.c(z)

    model = generic(Net(run, a=nn.Linear(3, 4), b=nn.Linear(4, 5), c=nn.Linear(5, 2)))
    args = (torch.randn(6, 3, dtype=torch.float64),)
    symmetry = ps.discover(model, args)
    assert groups(symmetry) == {"T₊(5)": 1}
    assert symmetry.families[0].moves == {"b.weight", "b.bias", "c.weight"}


def test_early_exit_on_hidden_values() -> None:
    """Layers that the run did not reach are unused."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = net.a(x)
        return z if z.abs().max() < 1e6 else net.b(z)

    symmetry = ps.discover(Net(run, **parts()), (torch.randn(6, 3),))
    assert symmetry.families == ()
    assert symmetry.unused == ("b.weight", "b.bias")


def test_barriers_name_their_module() -> None:
    """The recorder knows where in the model an op was called."""
    model = branching(
        nn.Sequential(
            nn.Linear(3, 4), Net(lambda net, x: x.cumprod(-1)), nn.Linear(4, 2), nn.ReLU()
        )
    )
    (barrier,) = ps.discover(model, (torch.randn(5, 3),)).barriers
    assert (barrier.op, barrier.count, barrier.where) == ("cumprod", 1, ("1",))


def test_hooks_are_gone_afterwards() -> None:
    """Nothing of the recorder stays on the model."""
    model = branching(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    ps.discover(model, (torch.randn(5, 3),))
    for module in model.modules():
        assert len(module._forward_hooks) == 0
        assert len(module._forward_pre_hooks) == (module is model)


def test_an_error_in_the_model_leaves_no_hooks() -> None:
    model = Net(lambda net, x: net.b(net.a(x)), a=nn.Linear(3, 4), b=nn.Linear(5, 2))
    with pytest.raises(ValueError, match="rejects these inputs"):
        ps.discover(model, (torch.randn(5, 3),))
    assert all(not module._forward_hooks for module in model.modules())
