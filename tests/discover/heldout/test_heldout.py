"""Held-out architectures: sound, and with the families that a person derives."""

import pytest
import torch

import paramsym as ps
from paramsym.discovery.front_ends import record
from paramsym.discovery.points import random_point, without_eps
from paramsym.discovery.replaying import replay
from paramsym.discovery.walk import walk
from paramsym.groups import ComplexScaling, GeneralLinear, Orthogonal, PositiveScaling
from tests.discover.checking import detached, generic, nullity
from tests.discover.checking import without_eps as without_eps_in
from tests.discover.heldout import layers, modern, sequences, sets
from tests.discover.heldout.register import MODELS

assert all((layers, modern, sequences, sets))  # they register their models

KINDS = {
    "scales": PositiveScaling,
    "linear": GeneralLinear,
    "rotations": Orthogonal,
    "planes": ComplexScaling,
}


@pytest.mark.parametrize("name", MODELS)
def test_families(name: str) -> None:
    """None withdrawn; dimensions as derived by hand; barriers as stated."""
    case = MODELS[name]
    model = generic(case.model())
    symmetry = ps.discover(model, case.args())
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    found = {
        kind: sum(f.group.dim for f in symmetry if isinstance(f.group, group))
        for kind, group in KINDS.items()
    }
    assert found == {kind: getattr(case, kind) for kind in KINDS}, list(symmetry)
    assert {barrier.op for barrier in symmetry.barriers} == set(case.barriers)


@pytest.mark.parametrize("name", MODELS)
def test_invariance_far_from_the_model(name: str) -> None:
    """At random parameters and inputs, the outputs change by rounding."""
    case = MODELS[name]
    model, args = generic(case.model()), case.args()
    symmetry = ps.discover(model, args)
    if not symmetry.families:
        return
    recording = record(model, args, {})
    rng = torch.Generator().manual_seed(11)
    exact = without_eps(recording, walk(recording).facts.vanishing)
    point = random_point(exact, rng, 0)
    assert point is not None
    moved = symmetry.act(symmetry.sample(0.1, generator=rng), point.params)
    outputs = replay(exact, moved, point.inputs)
    for before, after in zip(point.outputs, outputs, strict=True):
        assert float((after - before).abs().max() / before.abs().max()) <= 1e-12


@pytest.mark.parametrize("name", [name for name, case in MODELS.items() if case.gap is not None])
def test_what_is_missing(name: str) -> None:
    """Of all flat directions no more are missing than is known; none is claimed that is not."""
    case = MODELS[name]
    model = without_eps_in(generic(case.model()))
    args = case.args()
    symmetry = ps.discover(model, args)
    gap = nullity(model, args) - symmetry.orbit_dim(detached(model))
    assert case.gap is not None
    assert 0 <= gap <= case.gap
