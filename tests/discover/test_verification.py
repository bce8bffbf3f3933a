"""What the numerical check measures, and that it withdraws nothing that is true."""

import gc

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery import point
from paramsym.discovery.collecting import old_objects_at_rest
from tests.discover.checking import EPS, Net, generic, groups


def relu_net(depth: int = 1) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(4, 4), nn.ReLU()]
    return generic(nn.Sequential(*layers, nn.Linear(4, 2)))


X = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("depth", [1, 3, 10, 30])
def test_the_numbers_measured(depth: int) -> None:
    """Rounding only, below a bound that grows with depth and is far from 1."""
    verification = ps.discover(relu_net(depth), (X,)).verification
    assert verification is not None
    assert verification.withdrawn == ()
    assert 0 <= verification.invariance <= verification.tolerance
    assert verification.derivative is not None
    assert 0 <= verification.derivative <= verification.tolerance
    assert EPS < verification.tolerance < 1e-8


def test_without_checking() -> None:
    symmetry = ps.discover(relu_net(), (X,), verify=False)
    assert symmetry.verification is None
    assert [f.verified for f in symmetry] == [False]
    assert "Unverified" in str(symmetry)


def test_checked_families_are_marked() -> None:
    assert [f.verified for f in ps.discover(relu_net(3), (X,))] == [True] * 3


def test_nothing_to_check() -> None:
    """A model without symmetry is checked and found empty."""
    verification = ps.discover(nn.Linear(4, 2), (X.float(),)).verification
    assert verification is not None
    assert (verification.invariance, verification.withdrawn) == (0.0, ())


@pytest.mark.parametrize("seed", range(5))
def test_any_seed(seed: int) -> None:
    verification = ps.discover(relu_net(3), (X,), seed=seed).verification
    assert verification is not None
    assert verification.withdrawn == ()


def test_where_the_derivative_does_not_exist() -> None:
    """√ has none at 0, where relu sits; the invariance speaks for itself."""
    model = generic(
        Net(lambda n, x: n.b(torch.relu(n.a(x)).sqrt()), a=nn.Linear(4, 3), b=nn.Linear(3, 2))
    )
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == {"T₊(3)": 1}


def test_no_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gradients (0 bytes for them) the derivative is not measured, but the family is."""
    monkeypatch.setattr(point, "LARGEST", 0)
    symmetry = ps.discover(relu_net(), (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.derivative is None
    assert groups(symmetry) == {"T₊(4)": 1}


def test_a_dead_layer() -> None:
    """A norm of a constant channel is noise at this θ; the families are true at others."""
    model = nn.Sequential(
        nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)
    )
    alive = groups(ps.discover(model, (X.float(),)))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    symmetry = ps.discover(model, (X.float(),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == alive


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_badly_scaled_parameters(factor: float) -> None:
    """Far from the unit scale the same families hold."""
    model = relu_net(4)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(factor)
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == {"T₊(4)": 4}


def test_constant_inputs() -> None:
    """Zeros and ones as example inputs hide nothing and break nothing."""
    for x in (torch.zeros(5, 4), torch.ones(5, 4)):
        model = nn.Sequential(
            nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)
        )
        symmetry = ps.discover(model, (x,))
        assert groups(symmetry) == {"T₊(4)": 1}


def test_random_ops_draw_the_same_numbers() -> None:
    """Noise inside the model is the same before and after the move."""
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x)) * torch.rand(3) + 0 * torch.randn_like(x[:, :3])),
        a=nn.Linear(4, 3),
        b=nn.Linear(3, 2),
    )
    symmetry = ps.discover(model, (X.float(),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def test_one_of_several_outputs_is_empty() -> None:
    """It says nothing, and is no reason to stop."""
    layer = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model = generic(Net(lambda n, x: (n.layer(x), x[:0]), layer=layer))
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == {"T₊(3)": 1}
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def test_garbage_collection_is_left_as_it_was() -> None:
    """Old objects rest while a model is analysed, and no longer; what others froze stays so."""
    before = gc.get_freeze_count()
    with old_objects_at_rest():
        assert before or gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == before
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        ps.discover(relu_net(), (X,))
        assert abs(gc.get_freeze_count() - frozen) < frozen / 2
    finally:
        gc.unfreeze()


def each_row(net: Net, x: Tensor) -> Tensor:
    """As many calls as rows of a kind, as of experts with a token."""
    rows = (x[:, 0] > 0.99).nonzero().squeeze(1).unbind()
    return torch.stack([net.b(net.a(x[i]).relu()) for i in rows]).sum(0)


def test_calls_that_other_data_do_not_fit() -> None:
    """With jittered inputs there are fewer rows of that kind than the recorded calls read."""
    x = X[:7, :3].clone()
    x[:, 0] = 1.0
    model = generic(Net(each_row, a=nn.Linear(3, 4), b=nn.Linear(4, 2)))
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert [(str(family.group), family.verified) for family in symmetry] == [("T₊(4)", True)]
