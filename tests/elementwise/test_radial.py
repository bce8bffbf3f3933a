"""Laws of radial activations along accurately integrated flows."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from paramsym.laws.potentials import Potential, potential
from paramsym.laws.radial import column_radial, power, power_law, row_radial, span_projector
from tests.elementwise.flows import GLOBAL, SEEN, assert_kept, drift, orthonormal, path
from tests.laws.measure import EPS
from tests.laws.subject import Params, normal

Profile = Callable[[Tensor], Tensor]

PROFILES: dict[str, tuple[Profile, Potential]] = {
    "tanh": (torch.tanh, potential("tanh")),
    "softsign": (lambda r: r / (1 + r), potential("softsign")),
    "power 1": (lambda r: r**2, power(1.0)),
    "power 2": (lambda r: r**3, power(2.0)),
    "power -2": (lambda r: 1 / r, power(-2.0)),
}


def radial(profile: Profile, dim: int) -> Callable[[Tensor], Tensor]:
    """ρ(‖z‖) z/‖z‖ along an axis."""

    def apply(z: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(z, dim=dim, keepdim=True)
        return profile(norm) * z / norm

    return apply


def network(profile: Profile, dim: int) -> Callable[[Params, Tensor], Tensor]:
    return lambda p, X: p["U"] @ radial(profile, dim)(p["V"] @ X)


def biased(profile: Profile) -> Callable[[Params, Tensor], Tensor]:
    """The usual radial network: every sample's hidden vector is a column."""
    return lambda p, X: p["U"] @ radial(profile, 0)(p["V"] @ X + p["b"][:, None])


def start(rng: torch.Generator, n: int = 5, h: int = 4, m: int = 3) -> dict[str, Tensor]:
    return {
        "V": normal((h, n), rng, 0.6),
        "U": normal((m, h), rng, 0.5),
        "b": normal((h,), rng, 0.3),
    }


def without_bias(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: p for k, p in params.items() if k != "b"}


@pytest.mark.parametrize("samples", [3, 5])
@pytest.mark.parametrize("name", PROFILES)
def test_row_radial(name: str, samples: int, rng: torch.Generator) -> None:
    """Proposition G.1 for any start: nothing here is aligned with the singular vectors."""
    profile, phi = PROFILES[name]
    X = orthonormal(5, samples, rng)
    points = path(network(profile, 1), without_bias(start(rng)), X)

    def wrong(p: Params) -> Tensor:
        return p["V"].square().sum(1) - p["U"].square().sum(0)

    assert_kept(lambda p: row_radial(p["V"], p["U"], X, phi), wrong, points)


@pytest.mark.parametrize("name", PROFILES)
def test_column_radial(name: str, rng: torch.Generator) -> None:
    """One law in all; the neurons' own do not hold."""
    profile, phi = PROFILES[name]
    X = orthonormal(5, 5, rng)
    points = path(network(profile, 0), without_bias(start(rng)), X)

    def by_rows(p: Params) -> Tensor:
        return row_radial(p["V"], p["U"], X, phi)

    assert_kept(lambda p: column_radial(p["V"], p["U"], X, phi), by_rows, points)


def test_rows_may_be_white_in_either_sense(rng: torch.Generator) -> None:
    """XXᵀ = I with more samples than dimensions is enough for rows, and not for columns."""
    X, phi = orthonormal(9, 5, rng).T, potential("tanh")
    points = path(network(torch.tanh, 1), without_bias(start(rng)), X)

    def law(p: Params, phi: Potential = phi) -> Tensor:
        return row_radial(p["V"], p["U"], X, phi)

    assert_kept(law, lambda p: law(p, power(0.0)), points)
    params = {k: 2 * p for k, p in without_bias(start(rng)).items()}
    points = path(network(torch.tanh, 0), params, X, 4.0)
    total = drift(lambda p: column_radial(p["V"], p["U"], X, phi, check=False), points)
    assert total > SEEN * GLOBAL
    with pytest.raises(ValueError, match=r"orthonormal columns, XᵀX = I; got 9 samples"):
        column_radial(points[0]["V"], points[0]["U"], X, phi)


def test_rows_need_white_data(rng: torch.Generator) -> None:
    X, phi = normal((5, 9), rng, 0.7), potential("tanh")
    points = path(network(torch.tanh, 1), without_bias(start(rng)), X)
    change = drift(lambda p: row_radial(p["V"], p["U"], X, phi, check=False), points)
    assert change > SEEN * GLOBAL
    with pytest.raises(ValueError, match="orthonormal columns or rows"):
        row_radial(points[0]["V"], points[0]["U"], X, phi)


