"""The law of every hidden neuron on white data, along accurately integrated flows (eq. (53))."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from paramsym.laws.elementwise import elementwise
from paramsym.laws.potentials import (
    GELU_POLE,
    NAMED,
    SILU_POLE,
    Potential,
    by_quadrature,
    potential,
)
from tests.elementwise.flows import GLOBAL, SEEN, assert_kept, drift, orthonormal, path
from tests.elementwise.test_potentials import ACTIVATIONS
from tests.laws.subject import Params, normal

SMOOTH = {k: v for k, v in ACTIVATIONS.items() if k not in ("identity", "relu", "leaky_relu")}


def network(
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Params, Tensor], Tensor]:
    """U σ(V X), samples as columns."""
    return lambda p, X: p["U"] @ activation(p["V"] @ X)


def start(rng: torch.Generator, n: int = 5, h: int = 4, m: int = 3) -> dict[str, Tensor]:
    """First preactivations of about unit size, away from the poles at negative values."""
    return {"V": normal((h, n), rng, 0.6), "U": normal((m, h), rng, 0.5)}


def law(phi: Potential, X: Tensor, *, check: bool = True) -> Callable[[Params], Tensor]:
    return lambda p: elementwise(p["V"], p["U"], X, phi, check=check)


def wrong(p: Params) -> Tensor:
    """What a homogeneous activation would keep."""
    return p["V"].square().sum(1) - p["U"].square().sum(0)


@pytest.mark.parametrize("samples", [3, 5])
@pytest.mark.parametrize("name", SMOOTH)
def test_kept(name: str, samples: int, rng: torch.Generator) -> None:
    X = orthonormal(5, samples, rng)
    params = start(rng)
    params["V"] = params["V"] + 0.4 * torch.ones(5, dtype=torch.float64) @ X @ X.T
    if name in ("gelu", "silu"):
        params["V"] = (params["V"] @ X).abs() @ X.T
    points = path(network(SMOOTH[name]), params, X)
    assert_kept(law(potential(name), X), wrong, points)


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_kept_with_a_kink(name: str, rng: torch.Generator) -> None:
    """No entry crosses the kink in this time, so that the flow is smooth."""
    X, params = orthonormal(5, 5, rng), start(rng)
    points = path(network(ACTIVATIONS[name]), params, X, 0.3)
    assert bool(((points[0]["V"] @ X).sign() == (points[-1]["V"] @ X).sign()).all())
    assert drift(law(potential(name), X), points) <= GLOBAL
    assert drift(lambda p: p["V"].square().sum(1), points) > SEEN * GLOBAL


def test_kept_by_quadrature(rng: torch.Generator) -> None:
    """Of an activation that has no closed form here: erf."""
    X, params = orthonormal(7, 5, rng), start(rng, n=7)
    points = path(network(torch.erf), params, X)
    assert_kept(law(by_quadrature(torch.erf), X), wrong, points)


@pytest.mark.parametrize(
    ("name", "activation", "pole"),
    [("gelu", functional.gelu, GELU_POLE), ("silu", functional.silu, SILU_POLE)],
)
def test_neurons_on_both_sides_of_a_pole(
    name: str, activation: Callable[[Tensor], Tensor], pole: float, rng: torch.Generator
) -> None:
    """One branch for each entry; none crosses."""
    X, params = orthonormal(4, 4, rng), start(rng, n=4)
    side = torch.where(torch.arange(16).reshape(4, 4) % 3 == 0, -0.3, 0.4).double()
    params["V"] = (pole + side) @ X.T
    points = path(network(activation), params, X, 0.5)
    kept = [(p["V"] @ X > pole) == (side > 0) for p in points]
    assert all(bool(k.all()) for k in kept)
    assert_kept(law(potential(name), X), wrong, points)


def test_the_loss_may_be_any(rng: torch.Generator) -> None:
    """The outputs may enter through another layer that is trained too."""
    X, params = orthonormal(5, 4, rng), start(rng)
    params["W"] = normal((2, 3), rng)
    points = path(
        lambda p, X: torch.tanh(p["W"] @ torch.sin(p["U"] @ (p["V"] @ X).tanh())), params, X
    )
    assert_kept(law(potential("tanh"), X), wrong, points)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_whitened_covariance_is_not_enough(name: str, rng: torch.Generator) -> None:
    """XXᵀ = I with more samples than dimensions, and data that are not white at all."""
    for X in (orthonormal(9, 5, rng).T, normal((5, 5), rng)):
        points = path(network(SMOOTH[name]), start(rng), X, 4.0)
        assert drift(law(potential(name), X, check=False), points) > SEEN * GLOBAL
        with pytest.raises(ValueError, match="orthonormal columns"):
            law(potential(name), X)(points[0])


def test_a_bias_is_a_column_whose_data_must_be_white(rng: torch.Generator) -> None:
    """[X; 1]ᵀ[X; 1] = I is white; a bias beside white X is not."""
    rows = torch.linalg.qr(torch.cat([torch.ones(5, 1).double(), normal((5, 5), rng)], 1)).Q.T
    # Its first row is constant, ±1/√5: scaled to 1 it is the bias's row.
    augmented = rows.clone()
    bias = augmented[0, 0].item()
    params = {"V": normal((4, 4), rng), "b": normal((4,), rng), "U": normal((3, 4), rng, 0.5)}

    def forward(p: Params, X: Tensor) -> Tensor:
        return p["U"] @ (p["V"] @ X + bias * p["b"][:, None]).tanh()

    def with_bias(p: Params) -> Tensor:
        V = torch.cat([p["b"][:, None], p["V"]], 1)
        return elementwise(V, p["U"], augmented, potential("tanh"))

    points = path(forward, params, augmented[1:])
    assert_kept(with_bias, lambda p: wrong(p), points)
    white = orthonormal(4, 4, rng)
    points = path(lambda p, X: p["U"] @ (p["V"] @ X + p["b"][:, None]).tanh(), params, white)
    assert drift(law(potential("tanh"), white), points) > SEEN * GLOBAL


def test_convention() -> None:
    """2ΣΦ − ‖U_{:a}‖²: minus twice the paper's; the identity gives ‖V_a‖² − ‖U_{:a}‖²."""
    V = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    U = torch.tensor([[2.0, 1.0]])
    X = torch.eye(2)
    assert torch.allclose(elementwise(V, U, X, potential("identity")), torch.tensor([1.0, 8.25]))
    paper = U.square().sum(0) / 2 - potential("tanh")(V).sum(1)
    assert torch.allclose(elementwise(V, U, X, potential("tanh")), -2 * paper)


