"""Targets of every kind of family, on every network of the laws."""

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.nets import MLP
from tests.laws.networks import dense
from tests.laws.subjects import SUBJECTS, subject
from tests.orbit.measuring import EXACT, function_error, gaps


@pytest.mark.parametrize("name", [name for name in SUBJECTS if subject(name).symmetry.law_dim])
def test_q_of_a_random_point_of_the_orbit(name: str, rng: torch.Generator) -> None:
    """All families at once; the target is attainable because a point of the orbit has it."""
    s = subject(name)
    lawful = s.symmetry.select(*s.symmetry.conserved(s.params))
    target = s.symmetry.conserved(lawful.act(lawful.sample(0.3, generator=rng), s.params))
    moved = ps.set_conserved(s.symmetry, s.params, target)
    assert max(gaps(s.symmetry, moved, target).values()) <= EXACT
    assert function_error(s, moved) <= EXACT
    element = ps.element_reaching(s.symmetry, s.params, target)
    again = s.symmetry.act(element, s.params, check=True)
    assert all(torch.equal(again[k], moved[k]) for k in moved)


@pytest.mark.parametrize("name", ["dense relu", "deep leaky_relu", "deep relu_2", "gpt2", "llama"])
@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_random_targets_of_scalings(name: str, scale: float, rng: torch.Generator) -> None:
    """Of neurons with writers and readers, which reach every number."""
    s = subject(name)
    target = {
        f.name: scale * torch.randn(f.group.shape, generator=rng, dtype=torch.float64)
        for f in s.symmetry
        if f.group.diagonal and len({port.dual for port in f.ports}) == 2
        and not f.exactness.as_eps_vanishes
    }  # fmt: skip
    moved = ps.set_conserved(s.symmetry, s.params, target)
    assert max(gaps(s.symmetry, moved, target).values()) <= EXACT
    assert function_error(s, moved) <= EXACT


@pytest.mark.parametrize("name", ["convolution identity", "flattened identity", "attention"])
def test_random_targets_of_matrices(name: str, rng: torch.Generator) -> None:
    """Of spaces with writers and readers of full rank, which reach every symmetric matrix."""
    s = subject(name)
    target = {}
    for f in s.symmetry:
        if isinstance(f.group, ps.GeneralLinear):
            T = torch.randn(f.group.shape, generator=rng, dtype=torch.float64)
            target[f.name] = 3 * (T + T.mT)
    moved = ps.set_conserved(s.symmetry, s.params, target)
    assert max(gaps(s.symmetry, moved, target).values()) <= EXACT
    assert function_error(s, moved) <= EXACT


@pytest.mark.parametrize("q", [-7.0, 0.0, 0.3, 100.0])
def test_a_number_is_that_multiple_of_the_unit(q: float) -> None:
    s = subject("flattened identity")
    (family,) = s.symmetry
    (Q,) = s.symmetry.conserved(ps.set_conserved(s.symmetry, s.params, q)).values()
    assert float((Q - q * family.group.identity()).abs().max()) <= EXACT * (1 + abs(q)) * 100
    s = subject("dense relu")
    (Q,) = s.symmetry.conserved(ps.set_conserved(s.symmetry, s.params, q)).values()
    assert float((Q - q).abs().max()) <= EXACT * (1 + abs(q))


def test_the_target_that_is_there_moves_nothing() -> None:
    s = subject("gpt2 untied")
    element = ps.element_reaching(s.symmetry, s.params, s.symmetry.conserved(s.params))
    for name, g in element.items():
        assert float((g - s.symmetry[name].group.identity()).abs().max()) <= EXACT


def test_families_without_an_entry_in_common_stay_where_they_are() -> None:
    s = subject("llama")
    rope = next(f for f in s.symmetry if isinstance(f.group, ps.ComplexScaling))
    element = ps.element_reaching(s.symmetry, s.params, {rope.name: 1.0}, others="free")
    assert set(element) == {rope.name}


def test_others_are_kept_or_free() -> None:
    s = dense("relu", (3, 4, 5, 2))
    first, second = (family.name for family in s.symmetry)
    before = s.symmetry.conserved(s.params)
    kept = ps.set_conserved(s.symmetry, s.params, {first: 2.0})
    assert max(gaps(s.symmetry, kept, {first: 2.0, second: before[second]}).values()) <= EXACT
    free = ps.set_conserved(s.symmetry, s.params, {first: 2.0}, others="free")
    assert gaps(s.symmetry, free, {first: 2.0})[first] <= EXACT
    assert gaps(s.symmetry, free, {second: before[second]})[second] > 1e-3
    assert torch.equal(free["fc2.weight"], s.params["fc2.weight"])
    for moved in (kept, free):
        assert function_error(s, moved) <= EXACT


def test_families_that_are_exact_as_eps_vanishes_are_moved_only_if_named() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    model = model.double().eval()
    x = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    symmetry = ps.discover(model.train(), (x,))
    params = {k: p.detach() for k, p in model.named_parameters()}
    loose = [f.name for f in symmetry if f.exactness.as_eps_vanishes]
    assert loose
    assert not set(loose) & set(ps.element_reaching(symmetry, params, 0.0))
    element = ps.element_reaching(symmetry, params, {loose[0]: 1.0})
    assert set(element) == {loose[0]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype: torch.dtype) -> None:
    s = subject("deep leaky_relu")
    params = {k: p.to(dtype) for k, p in s.params.items()}
    target = {family.name: 0.5 for family in s.symmetry}
    moved = ps.set_conserved(s.symmetry, params, target)
    assert all(moved[k].dtype == dtype for k in moved)
    bound = 64 * torch.finfo(dtype).eps
    assert max(gaps(s.symmetry, {k: p.double() for k, p in moved.items()}, target).values()) < bound


def test_a_discovered_model() -> None:
    """Through discovery, with ReLU, a linear layer, and a convolution that is flattened."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 6), nn.Linear(6, 12)
    ).double()
    x = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    kinds = {type(family.group).__name__ for family in symmetry}
    assert kinds & {"GeneralLinear", "Affine"}
    assert "PositiveScaling" in kinds
    params = {k: p.detach() for k, p in model.named_parameters()}
    moved = ps.set_conserved(symmetry, params, 1.5)
    before = model(x).detach()
    after = torch.func.functional_call(model, moved, (x,))
    assert float((after - before).abs().max()) <= EXACT * float(before.abs().max())
    for name, Q in symmetry.conserved(moved).items():
        group = symmetry[name].group
        unit = torch.ones(group.shape) if group.diagonal else torch.eye(group.n).double()
        linear = Q if group.diagonal else group.linear(Q)[0]
        assert float((linear - 1.5 * unit).abs().max()) <= 1e-12 * 100


def test_gradients_are_not_followed() -> None:
    """Parameters that require a gradient are moved like others."""
    model = MLP((3, 4, 2), "relu")
    symmetry = ps.discover(model, (torch.randn(2, 3),))
    element = ps.element_reaching(symmetry, dict(model.named_parameters()), 0.0)
    assert not any(tensor.requires_grad for tensor in element.tensors)
