"""Training and evaluation; and that discovery leaves the model and the world as they were."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.cases import branching
from tests.discover.checking import Net, generic, groups


def batch_norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    )


def dropout_net() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(50, 4, bias=False), nn.Dropout(0.4), nn.Linear(4, 3, bias=False)
    )


def plain_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(50, 4), nn.ReLU(), nn.Linear(4, 3))


X = torch.randn(6, 2, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "train", "found"),
    [
        (batch_norm_net, True, {"T₊(4)": 2}),
        (batch_norm_net, False, {"T₊(4)": 2}),
        (dropout_net, True, {"T₊(4)": 1}),
        (dropout_net, False, {"GL(4)": 1}),
        (plain_net, True, {"T₊(4)": 1}),
        (plain_net, False, {"T₊(4)": 1}),
    ],
)
def test_families_of_a_mode(model, train: bool, found: dict[str, int]) -> None:  # type: ignore[no-untyped-def]
    symmetry = ps.discover(model().train(train), (X,))
    assert groups(symmetry) == found
    assert symmetry.mode == ("train" if train else "eval")


@pytest.mark.parametrize(
    ("model", "dependent"),
    [
        (batch_norm_net(), True),
        (dropout_net(), True),
        (plain_net(), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 3), nn.Dropout(0.0)), False),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(50, track_running_stats=False)), False),
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(50)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 3), nn.AlphaDropout(0.2)), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(50, 3), nn.RReLU()), True),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_whether_the_mode_matters(model: nn.Module, dependent: bool, train: bool) -> None:
    symmetry = ps.discover(copy.deepcopy(model).train(train), (X,))
    assert symmetry.mode_dependent is dependent


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_functional_dropout(train: bool, p: float) -> None:
    """It is written down where it is off, too."""
    net = Net(
        lambda net, x: net.out(F.dropout(net.into(x), p, net.training)),
        into=nn.Linear(5, 4), out=nn.Linear(4, 3),
    )  # fmt: skip
    symmetry = ps.discover(net.train(train), (X[:, 0],))
    assert symmetry.mode_dependent is (p > 0)


def test_acting_on_a_model_in_the_other_mode_is_refused() -> None:
    """A symmetry of training does not hold in evaluation."""
    model = batch_norm_net().train()
    symmetry = ps.discover(model, (X,))
    g = symmetry.sample(generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"eval.*train"):
        symmetry.act_(g, model.eval())
    symmetry.act_(g, model.train())


def test_the_erased_scale_is_one_of_training_only() -> None:
    """Linear–BN–ReLU: scaling the first weight changes nothing in training, much in evaluation."""
    model = generic(batch_norm_net())
    x = X.double()
    symmetry = ps.discover(model.train(), (x,))
    (erased,) = [f for f in symmetry if f.moves == {"0.weight"}]
    g = {erased.name: torch.full((4,), 2.0, dtype=torch.float64)}
    moved = symmetry.act(g, {k: p.detach() for k, p in model.named_parameters()})
    differences = {}
    for train in (True, False):
        twin = copy.deepcopy(model).train(train)
        before = copy.deepcopy(twin)(x).detach()
        after = torch.func.functional_call(twin, moved, (x,)).detach()
        differences[train] = float((after - before).abs().max() / before.abs().max())
    assert differences[True] < 1e-4
    assert differences[False] > 1e-2


def test_submodules_in_other_modes() -> None:
    """Each module counts in its own mode: a frozen norm in a network that trains."""
    model = batch_norm_net().train()
    model[1].eval()  # type: ignore[index]
    below = [f.moves for f in ps.discover(model, (X,)) if "0.weight" in f.moves]
    assert below == [{"0.weight", "1.weight", "1.bias"}]


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("verify", [True, False])
def test_nothing_is_left_behind(fallback: bool, train: bool, verify: bool) -> None:
    """Parameters, buffers, gradients, flags, modes, inputs, and random state are untouched."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
        nn.Linear(36, 3),
    ).train(train)  # fmt: skip
    model[5].weight.requires_grad_(False)
    model[2].eval()
    model(X).sum().backward()
    if fallback:
        branching(model)
    x = X.clone().requires_grad_()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    identity = {k: id(v) for k, v in (*model.named_parameters(), *model.named_buffers())}
    gradients = {k: None if p.grad is None else p.grad.clone() for k, p in model.named_parameters()}
    flags = {k: p.requires_grad for k, p in model.named_parameters()}
    modes = [m.training for m in model.modules()]
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    worlds = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    graph = torch.is_grad_enabled(), torch.get_default_dtype()

    ps.discover(model, (x,), verify=verify)

    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert identity == {k: id(v) for k, v in (*model.named_parameters(), *model.named_buffers())}
    for k, p in model.named_parameters():
        before = gradients[k]
        assert (p.grad is None) == (before is None)
        assert before is None or torch.equal(p.grad, before)  # type: ignore[arg-type]
    assert flags == {k: p.requires_grad for k, p in model.named_parameters()}
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(torch.get_rng_state(), worlds[0])
    assert np.array_equal(np.random.get_state()[1], worlds[1])  # noqa: NPY002
    assert random.getstate() == worlds[2]
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == graph
    assert torch.equal(x, X)
    assert x.grad is None


