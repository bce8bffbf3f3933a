"""Generators that scale and shift, of common layers, along accurately integrated flows."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import paramsym as ps
from paramsym.laws import additive
from tests.elementwise.flows import GLOBAL, SEEN, drift, path
from tests.laws.measure import EPS
from tests.laws.subject import Params, Subject, normal

Field = Callable[[Params], dict[str, Tensor]]

EMPTY = ps.Symmetry.of([], {})


@dataclass(frozen=True)
class Layer:
    """A network, its law, fields whose quantities the law's entries are, and a wrong law."""

    shapes: dict[str, tuple[int, ...]]
    forward: Callable[[Params, Tensor], Tensor]
    law: Callable[[Params], Tensor]
    fields: dict[int, Field]
    wrong: Callable[[Params], Tensor]
    linear: bool = False
    """Whether the law is that of a translation, without the 2."""
    inputs: tuple[int, ...] = (7, 4)
    around: dict[str, float] = field(default_factory=dict)


def dense(p: Params, x: Tensor, name: str) -> Tensor:
    return functional.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def two(h: int = 5) -> dict[str, tuple[int, ...]]:
    return {"a.weight": (h, 4), "a.bias": (h,), "b.weight": (3, h), "b.bias": (3,)}


def rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True))


def one(n: int, i: int) -> Tensor:
    return functional.one_hot(torch.tensor(i), n).double()


def ones_like(p: Params, name: str) -> Tensor:
    return torch.ones_like(p[name])


def softmax_head(p: Params, x: Tensor) -> Tensor:
    return torch.log_softmax(dense(p, torch.tanh(dense(p, x, "a")), "b"), -1)


def before_layer_norm(eps: float) -> Callable[[Params, Tensor], Tensor]:
    return lambda p, x: dense(p, functional.layer_norm(dense(p, x, "a"), (5,), eps=eps).tanh(), "b")


def before_rms(p: Params, x: Tensor) -> Tensor:
    return dense(p, rms(dense(p, x, "a")).tanh(), "b")


def norm_with_gain(p: Params, x: Tensor) -> Tensor:
    return dense(p, functional.layer_norm(x, (4,), p["gain"], p["shift"], 1e-2), "a").tanh()


def exponential(p: Params, x: Tensor) -> Tensor:
    return dense(p, dense(p, x, "a").exp(), "b")


def attention(p: Params, x: Tensor) -> Tensor:
    q, k, v = (dense(p, x, name) for name in "qkv")
    return torch.softmax(q @ k.mT, -1) @ v


def gated(sigma: Callable[[Tensor], Tensor]) -> Callable[[Params, Tensor], Tensor]:
    return lambda p, x: dense(p, sigma(dense(p, x, "g")) * dense(p, x, "a"), "b")


def with_bias(p: Params, name: str) -> Tensor:
    return torch.cat([p[f"{name}.weight"], p[f"{name}.bias"][:, None]], 1)


def scaled_rows(names: dict[str, float], i: int) -> Field:
    """Neuron i: rows of layers scaled by their rates; of "b" the column."""

    def apply(p: Params) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, rate in names.items():
            if name == "b":
                found["b.weight"] = rate * p["b.weight"] * one(5, i)
            else:
                found[f"{name}.weight"] = rate * p[f"{name}.weight"] * one(5, i)[:, None]
                found[f"{name}.bias"] = rate * p[f"{name}.bias"] * one(5, i)
        return found

    return apply


def both_scale(p: Params) -> dict[str, Tensor]:
    return {"a.weight": p["a.weight"], "a.bias": p["a.bias"]}


GATES: dict[str, tuple[Callable[[Tensor], Tensor], float | None]] = {
    "bilinear": (lambda z: z, 1.0),
    "squared gate": (lambda z: z.relu().square(), 2.0),
    "SwiGLU": (functional.silu, None),
    "GEGLU": (functional.gelu, None),
}


