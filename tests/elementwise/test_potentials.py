"""Potentials: Φ' = σ/σ', closed forms against quadrature, poles."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import spence
from torch import Tensor
from torch.nn import functional

from paramsym.laws import tanh_sinh
from paramsym.laws.potentials import (
    GELU_POLE,
    NAMED,
    SILU_POLE,
    by_quadrature,
    dilogarithm_of_minus,
    potential,
)
from tests.laws.measure import EPS

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.2),
    "relu": torch.relu,
    "exp": torch.exp,
    "tanh": torch.tanh,
    "elu": functional.elu,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "sin": torch.sin,
    "gelu": functional.gelu,
    "silu": functional.silu,
}

REACH = {"tanh": 300.0, "sigmoid": 300.0, "elu": 300.0, "sin": 1.57}
"""Where Φ is tested: up to 1e3, where it does not overflow or meet a pole before."""

GROWTH = {"tanh": 30.0, "sigmoid": 30.0, "elu": 30.0}
"""Where Φ grows exponentially, an integral over more than this has too few points."""


def grid(reach: float) -> Tensor:
    sizes = torch.logspace(-9, 3, 61, dtype=torch.float64).clamp(max=reach)
    return torch.cat([-sizes.flip(0), torch.zeros(1).double(), sizes])


def test_every_activation_is_here() -> None:
    assert ACTIVATIONS.keys() == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_ratio_is_the_activation_over_its_derivative(name: str) -> None:
    """Against torch's own derivatives, which lose what they cancel, e.g. 1 − tanh²."""
    x = torch.linspace(-1.2, 2.0, 65, dtype=torch.float64)
    found = torch.func.jvp(ACTIVATIONS[name], (x,), (torch.ones_like(x),))
    value, slope = found[0], found[1]
    alive = value != 0
    gap = (potential(name).ratio(x) * slope - value)[alive]
    condition = (1 + value.abs())[alive]
    assert alive.sum() > 30
    assert (gap.abs() <= 32 * EPS * condition * (1 + potential(name).ratio(x).abs()[alive])).all()


@pytest.mark.parametrize("name", NAMED)
def test_derivative(name: str) -> None:
    """Φ' = σ/σ', relative to itself over twelve decades."""
    phi, x = potential(name), grid(REACH.get(name, 1e3))
    if phi.error is not None:  # a sum of 200 terms that cancel far to the left
        x = x[x.abs() < 20]
    slope = torch.func.grad(lambda x: phi(x).sum())(x)
    size = phi.ratio(x).abs() + (x.abs() if phi.error else 0)
    assert ((slope - phi.ratio(x)).abs() <= 256 * EPS * size).all()


@pytest.mark.parametrize("name", [n for n, p in NAMED.items() if p.error is None])
def test_closed_form_is_the_integral(name: str) -> None:
    """Against the tanh–sinh rule: Φ(0) = 0, and relative accuracy but for softplus near 0."""
    phi, x = potential(name), grid(min(REACH.get(name, 1e3), GROWTH.get(name, 1e3)))
    value, integral = phi(x), tanh_sinh.integral(phi.ratio, torch.zeros_like(x), x)
    size = value.abs() + (name == "softplus")
    # A pole at distance d amplifies the rounding of x by its slope.
    size = size + (x * phi.ratio(x)).abs()
    assert ((value - integral).abs() <= 64 * EPS * size).all()
    assert value.isfinite().all()


@pytest.mark.parametrize("name", [n for n, p in NAMED.items() if p.error is None])
def test_quadrature_of_the_activation(name: str) -> None:
    """`by_quadrature` of the plain torch function, where its derivative is accurate."""
    x = torch.linspace(-1.3, 1.5, 57, dtype=torch.float64)
    phi = by_quadrature(ACTIVATIONS[name], name=name)
    phi.require(x)
    assert ((phi(x) - potential(name)(x)).abs() <= 1e3 * EPS * (1 + phi(x).abs())).all()


def test_quadrature_of_an_activation_without_a_name() -> None:
    """arctan: Φ = (x + x³/3) arctan x − x²/6 − log(1 + x²)/3."""
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    expected = (x + x**3 / 3) * x.atan() - x**2 / 6 - (1 + x**2).log() / 3
    phi = by_quadrature(torch.atan)
    phi.require(x)
    assert ((phi(x) - expected).abs() <= 1e3 * EPS * (1 + expected)).all()


@pytest.mark.parametrize(("name", "pole"), [("gelu", GELU_POLE), ("silu", SILU_POLE)])
def test_both_branches(name: str, pole: float) -> None:
    """Against scipy's adaptive quadrature, from 0 to the right and from pole − 1 to the left."""
    phi = potential(name)
    for offset in (-8.0, -1.0, -0.1, -1e-4, 1e-4, 0.1, 1.0, 8.0):
        x = torch.tensor([pole + offset], dtype=torch.float64)
        start = 0.0 if offset > 0 else pole - 1
        expected, _ = quad(
            lambda y: phi.ratio(torch.tensor(y, dtype=torch.float64)).item(),
            start,
            x.item(),
            epsabs=1e-13,
            epsrel=1e-12,
            limit=200,
        )
        phi.require(x)
        assert phi(x).item() == pytest.approx(expected, rel=1e-11, abs=1e-11)


