"""Ops that are taken for known ones, in all analyses at once."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery.likening import LIKE


@torch.library.custom_op("paramsym_alike::soft_sign", mutates_args=())
def soft_sign(z: Tensor) -> Tensor:
    return z / (1 + z.abs())


@soft_sign.register_fake
def _(z: Tensor) -> Tensor:
    return torch.empty_like(z)


@torch.library.custom_op("paramsym_alike::two", mutates_args=())
def two(z: Tensor) -> tuple[Tensor, Tensor]:
    return z.clone(), z.clone()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert not LIKE


class Saturating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(soft_sign(self.a(x)))


def test_permutations_and_signs_of_an_odd_function() -> None:
    before = ps.discover(Saturating(), (torch.randn(5, 3),))
    assert [barrier.op for barrier in before.barriers] == ["paramsym_alike::soft_sign"]
    assert before.discrete == ()
    with ps.register_like(soft_sign, "tanh") as likeness:
        assert likeness.op == "paramsym_alike::soft_sign"
        found = ps.discover(Saturating(), (torch.randn(5, 3),))
    assert found.barriers == ()
    assert [str(family.group) for family in found.discrete] == ["S(4)", "Z₂^4"]
    assert all(family.verified for family in found.discrete)
    assert found.verification is not None
    assert found.verification.holds
    # It is told under its own name.
    pins = {pin.op for pin in found.pins if pin.parameter == "a.bias"}
    assert pins == {"paramsym_alike::soft_sign"}
    after = ps.discover(Saturating(), (torch.randn(5, 3),))
    assert after.barriers == before.barriers


@torch.library.custom_op("paramsym_alike::rms", mutates_args=())
def rms(gain: Tensor, sizes: list[int], z: Tensor, tiny: float) -> Tensor:
    return torch.rms_norm(z, sizes, gain, tiny)


@rms.register_fake
def _(gain: Tensor, sizes: list[int], z: Tensor, tiny: float) -> Tensor:
    return torch.empty_like(z)


class Rooted(nn.Module):
    def __init__(self, *, custom: bool) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(3, 6), nn.RMSNorm(6, eps=1e-5), nn.Linear(6, 2)
        self.custom = custom

    def forward(self, x: Tensor) -> Tensor:
        z = self.a(x)
        return self.b(rms(self.norm.weight, [6], z, 1e-5) if self.custom else self.norm(z))


def test_all_analyses_take_it_for_the_other() -> None:
    torch.manual_seed(0)
    theirs = ps.discover(Rooted(custom=False), (torch.randn(5, 3),))
    names = {"gain": "weight", "sizes": "normalized_shape", "tiny": "eps"}
    with ps.register_like(rms, "rms_norm", arguments=names):
        ours = ps.discover(Rooted(custom=True), (torch.randn(5, 3),))
    assert any(family.exactness.as_eps_vanishes for family in ours)
    assert [(f.name, f.group, f.verified) for f in ours] == [
        (f.name, f.group, f.verified) for f in theirs
    ]
    assert [(f.name, f.group) for f in ours.discrete] == [
        (f.name, f.group) for f in theirs.discrete
    ]
    assert ours.verification is not None
    assert ours.verification.holds
    assert not ours.verification.withdrawn


def test_what_is_wrongly_likened_is_withdrawn() -> None:
    with ps.register_like(soft_sign, "relu"):
        found = ps.discover(Saturating(), (torch.randn(5, 3),))
    assert found.families == ()
    assert found.verification is not None
    assert found.verification.withdrawn == ("a → b",)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"'acme::nothing'\. Import it before"):
        ps.register_like("acme::nothing", "tanh")
    with pytest.raises(ValueError, match="has several overloads; pass one of them"):
        ps.register_like(soft_sign, "softmax")
    with pytest.raises(ValueError, match="must be the name of an op of torch"):
        ps.register_like(soft_sign, "no_such_op")
    with pytest.raises(ValueError, match="that discovery has a rule for; got 'logcumsumexp'"):
        ps.register_like(soft_sign, "logcumsumexp")
    with pytest.raises(ValueError, match="as many values as 'tanh', 1; got 2"):
        ps.register_like(two, "tanh")
    with pytest.raises(ValueError, match=r"\['dim'\] does.*Name them"):
        ps.register_like(soft_sign, torch.ops.aten.softmax.int)
    with pytest.raises(ValueError, match=r"\['normalized_shape', 'eps'\] do"):
        ps.register_like(soft_sign, "rms_norm")
    with pytest.raises(ValueError, match="'w': 'self'"):
        ps.register_like(soft_sign, "tanh", arguments={"w": "self"})
    with ps.register_like(soft_sign, "tanh"), pytest.raises(ValueError, match="has a rule already"):
        ps.register_like(soft_sign, "relu")
    with pytest.raises(ValueError, match="has a rule already"):
        ps.register_like("relu", "tanh")