def test_parameters_that_a_model_sets_from_data() -> None:
    """As layers do that initialise themselves in their first run."""

    def run(net: Net, x: Tensor) -> Tensor:
        h = net.into(x)
        if float(h.sum()) != 0:
            net.shift.data.copy_(-h.detach().mean(0))
        return net.out(torch.relu(h + net.shift))

    net = Net(run, into=nn.Linear(5, 4), shift=nn.Parameter(torch.ones(4)), out=nn.Linear(4, 3))
    symmetry = ps.discover(net, (X[:, 0, 0],))
    assert torch.equal(net.shift.detach(), torch.ones(4))
    assert not symmetry.families


@pytest.mark.parametrize("follows", [True, False])
def test_buffers_that_a_model_replaces(follows: bool) -> None:
    """A moving range that is another tensor after every run, as observers for quantisation have."""

    def run(net: Net, x: Tensor) -> Tensor:
        h = net.into(x)
        if follows or float(h.detach().amax()) > 0:
            net.range = net.range * 0.9 + 0.1 * h.detach().amax()
        return net.out(torch.relu(h))

    net = Net(run, into=nn.Linear(5, 4), range=torch.ones(()), out=nn.Linear(4, 3))
    before = net.range
    ps.discover(net, (X[:, 0, 0],))
    assert net.range is before
    assert float(net.range) == 1


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_parameters_without_entries() -> None:
    """They are unused; the others are looked at as ever."""
    net = Net(
        lambda net, x: net.out(torch.relu(torch.cat([net.none(x), net.into(x)], -1)))
        + net.last(torch.relu(net.none(x))),
        into=nn.Linear(5, 4), none=nn.Linear(5, 0), last=nn.Linear(0, 3), out=nn.Linear(4, 3),
    )  # fmt: skip
    symmetry = ps.discover(net, (X[:, 0, 0],))
    assert groups(symmetry) == {"T₊(4)": 1, "R^3": 1}
    assert symmetry.unused == ("none.weight", "none.bias", "last.weight")
    assert ps.certify(net, (X[:, 0, 0],)).verdict == "complete"


def test_under_no_grad_and_inference() -> None:
    """Discovery works where gradients are off."""
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert groups(ps.discover(plain_net(), (X.clone(),))) == {"T₊(4)": 1}


def test_twice_the_same() -> None:
    """Discovery is a function of the model."""
    model = batch_norm_net()
    assert ps.discover(model, (X,)) == ps.discover(model, (X,))
    a, b = (ps.discover(model, (X,), seed=s).families for s in (0, 1))
    assert [f.ports for f in a] == [f.ports for f in b]


def test_the_initial_values_do_not_matter() -> None:
    """Zero biases, unit gains, equal rows: the families are those of generic parameters."""
    model = batch_norm_net()
    expected = groups(ps.discover(generic(model), (X.double(),)))
    with torch.no_grad():
        for p in model.parameters():
            p.zero_() if p.ndim == 1 else p.fill_(0.1)
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == expected
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def test_a_buffer_that_is_zero_now_is_state() -> None:
    """A zero offset that training may change pins what it is added to."""
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x)) + n.offset),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2),
        offset=torch.zeros(4),
    )
    assert ps.discover(model, (torch.randn(5, 3),)).families == ()


def test_frozen_parameters() -> None:
    """They move like others; what they touch has no conservation law."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    symmetry = ps.discover(model, (torch.randn(6, 3),))
    assert groups(symmetry) == {"T₊(4)": 1, "T₊(5)": 1}
    assert [p.trainable for p in symmetry.parameters] == [False, True, True, True, True, True]
    laws = symmetry.conserved(dict(model.named_parameters()))
    (second,) = [f.name for f in symmetry if "4.weight" in f.moves]
    assert set(laws) == {second}


def test_tied_parameters_are_one() -> None:
    """Identity, not names: the alias is listed, and the family moves one tensor."""
    model = Net(
        lambda n, x: n.c(torch.relu(n.b(torch.relu(n.a(x))))),
        a=nn.Linear(4, 4),
        b=nn.Linear(4, 4),
        c=nn.Linear(4, 2),
    )
    model.b.bias = model.a.bias  # type: ignore[assignment,union-attr]
    for probe in (model, branching(copy.deepcopy(model))):
        symmetry = ps.discover(probe, (torch.randn(6, 4),))
        assert {p.name: p.aliases for p in symmetry.parameters}["a.bias"] == ("b.bias",)
        assert groups(symmetry) == {"T₊(4)": 1}
        (family,) = symmetry.families
        assert family.moves == {"a.weight", "a.bias", "b.weight", "c.weight"}


def test_buffers_are_constants() -> None:
    """A buffer that multiplies scales nothing; one that is added pins."""
    parts: dict[str, nn.Module | Tensor] = {"a": nn.Linear(3, 4), "b": nn.Linear(4, 2)}
    x = torch.randn(6, 3)
    mask = Net(lambda n, x: n.b(n.m * torch.relu(n.a(x))), **parts, m=torch.rand(4))
    assert groups(ps.discover(mask, (x,))) == {"T₊(4)": 1}
    shifted = Net(lambda n, x: n.b(n.m + torch.relu(n.a(x))), **parts, m=torch.rand(4))
    assert ps.discover(shifted, (x,)).families == ()