def test_the_poles_are_where_the_derivative_vanishes() -> None:
    def silu_slope(x: float) -> float:
        s = 1 / (1 + math.exp(-x))
        return s * (1 + x * (1 - s))

    def gelu_slope(x: float) -> float:
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return math.erfc(-x / math.sqrt(2)) / 2 + x * density

    for slope, pole in ((silu_slope, SILU_POLE), (gelu_slope, GELU_POLE)):
        assert brentq(slope, -2.0, -0.5, xtol=1e-15) == pytest.approx(pole, abs=4 * EPS)


@pytest.mark.parametrize(
    ("name", "pole"),
    [("gelu", GELU_POLE), ("silu", SILU_POLE), ("sin", math.pi / 2), ("sin", -math.pi * 3.5)],
)
def test_an_entry_at_a_pole(name: str, pole: float) -> None:
    phi = potential(name)
    straddling = torch.tensor([[0.3, pole + 1e-3], [pole - 1e-3, pole - 2.0]], dtype=torch.float64)
    phi.require(straddling)
    assert phi(straddling).isfinite().all()
    for at in (pole, pole + 1e-9, pole - 1e-9):
        entries = straddling.clone()
        entries[1, 0] = at
        with pytest.raises(ValueError, match=re.escape(f"{name} has a pole at {pole:.7g}")):
            phi.require(entries, "V @ X")


def test_the_potential_diverges_like_a_logarithm() -> None:
    """Ten times nearer adds a constant: |residue| · log 10."""
    phi = potential("silu")
    near = SILU_POLE + torch.tensor([1e-3, 1e-4, 1e-5], dtype=torch.float64)
    steps = phi(near).diff().tolist()
    assert steps[0] == pytest.approx(steps[1], rel=1e-2)
    assert steps[0] > 1


def test_a_pole_that_was_not_named() -> None:
    x = torch.tensor([-2.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="name the zeros of σ' in `poles`"):
        by_quadrature(functional.silu).require(x, "z")
    by_quadrature(functional.silu, poles=(SILU_POLE,)).require(x, "z")


@pytest.mark.parametrize("poles", [(0.0,), (1.0, 1.0), (math.nan,), (math.inf,)])
def test_bad_poles(poles: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="`poles` must be finite, distinct and not 0"):
        by_quadrature(torch.tanh, poles=poles)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of .*'tanh'.*got 'mish'"):
        potential("mish")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="`z` must be finite"):
        potential("tanh").require(torch.tensor([0.0, value]), "z")


@pytest.mark.parametrize(
    ("name", "x", "dtype"), [("tanh", 400.0, torch.float64), ("sigmoid", 100.0, torch.float32)]
)
def test_a_potential_that_overflows(name: str, x: float, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"`z`: the potential of {name} is too large for {dtype}"):
        potential(name).require(torch.tensor([0.5, x], dtype=dtype), "z")


@pytest.mark.parametrize("activation", [functional.hardtanh, functional.hardswish])
def test_a_derivative_that_vanishes_on_an_interval(activation: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([-5.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="the integral of σ/σ' for the activation did not conv"):
        by_quadrature(activation).require(x)


def test_a_branch_between_two_poles() -> None:
    """σ = x e^{−x²/2} has σ/σ' = x/(1 − x²) and Φ = −½ log|1 − x²|, from 0 or from ±2."""

    def bump(x: Tensor) -> Tensor:
        return x * torch.exp(-x.square() / 2)

    phi = by_quadrature(bump, poles=(-1.0, 1.0))
    x = torch.tensor([-3.0, -1.5, 0.5, 1.5, 3.0], dtype=torch.float64)
    phi.require(x)
    starts = torch.where(x.abs() > 1, 2.0, 0.0).double()
    expected = [-torch.log((1 - y.square()).abs()) / 2 for y in (x, starts)]
    assert ((phi(x) - expected[0] + expected[1]).abs() <= 1e3 * EPS).all()


def test_dilogarithm() -> None:
    q = torch.linspace(0, 1, 101, dtype=torch.float64)
    expected = torch.from_numpy(spence(1 + np.linspace(0, 1, 101)))
    assert ((dilogarithm_of_minus(q) - expected).abs() <= 8 * EPS).all()


@pytest.mark.parametrize("name", NAMED)
def test_under_torch_func(name: str) -> None:
    """vmap and a second derivative go through, and float32 stays float32."""
    phi = potential(name)
    x = torch.linspace(-0.6, 1.2, 12, dtype=torch.float64).reshape(3, 4)
    assert torch.allclose(torch.vmap(phi)(x), phi(x), rtol=1e-13, atol=1e-15)
    second = torch.vmap(torch.func.grad(torch.func.grad(phi)))(x.flatten())
    slope = torch.vmap(torch.func.grad(phi.ratio))(x.flatten())
    assert torch.allclose(second, slope, rtol=1e-9, atol=1e-9)
    assert phi(x.float()).dtype == torch.float32
    assert torch.allclose(phi(x.float()).double(), phi(x), rtol=1e-4, atol=1e-5)
