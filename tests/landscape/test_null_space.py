"""Null spaces against the dimensions of orbits and fibres."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import paramsym as ps
from paramsym.landscape import NullSpace, hessian, split_null_space
from paramsym.landscape.null_space import CLEAR_GAP
from paramsym.nets import MLP
from tests.landscape.losses import EPS, Params, at_zero_loss, detached, factors, linear_net, normal


def orbit_dim(m: int, h: int, n: int) -> int:
    return h * h - max(0, h - n) * max(0, h - m)


def fibre_dim(m: int, h: int, n: int) -> int:
    r = min(m, h, n)
    return h * (n + m) - r * (n + m - r)


def discovered(model: nn.Module, inputs: int) -> ps.Symmetry:
    return ps.discover(model, (torch.eye(inputs, dtype=torch.float64),))


def check_bases(found: NullSpace, H: Tensor) -> None:
    """Orthonormal, together null, and as many as there are small eigenvalues."""
    both = torch.cat([found.orbit, found.rest])
    eye = torch.eye(found.dim, dtype=torch.float64)
    torch.testing.assert_close(both @ both.mT, eye, rtol=0, atol=1e-10)
    assert float((both @ H).norm()) <= math.sqrt(found.dim) * 2 * found.threshold
    assert found.dim == int((torch.linalg.eigvalsh(H).abs() <= found.threshold).sum())


# The last three are of a width between the others, where the fibre is larger than the orbit.
SHAPES = [(2, 3, 2), (3, 2, 4), (2, 6, 3), (1, 3, 1), (3, 3, 3), (2, 3, 5), (6, 4, 2), (1, 2, 4)]


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize(("m", "h", "n"), SHAPES)
def test_linear_nets(rng: torch.Generator, m: int, h: int, n: int, scale: float) -> None:
    model, params, loss = at_zero_loss(*factors(rng, m, h, n), scale=scale)
    symmetry = discovered(model, n)
    found = split_null_space(loss, params, symmetry)
    assert found.orbit_dim == orbit_dim(m, h, n) == symmetry.orbit_dim(params)
    assert found.dim == fibre_dim(m, h, n)
    low, high = min(n, m), max(n, m)
    assert found.rest_dim == (max(0, h - low) * max(0, high - h) if low < h < high else 0)
    assert (found.undecided, len(found.eigenvalues)) == (0, h * (n + m))
    assert found.gap > CLEAR_GAP
    check_bases(found, hessian(loss, params))


@pytest.mark.slow
def test_the_net_of_figure_9(rng: torch.Generator) -> None:
    U, V = factors(rng, 10, 50, 5)
    model, params, loss = at_zero_loss(0.3 * U, 0.3 * V)
    found = split_null_space(loss, params, discovered(model, 5))
    assert (found.dim, found.orbit_dim, found.rest_dim) == (700, 700, 0)
    assert len(found.eigenvalues) == 750
    check_bases(found, hessian(loss, params))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "radial"])
def test_other_activations(rng: torch.Generator, activation: str) -> None:
    # More samples than parameters, and targets that the net attains: its own outputs.
    model = MLP((2, 3, 2), activation, bias=False, dtype=torch.float64, generator=rng)
    params, x = detached(model), normal(rng, 60, 2)
    y = functional_call(model, params, (x,)).detach()
    symmetry = ps.discover(model, (x,))

    def loss(p: Params) -> Tensor:
        return (functional_call(model, p, (x,)) - y).square().mean()

    found = split_null_space(loss, params, symmetry)
    expected = {"relu": 3, "leaky_relu": 3, "tanh": 0, "radial": 3}[activation]
    # A radial net of h > n has more flat directions than rotations: h(n+m) − mn − n(n+1)/2 in all.
    more = 12 - 4 - 3 - 3 if activation == "radial" else 0
    assert (found.orbit_dim, found.rest_dim) == (expected, more)
    check_bases(found, hessian(loss, params))


def test_critical_points_that_are_no_minima(rng: torch.Generator) -> None:
    # UV is the best approximation of Y in one of its singular directions, and not the best of all.
    left, s, right = torch.linalg.svd(normal(rng, 3, 3))
    U, V = left[:, 1:2] * s[1].sqrt(), s[1].sqrt() * right[1:2]
    Y = left @ torch.diag(s) @ right
    model, params = linear_net(U, V)
    eye = torch.eye(3, dtype=torch.float64)

    def loss(p: Mapping[str, Tensor]) -> Tensor:
        return (functional_call(model, dict(p), (eye,)).mT - Y).square().sum()

    found = split_null_space(loss, params, discovered(model, 3))
    assert (found.orbit_dim, found.rest_dim) == (1, 0)
    assert float(found.eigenvalues[0]) < -1e-3


def test_float32(rng: torch.Generator) -> None:
    model, params, loss = at_zero_loss(*factors(rng, 2, 3, 2))
    narrow = {k: p.float() for k, p in params.items()}
    found = split_null_space(loss, narrow, discovered(model, 2), strict=False)
    assert found.orbit.dtype == torch.float64
    # The weights are off the minimum by rounding of float32, and so is the gradient.
    assert 1e-8 < found.gradient < 1e-4
    assert (found.orbit_dim, found.rest_dim) == (9 - 1, 0)


class TestAwayFromCriticalPoints:
    @pytest.fixture
    def case(self, rng: torch.Generator) -> tuple[nn.Module, Params, Params, object]:
        model, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))
        direction = {k: normal(rng, *p.shape) for k, p in params.items()}
        return model, params, direction, loss

    @pytest.mark.parametrize("step", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
    def test_the_bound(self, case: tuple, step: float) -> None:
        model, params, direction, loss = case
        moved = {k: p + step * direction[k] for k, p in params.items()}
        found = split_null_space(loss, moved, discovered(model, 2), strict=False)
        # As many eigenvalues as orbit directions within ‖HZ‖, which is of the gradient's order.
        rounding = 64 * len(found.eigenvalues) * EPS * float(found.eigenvalues.abs().max())
        small = int((found.eigenvalues.abs() <= found.curvature + rounding).sum())
        assert small >= found.orbit_dim == 14
        assert 1e-2 * found.gradient < found.curvature < 1e2 * found.gradient
        # The identity H ξ = −(∂ξ)ᵀ∇L holds there as it does at the minimum.
        assert found.residual < 1e-12

    def test_undecided(self, case: tuple) -> None:
        model, params, direction, loss = case
        moved = {k: p + 1e-3 * direction[k] for k, p in params.items()}
        with pytest.raises(ValueError, match=r"undecided.*Train on until the gradient vanishes"):
            split_null_space(loss, moved, discovered(model, 2))
        found = split_null_space(loss, moved, discovered(model, 2), strict=False)
        assert 0 < found.undecided < 20

    def test_far_away_nothing_is_decided(self, case: tuple) -> None:
        model, params, direction, loss = case
        moved = {k: p + 3 * direction[k] for k, p in params.items()}
        found = split_null_space(loss, moved, discovered(model, 2), strict=False)
        assert found.undecided == len(found.eigenvalues) == 20


class TestPlantedFaults:
    def test_weight_decay_breaks_the_symmetry(self, rng: torch.Generator) -> None:
        model, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))

        def decayed(p: Params) -> Tensor:
            return loss(p) + 1e-3 * sum(x.square().sum() for x in p.values())

        with pytest.raises(ValueError, match="`symmetry` does not leave this loss as it is"):
            split_null_space(decayed, params, discovered(model, 2))

    def test_the_symmetry_of_another_network(self, rng: torch.Generator) -> None:
        linear = MLP((2, 3, 2), "identity", bias=False, dtype=torch.float64, generator=rng)
        curved = MLP((2, 3, 2), "tanh", bias=False, dtype=torch.float64, generator=rng)
        params, x = detached(curved), normal(rng, 30, 2)
        y = functional_call(curved, params, (x,)).detach()
        with pytest.raises(ValueError, match="`symmetry` does not leave this loss as it is"):
            split_null_space(
                lambda p: (functional_call(curved, p, (x,)) - y).square().mean(),
                params,
                discovered(linear, 2),
            )

    def test_a_family_that_is_missing_shows_as_the_rest(self, rng: torch.Generator) -> None:
        model, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))
        whole = discovered(model, 2)
        (family,) = whole.families
        part = ps.Symmetry.of([ps.Family("scale", ps.PositiveScaling(4), family.ports)], params)
        found = split_null_space(loss, params, part)
        assert (found.orbit_dim, found.rest_dim) == (4, 10)
        none = split_null_space(loss, params, ps.Symmetry.of([], params))
        assert (none.orbit_dim, none.rest_dim) == (0, 14)

    def test_almost_flat_is_not_flat(self, rng: torch.Generator) -> None:
        # Weak curvature across the orbit, which must neither vanish nor raise a doubt.
        U, V = factors(rng, 2, 2, 2)
        left, s, right = torch.linalg.svd(V)
        V = left @ torch.diag(torch.stack([s[0], 1e-3 * s[0]])) @ right
        left, s, right = torch.linalg.svd(U)
        U = left @ torch.diag(torch.stack([s[0], 1e-3 * s[0]])) @ right
        model, params, loss = at_zero_loss(U, V)
        found = split_null_space(loss, params, discovered(model, 2))
        assert (found.orbit_dim, found.rest_dim) == (4, 0)
        assert found.kept < 1e-5 * float(found.eigenvalues[-1])


class TestBadInput:
    def test_parameters_of_another_model(self, rng: torch.Generator) -> None:
        model, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))
        symmetry = discovered(model, 2)
        with pytest.raises(ValueError, match=r"`params` lacks 'layers\.0\.weight'"):
            split_null_space(loss, {"layers.1.weight": params["layers.1.weight"]}, symmetry)
        with pytest.raises(ValueError, match="must be finite"):
            split_null_space(loss, {k: p / 0 for k, p in params.items()}, symmetry)

    def test_no_symmetry(self, rng: torch.Generator) -> None:
        _, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))
        with pytest.raises(TypeError, match="`symmetry` must be a Symmetry; got"):
            split_null_space(loss, params, "GL")  # pyright: ignore[reportArgumentType]

    def test_too_many_generators(self, rng: torch.Generator) -> None:
        model, params, loss = at_zero_loss(*factors(rng, 5, 200, 5))
        with pytest.raises(ValueError, match=r"tangents of 40000 generators in 2000 parameters"):
            split_null_space(loss, params, discovered(model, 5))