@pytest.mark.parametrize("p", [-0.5, 0.5, 1.0, 2.0])
def test_power_law(p: float, rng: torch.Generator) -> None:
    """‖V‖² + ‖b‖² − (p+1)‖U‖² for any data; the same without p + 1 drifts."""
    points = path(biased(lambda r: r ** (p + 1)), start(rng), normal((5, 9), rng))

    def law(q: Params, p: float = p) -> Tensor:
        return power_law(torch.cat([q["V"], q["b"][:, None]], 1), q["U"].T, p)

    assert_kept(law, lambda q: law(q, 0.0), points)


def test_the_power_laws_agree(rng: torch.Generator) -> None:
    """On white data the potential of r^{p+1} gives the power law divided by p + 1."""
    q, X = start(rng), orthonormal(5, 5, rng)
    column = column_radial(q["V"], q["U"], X, power(2.0))
    assert torch.allclose(3 * column, power_law(q["V"], q["U"].T, 2.0), rtol=1e-13)


def projector(p: Params, *, check: bool = True) -> Tensor:
    return span_projector(torch.cat([p["V"], p["b"][:, None]], 1), p["U"].T, check=check)


@pytest.mark.parametrize("name", ["tanh", "softsign"])
def test_span(name: str, rng: torch.Generator) -> None:
    """h = 7 > n + 1 + m = 5: the projector stays; that onto the writers alone does not."""
    profile, _ = PROFILES[name]
    points = path(biased(profile), start(rng, n=2, h=7, m=2), normal((2, 9), rng), 3.0)

    def wrong(p: Params) -> Tensor:
        return span_projector(p["V"], p["b"][:, None])

    assert_kept(projector, wrong, points)


def test_the_span_of_an_elementwise_network_moves(rng: torch.Generator) -> None:
    def forward(p: Params, X: Tensor) -> Tensor:
        return p["U"] @ torch.tanh(p["V"] @ X + p["b"][:, None])

    points = path(forward, start(rng, n=2, h=7, m=2), normal((2, 9), rng), 4.0)
    assert drift(projector, points) > SEEN * GLOBAL


@pytest.mark.parametrize(("n", "h", "m"), [(1, 4, 1), (2, 7, 2), (1, 6, 2)])
def test_number_of_span_laws(n: int, h: int, m: int, rng: torch.Generator) -> None:
    """(a+b)(h−a−b): the rank of the projector's derivative."""
    p = start(rng, n=n, h=h, m=m)
    jacobian = torch.func.jacrev(lambda q: projector(q, check=False).flatten())(p)
    matrix = torch.cat([j.flatten(1) for j in jacobian.values()], 1)
    width = n + 1 + m
    assert torch.linalg.matrix_rank(matrix, rtol=1e-10) == width * (h - width)


def test_sgd_keeps_the_span_and_adam_does_not(rng: torch.Generator) -> None:
    inputs, targets = normal((2, 9), rng), normal((2, 9), rng)
    initial = start(rng, n=2, h=7, m=2)
    moved: dict[str, float] = {}
    for optimiser, options in (
        (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        (torch.optim.Adam, {}),
    ):
        params = {k: p.clone().requires_grad_() for k, p in initial.items()}
        steps = optimiser(list(params.values()), lr=0.01, **options)
        for step in range(50):
            batch = torch.arange(3) + step % 3 * 3
            steps.zero_grad()
            outputs = biased(torch.tanh)(params, inputs[:, batch])
            (outputs - targets[:, batch]).square().mean().backward()
            steps.step()
        end = {k: p.detach() for k, p in params.items()}
        moved[optimiser.__name__] = float((projector(end) - projector(initial)).abs().max())
    # Rounding of 50 steps, amplified by the condition of the spanning vectors.
    spanning = torch.cat([initial["V"], initial["b"][:, None], initial["U"].T], 1)
    assert moved["SGD"] <= 50 * 16 * EPS * torch.linalg.cond(spanning)
    assert moved["Adam"] > 1e-2


def test_narrow_spaces_have_no_span_law(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match=r"7 vectors in R\^7 generically span all of it"):
        projector(start(rng, n=3, h=7, m=3))


def test_dependent_vectors(rng: torch.Generator) -> None:
    params = start(rng, n=2, h=7, m=2)
    params["b"] = 2 * params["V"][:, 0]
    with pytest.raises(ValueError, match="`W` and `R` must have independent columns"):
        projector(params)


@pytest.mark.parametrize("shapes", [((4, 2), (3, 2)), ((4,), (4, 2)), ((4, 2), (4,))])
def test_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    W, R = (torch.ones(s) for s in shapes)
    for call in (span_projector, lambda W, R: power_law(W, R, 1.0)):
        with pytest.raises(ValueError, match="vectors in one hidden space"):
            call(W, R)


def test_a_profile_without_a_potential() -> None:
    with pytest.raises(ValueError, match="`p` must not be -1"):
        power(-1.0)
