"""Every law is seen to fail on a fault."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.drift import gradient_descent_step
from tests.laws import conservation_laws, faults
from tests.laws.faults import claims, engine, scaled, subject
from tests.laws.laws import LAWS
from tests.laws.subject import Params, Subject

SEEN = 1e3
"""How far beyond its rounding bound a fault of order one or of lower precision must show."""

FAULTS: list[tuple[str, str, Callable[[], Subject]]] = [
    ("unit", "a unit that is none", lambda: engine("deep identity", identity=_near_unit)),
    ("product", "the last letter first", lambda: engine("deep identity", act=faults.reversed_word)),
    (
        "representation",
        "product in the wrong order",
        lambda: claims("dense identity", partial(faults.with_group, group=faults.Reversed(5))),
    ),
    (
        "inverse",
        "transpose for inverse",
        lambda: claims("dense identity", partial(faults.with_group, group=faults.Transposing(5))),
    ),
    ("in_place", "nothing done", lambda: engine("dense relu", act_=lambda *_: None)),
    ("invariance", "degree 1 for a square", lambda: _wrong_degree("dense square")),
    ("invariance", "degree 2 for ReLU^1.5", lambda: _wrong_degree("dense relu_1.5", 2.0)),
    ("invariance", "bias left out", lambda: _without_bias("dense relu")),
    (
        "invariance",
        "reader taken for a writer",
        lambda: claims("dense identity", partial(faults.flipped, parameter="fc1.weight")),
    ),
    (
        "invariance",
        "scalings claimed for a radial space",
        lambda: claims("dense radial", partial(faults.with_group, group=ps.PositiveScaling(5))),
    ),
    (
        "invariance",
        "GL claimed for the whole of two heads",
        lambda: claims("attention", partial(_one_head, size=6)),
    ),
    (
        "invariance",
        "value rows displaced by one",
        lambda: claims(
            "flattened identity", partial(faults.shifted_rows, parameter="fc.weight", by=1)
        ),
    ),
    ("invariance", "gain forgotten", lambda: claims("gemma norm", faults.without_frames)),
    (
        "invariance",
        "wrong sign of the absorbing bias",
        lambda: claims("dense identity_affine", partial(faults.with_last_term, coefficient=1.0)),
    ),
    ("noether", "degree 1 for a cube", lambda: _wrong_degree("dense cube")),
    ("noether", "bias left out", lambda: _without_bias("dense identity")),
    ("noether_by_moment", "bias left out", lambda: _without_bias("deep radial")),
    (
        "derivative",
        "subgroups at twice their speed",
        lambda: claims("dense identity", partial(faults.with_group, group=faults.Hurried(5))),
    ),
    ("adjoint", "moment too large", lambda: engine("gpt2", moment=scaled("moment", 1.001))),
    ("pullback", "moment negated", lambda: engine("gpt2", moment=scaled("moment", -1.0))),
    ("double_backward", "wrong forward rule", lambda: engine("llama", act=faults.inconsistent)),
    (
        "float32",
        "computed in bfloat16",
        lambda: engine("dense relu", act=faults.coarse),
    ),
    (
        "bfloat16",
        "result in float32",
        lambda: engine("dense relu", act=faults.promoting),
    ),
    (
        "mixed_precision",
        "result in float32",
        lambda: engine("gpt2", act=faults.promoting),
    ),
    ("conservation", "degree 1 for a square", lambda: _wrong_degree("dense square")),
    ("conservation", "bias left out", lambda: _without_bias("deep identity")),
    (
        "conservation",
        "scalings claimed for a radial space",
        lambda: claims("dense radial", partial(faults.with_group, group=ps.PositiveScaling(5))),
    ),
    ("quantity", "half of Q", lambda: engine("attention", conserved=scaled("conserved", 0.5))),
    (
        "field_is_gradient",
        "half of Q",
        lambda: engine("attention", conserved_quantity=scaled("conserved_quantity", 0.5)),
    ),
    ("drift", "degree 1 for a square", lambda: _wrong_degree("dense square")),
    (
        "angular_momentum",
        "rotations claimed for ReLU",
        lambda: claims("dense relu", partial(faults.with_group, group=ps.Orthogonal(5))),
    ),
    ("orbit_dimension", "scalings counted twice", faults.with_redundant_scalings),
    ("law_dimension", "scalings counted twice", faults.with_redundant_scalings),
    ("dense_action", "degree ignored", lambda: engine("dense cube", act=_as_if_linear)),
    ("dense_tangent", "negated", lambda: engine("gpt2", tangent=scaled("tangent", -1.0))),
    ("dense_moment", "too large", lambda: engine("llama", moment=scaled("moment", 1.001))),
    (
        "json_round_trip",
        "degrees lost",
        lambda: engine("dense cube", families=faults.forgetful),
    ),
]


def _near_unit(sound: ps.Symmetry) -> ps.GroupElement:
    return sound.sample(1e-6, generator=torch.Generator().manual_seed(0))


def _wrong_degree(name: str, degree: float = 1.0) -> Subject:
    return claims(name, partial(faults.with_degree, degree=degree))


def _without_bias(name: str) -> Subject:
    return claims(name, partial(faults.without_port, parameter="fc0.bias"))


def _one_head(family: ps.Family, size: int) -> ps.Family:
    ports = tuple(
        ps.Port(p.parameter, p.view, p.axes, p.index.reshape(1, size, 1), p.dual)
        for p in family.ports
    )
    return ps.Family(family.name, ps.GeneralLinear(size), ports)


def _as_if_linear(sound: ps.Symmetry, g: ps.GroupElement, params: Params) -> dict[str, Tensor]:
    return sound.of([faults.with_degree(f, 1.0) for f in sound], params).act(g, params)


@pytest.mark.parametrize(
    ("law", "build"), [pytest.param(law, build, id=f"{law}: {what}") for law, what, build in FAULTS]
)
def test_fault_is_seen(law: str, build: Callable[[], Subject], rng: torch.Generator) -> None:
    assert LAWS[law](build(), rng) > SEEN


def test_overwriting_is_seen(rng: torch.Generator) -> None:
    scratch = subject("dense relu")
    copies = {k: p.clone() for k, p in scratch.params.items()}
    faulty = replace(engine("dense relu", act=faults.overwriting), params=copies)
    assert LAWS["pure"](faulty, rng) > SEEN


@pytest.mark.parametrize("law", ["vmap_over_elements", "vmap_over_parameters"])
def test_reading_values_is_seen(law: str, rng: torch.Generator) -> None:
    with pytest.raises(RuntimeError, match="vmap"):
        LAWS[law](engine("dense relu", act=faults.reading_values), rng)


def test_wrong_sign_of_weight_decay_is_seen(rng: torch.Generator) -> None:
    def wrong(
        family: ps.Family, Q: Tensor, grads: Params, lr: float, weight_decay: float
    ) -> Tensor:
        return gradient_descent_step(family, Q, grads, lr, -weight_decay)

    def without_second_order(
        family: ps.Family, Q: Tensor, grads: Params, lr: float, weight_decay: float
    ) -> Tensor:
        return (1 - lr * weight_decay) ** 2 * Q

    for step in (wrong, without_second_order):
        assert conservation_laws.drift(subject("dense relu"), rng, step) > SEEN


def test_every_law_has_a_fault() -> None:
    elsewhere = {"pure", "vmap_over_elements", "vmap_over_parameters"}
    assert {law for law, _, _ in FAULTS} | elsewhere == set(LAWS)