def gated_unit(sigma: Callable[[Tensor], Tensor], degree: float | None) -> Layer:
    fields = {4: scaled_rows({"a": 1.0, "b": -1.0}, 4)}
    if degree is not None:
        fields[8] = scaled_rows({"g": 1.0, "b": -degree}, 3)

    def law(p: Params) -> Tensor:
        if degree is None:
            return additive.gated(with_bias(p, "a"), p["b.weight"])
        gate = with_bias(p, "g")
        return additive.gated(with_bias(p, "a"), p["b.weight"], gate, degree=degree).flatten()

    return Layer(
        {**two(), "g.weight": (5, 4), "g.bias": (5,)},
        gated(sigma),
        law,
        fields,
        lambda p: with_bias(p, "g").square().sum(1) - 1.3 * p["b.weight"].square().sum(0),
    )


LAYERS = {
    "softmax head": Layer(
        two(),
        softmax_head,
        lambda p: additive.column_sums(p["b.weight"], p["b.bias"]),
        {
            2: lambda p: {"b.weight": ones_like(p, "b.weight") * one(5, 2)},
            5: lambda p: {"b.bias": ones_like(p, "b.bias")},
        },
        lambda p: additive.column_sums(p["a.weight"], p["a.bias"]),
        linear=True,
    ),
    "before LayerNorm": Layer(
        two(),
        before_layer_norm(0.1),
        lambda p: additive.column_sums(p["a.weight"], p["a.bias"]),
        {1: lambda p: {"a.weight": ones_like(p, "a.weight") * one(4, 1)}},
        lambda p: additive.squared_norm(p["a.weight"], p["a.bias"]),
        linear=True,
    ),
    "before LayerNorm without eps": Layer(
        two(),
        before_layer_norm(0.0),
        lambda p: additive.squared_norm(p["a.weight"], p["a.bias"]),
        {0: both_scale},
        lambda p: additive.squared_norm(p["a.weight"]),
    ),
    "before RMSNorm without eps": Layer(
        two(),
        before_rms,
        lambda p: additive.squared_norm(p["a.weight"], p["a.bias"]),
        {0: both_scale},
        lambda p: additive.column_sums(p["a.weight"]),
    ),
    "gain and shift of a norm": Layer(
        {"gain": (4,), "shift": (4,), "a.weight": (3, 4)},
        norm_with_gain,
        lambda p: additive.gain(p["gain"], p["a.weight"], p["shift"]),
        {
            2: lambda p: {
                "gain": p["gain"] * one(4, 2),
                "shift": p["shift"] * one(4, 2),
                "a.weight": -p["a.weight"] * one(4, 2),
            }
        },
        lambda p: additive.gain(p["gain"], p["a.weight"]),
        around={"gain": 1.0},
    ),
    "exponential": Layer(
        two(),
        exponential,
        lambda p: additive.exponential(p["a.bias"], p["b.weight"]),
        {3: lambda p: {"a.bias": one(5, 3), "b.weight": -p["b.weight"] * one(5, 3)}},
        lambda p: p["a.bias"] - p["b.weight"].square().sum(0),
    ),
    "key bias": Layer(
        {f"{k}.{part}": (3, 4) if part == "weight" else (3,)
         for k in "qkv" for part in ("weight", "bias")},
        attention,
        lambda p: additive.key_bias(p["k.bias"]),
        {1: lambda p: {"k.bias": one(3, 1)}},
        lambda p: p["q.bias"],
        linear=True,
        inputs=(2, 5, 4),
    ),
    **{name: gated_unit(*gate) for name, gate in GATES.items()},
}  # fmt: skip


def start(layer: Layer, rng: torch.Generator) -> dict[str, Tensor]:
    return {
        k: layer.around.get(k, 0.0) + normal(shape, rng, 0.5) for k, shape in layer.shapes.items()
    }


