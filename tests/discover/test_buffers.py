"""Running statistics that move with the parameters, in evaluation."""

import copy

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.storage import from_dict, to_dict
from tests.discover.checking import generic, groups

X = torch.randn(5, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BUFFERS = {"1.running_mean", "1.running_var"}


def net(*, affine: bool = True) -> nn.Module:
    return generic(
        nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.BatchNorm2d(3, affine=affine, eps=1e-60),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12, 2),
        )
    ).eval()


@torch.no_grad()
def residual(model: nn.Module, params: dict[str, Tensor]) -> float:
    before = model(X)
    after = torch.func.functional_call(model, params, (X,))
    return float((after - before).abs().max() / before.abs().max())


def test_they_are_frozen_parameters_that_move() -> None:
    model = net()
    symmetry = ps.discover(model, (X,), buffers=True)
    assert {p.name for p in symmetry.parameters if p.is_buffer} == BUFFERS
    assert groups(symmetry) == {"T₊(3)": 3, "R^3": 2}
    params = symmetry.params(model)
    g = symmetry.sample(0.5, generator=torch.Generator().manual_seed(1), discrete=True)
    moved = symmetry.act(g, params)
    assert all(not torch.equal(moved[name], params[name]) for name in BUFFERS)
    assert residual(model, moved) < 1e-12
    copied = copy.deepcopy(model)
    symmetry.act_(g, copied)
    assert torch.equal(copied.get_buffer("1.running_var"), moved["1.running_var"])
    assert from_dict(to_dict(symmetry)) == symmetry


def test_degrees_of_the_statistics() -> None:
    """The mean scales as the layer below, exactly; the variance as the square of the gain, up to
    ε."""
    symmetry = ps.discover(net(), (X,), buffers=True)
    (below,) = (f for f in symmetry if "0.weight" in f.moves)
    powers = {p.parameter: -p.degree if p.dual else p.degree for p in below.ports}
    assert powers["1.running_mean"] == powers["0.weight"] == powers["0.bias"]
    assert "1.running_var" not in powers
    assert not below.exactness.as_eps_vanishes
    (spread,) = (f for f in symmetry if "1.running_var" in f.moves)
    powers = {p.parameter: -p.degree if p.dual else p.degree for p in spread.ports}
    assert abs(powers["1.running_var"]) == 2
    assert spread.exactness.as_eps_vanishes


def test_laws_are_those_of_the_parameters_alone() -> None:
    """What moves a buffer has none; the rest is as it is without them, laws too. The scaling about
    fixed statistics is one of those with moving ones, after shifts."""
    model = net()
    alone, together = ps.discover(model, (X,)), ps.discover(model, (X,), buffers=True)
    (about,) = (f for f in alone if "0.weight" in f.moves)
    assert {f.moves for f in alone if f is not about} < {f.moves for f in together}
    lawful = together.conserved(together.params(model))
    assert {together[name].moves for name in lawful} == {f.moves for f in alone if f.has_law}
    (q,) = lawful.values()
    (own,) = alone.conserved(dict(model.named_parameters())).values()
    assert torch.allclose(q, own)


def test_channels_change_places_with_their_statistics() -> None:
    alone, together = (ps.discover(net(), (X,), buffers=b).discrete for b in (False, True))
    assert not any("0.weight" in f.moves for f in alone)
    assert any(f.moves >= {"0.weight", *BUFFERS} for f in together)


def test_every_family_alone() -> None:
    for model in (net(), net(affine=False)):
        symmetry = ps.discover(model, (X,), buffers=True)
        assert symmetry.families
        params = symmetry.params(model)
        for family in symmetry:
            g = family.group.sample(0.5, generator=torch.Generator().manual_seed(2))
            assert residual(model, symmetry.act({family.name: g}, params)) < 1e-12


def test_a_degree_that_is_wrong_is_seen() -> None:
    """The variance scaled by c instead of c² changes the outputs."""
    model = net()
    symmetry = ps.discover(model, (X,), buffers=True)
    params = symmetry.params(model)
    wrong = {k: 2 * p if k[0] == "0" or k in BUFFERS else p for k, p in params.items()}
    right = wrong | {"1.running_var": 4 * params["1.running_var"]}
    assert residual(model, right) < 1e-12 < 1e-3 < residual(model, wrong)


def test_in_training_nothing_reads_them() -> None:
    model = net().train()
    assert ps.discover(model, (X,), buffers=True) == ps.discover(model, (X,))


def test_bad_names() -> None:
    with pytest.raises(ValueError, match=r"`buffers` must name.*'nothing'.*running_mean"):
        ps.discover(net(), (X,), buffers=["nothing"])
    with pytest.raises(ValueError, match=r"`buffers` must name.*num_batches_tracked"):
        ps.discover(net(), (X,), buffers=["1.num_batches_tracked"])


def test_by_name() -> None:
    assert ps.discover(net(), (X,), buffers=sorted(BUFFERS)) == ps.discover(
        net(), (X,), buffers=True
    )
