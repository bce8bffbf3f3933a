"""Proposition 4.2: the bound, a tighter one, and what the paper's proof and remark get wrong."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from paramsym.data_dependent import (
    QR,
    Affine,
    LinearMap,
    OneSample,
    Twisted,
    Variant,
    lipschitz_bounds,
)

F64 = torch.float64
ETA: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "sigmoid": (torch.sigmoid, 0.25),
    "tanh": (torch.tanh, 1.0),
    "leaky relu": (nn.LeakyReLU(0.1), 1.0),
}


def draw(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=F64)


@pytest.mark.parametrize("variant", [OneSample(), QR(), Twisted()])
@pytest.mark.parametrize("name", ETA)
def test_measured_below_tight_below_printed(
    name: str, variant: Variant, rng: torch.Generator
) -> None:
    activation, eta = ETA[name]
    for _ in range(10):
        V, U = Affine(draw(5, 4, rng=rng), draw(5, rng=rng)), Affine(draw(3, 5, rng=rng))
        g, x = draw(5, 5, rng=rng), draw(1, 4, rng=rng)
        pi = variant.reader(g, V(x), activation)
        points = draw(200, 4, rng=rng)
        bounds = lipschitz_bounds(g, pi, V, U, eta, activation=activation, points=points)
        assert bounds.measured is not None
        assert 0 < bounds.measured <= bounds.tight <= bounds.printed * (1 + 1e-12)
        assert V.bias is not None
        front = Affine(g @ V.weight, g @ V.bias)
        values = activation(front(points)) @ pi.transpose(U.weight).mT
        steps = (values[1:] - values[:-1]).norm(dim=1) / (points[1:] - points[:-1]).norm(dim=1)
        assert steps.max() <= bounds.tight


def test_the_printed_form_for_one_sample(rng: torch.Generator) -> None:
    V, U = Affine(draw(5, 4, rng=rng)), Affine(draw(3, 5, rng=rng))
    g, x = draw(5, 5, rng=rng), draw(1, 4, rng=rng)
    pi = OneSample().reader(g, V(x), torch.tanh)
    ratio = torch.tanh(V(x)).norm() / torch.tanh(V(x) @ g.mT).norm()
    sizes = [torch.linalg.matrix_norm(m, 2) for m in (U.weight, V.weight, g)]
    expected = sizes[0] * sizes[1] * sizes[2] * ratio
    found = lipschitz_bounds(g, pi, V, U, 1.0).printed
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)


def test_without_the_factor_of_g_the_bound_is_false(rng: torch.Generator) -> None:
    """The remark behind eq. (9) has ‖c⁻¹‖ for the ratio times ‖g‖: wrong for σ = id, g = 10·I."""
    V, U = Affine(draw(5, 4, rng=rng)), Affine(draw(3, 5, rng=rng))
    g = 10 * torch.eye(5, dtype=F64)
    bounds = lipschitz_bounds(g, LinearMap.of(torch.linalg.inv(g)), V, U, 1.0)
    true = torch.linalg.matrix_norm(U.weight @ V.weight, 2)
    remark = torch.linalg.matrix_norm(U.weight, 2) * torch.linalg.matrix_norm(V.weight, 2) / 10
    assert remark < true <= bounds.tight <= bounds.printed * (1 + 1e-12)


def test_the_quantity_in_the_printed_proof_exceeds_the_bound(rng: torch.Generator) -> None:
    """The proof bounds F(x₁ − x₂), which for a sigmoid does not vanish as x₁ → x₂."""
    V, U = Affine(draw(5, 4, rng=rng)), Affine(draw(3, 5, rng=rng))
    g, x = draw(5, 5, rng=rng), draw(1, 4, rng=rng)
    pi = OneSample().reader(g, V(x), torch.sigmoid)
    bound = lipschitz_bounds(g, pi, V, U, 0.25).printed
    step = 1e-6 * draw(1, 4, rng=rng)
    quantity = torch.sigmoid(step @ V.weight.mT @ g.mT) @ pi.transpose(U.weight).mT
    assert quantity.norm() / step.norm() > 1e3 * bound


def test_bad_input() -> None:
    V, U, g = Affine(torch.eye(2)), Affine(torch.eye(2)), torch.eye(2)
    pi = LinearMap.of(g)
    for eta in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="`eta` must be a positive Lipschitz constant"):
            lipschitz_bounds(g, pi, V, U, eta)
    with pytest.raises(ValueError, match="`activation` and `points` must be given together"):
        lipschitz_bounds(g, pi, V, U, 1.0, activation=torch.tanh)
    with pytest.raises(ValueError, match=r"`g` must have shape \[..., 2, 2\], because `writer`"):
        lipschitz_bounds(torch.eye(3), pi, V, U, 1.0)
    with pytest.raises(ValueError, match="`g` must be finite; 4 of 4"):
        lipschitz_bounds(g / 0, pi, V, U, 1.0)
    with pytest.raises(TypeError, match="`g` must be a floating-point tensor"):
        lipschitz_bounds(g.long(), pi, V, U, 1.0)
    with pytest.raises(ValueError, match=r"`points` must have shape \[p, 2\]; got \[2\]"):
        lipschitz_bounds(g, pi, V, U, 1.0, activation=torch.tanh, points=torch.ones(2))