@pytest.mark.parametrize("name", LAYERS)
def test_kept(name: str, rng: torch.Generator) -> None:
    layer = LAYERS[name]
    points = path(layer.forward, start(layer, rng), normal(layer.inputs, rng), 3.0)
    assert drift(layer.law, points) <= GLOBAL
    assert drift(layer.wrong, points) > SEEN * drift(layer.law, points)
    assert drift(layer.wrong, points) > SEEN * GLOBAL


def test_kept_by_a_gate_with_a_kink(rng: torch.Generator) -> None:
    """ReGLU: the rate of every law is 0 at random parameters, where its flow would have kinks."""
    layer = gated_unit(torch.relu, 1.0)
    params, inputs = start(layer, rng), normal(layer.inputs, rng)
    gradient = Subject(EMPTY, params, layer.forward, inputs).gradient()
    for law, kept in ((layer.law, True), (layer.wrong, False)):
        rate = torch.func.jvp(law, (params,), (gradient,))[1].abs().max()
        assert (rate <= 256 * EPS) if kept else (rate > 1e-2)


@pytest.mark.parametrize("name", LAYERS)
def test_law_is_the_quantity_of_its_field(name: str, rng: torch.Generator) -> None:
    """⟨θ, M·θ⟩ + 2⟨a, θ⟩, halved for translations; and the field is one that has a law."""
    layer = LAYERS[name]
    params = start(layer, rng)
    law = layer.law(params).flatten()
    for entry, generator in layer.fields.items():
        additive.require_gradient(generator, params, rng)
        found = additive.quantity(generator, params) / (2 if layer.linear else 1)
        assert torch.allclose(found, law[entry], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", LAYERS)
def test_the_loss_does_not_see_the_field(name: str, rng: torch.Generator) -> None:
    layer = LAYERS[name]
    params, inputs = start(layer, rng), normal(layer.inputs, rng)
    gradient = Subject(EMPTY, params, layer.forward, inputs).gradient()
    for generator in layer.fields.values():
        moved = generator(params)
        slope = sum(float((gradient[k] * moved[k]).sum()) for k in moved)
        assert abs(slope) <= 256 * EPS


def test_a_shift_that_another_layer_takes_back_has_no_law(rng: torch.Generator) -> None:
    """b += t, c −= Ut: the loss does not see it, but it is no gradient."""
    params = {"b": normal((3,), rng), "U": normal((2, 3), rng), "c": normal((2,), rng)}

    def absorbed(p: Params) -> dict[str, Tensor]:
        return {"b": one(3, 0), "c": -p["U"] @ one(3, 0)}

    with pytest.raises(ValueError, match="`field` must have a symmetric linear part"):
        additive.require_gradient(absorbed, params, rng)
    with pytest.raises(ValueError, match="`field` must be affine"):
        additive.require_gradient(lambda p: {"b": p["b"].square()}, params, rng)


def test_convention(rng: torch.Generator) -> None:
    """2b_i − ‖U_{:i}‖² is twice b_i − ½‖U_{:i}‖²."""
    b, U = normal((3,), rng), normal((2, 3), rng)
    assert torch.allclose(additive.exponential(b, U), 2 * (b - U.square().sum(0) / 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: additive.column_sums(torch.ones(3)), r"must be a matrix \[h, n\]"),
        (lambda: additive.squared_norm(torch.ones(3, 2), torch.ones(2)), r"a vector \[h\]"),
        (lambda: additive.gain(torch.ones(3), torch.ones(2, 4)), "`gamma` must have an entry"),
        (lambda: additive.gain(torch.ones(3), torch.ones(2, 3), torch.ones(2)), "its bias"),
        (lambda: additive.exponential(torch.ones(3), torch.ones(2, 4)), "`b` must have an entry"),
        (lambda: additive.gated(torch.ones(3, 2), torch.ones(2, 4)), "`value` must have"),
        (
            lambda: additive.gated(torch.ones(4, 2), torch.ones(2, 4), torch.ones(3, 2)),
            "`gate` must have",
        ),
    ],
)
def test_bad_input(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