def test_under_vmap(rng: torch.Generator) -> None:
    X = orthonormal(5, 4, rng)
    V, U = normal((6, 4, 5), rng), normal((6, 3, 4), rng)
    many = torch.vmap(lambda V, U: elementwise(V, U, X, potential("tanh"), check=False))(V, U)
    assert torch.allclose(many[2], elementwise(V[2], U[2], X, potential("tanh")), rtol=1e-14)


@pytest.mark.parametrize(
    ("V", "U", "X", "message"),
    [
        ((4, 5), (3, 4), (5,), r"`X` must be a matrix; got shape \(5,\)"),
        ((4, 5), (4, 3), (5, 2), r"U V X must be a product"),
        ((4, 5), (3, 4), (6, 2), r"U V X must be a product"),
        ((4, 5), (3, 4), (5, 6), r"got 6 samples in 5 dimensions"),
        ((4, 5), (3, 4), (5, 2), r"got max\|XᵀX − I\| = 5\.0e\+00"),
    ],
)
def test_bad_input(
    V: tuple[int, ...], U: tuple[int, ...], X: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        elementwise(torch.ones(V), torch.ones(U), torch.ones(X), potential("tanh"))


def test_an_entry_at_a_pole_has_no_law() -> None:
    V = torch.full((2, 2), GELU_POLE, dtype=torch.float64)
    with pytest.raises(ValueError, match="`V @ X`: the potential of gelu has a pole"):
        elementwise(V, torch.ones(1, 2).double(), torch.eye(2).double(), potential("gelu"))


def test_every_closed_form_is_followed() -> None:
    assert SMOOTH.keys() | {"identity", "relu", "leaky_relu"} == NAMED.keys()
