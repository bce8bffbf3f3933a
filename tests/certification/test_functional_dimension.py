"""Flat directions against the orbits of known symmetries, and the extra ones that are known."""

from collections.abc import Callable
from math import comb

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import paramsym as ps
from paramsym.certification import FunctionalDimension, functional_dimension
from tests.certification.networks import (
    Activation,
    Network,
    Params,
    attention,
    identity,
    normal,
    perceptron,
    radial,
)

EPS = torch.finfo(torch.float64).eps


def measure(network: Network, *shape: int) -> FunctionalDimension:
    function, params = network
    found = functional_dimension(function, torch.zeros(shape), params)
    assert found.kept > 1e3 * found.dropped
    return found


def fibre(n: int, h: int, m: int) -> int:
    """Dimension of {UV = W} at generic factors."""
    r = min(n, h, m)
    return h * (n + m) - r * (n + m - r)


@pytest.mark.parametrize(
    ("n", "h", "m"), [(3, 2, 2), (2, 3, 2), (1, 2, 3), (2, 3, 5), (2, 6, 2), (3, 3, 3)]
)
def test_linear(n: int, h: int, m: int) -> None:
    assert measure(perceptron(identity, n, h, m), n).nullity == fibre(n, h, m)


@pytest.mark.parametrize(("n", "h", "m"), [(3, 2, 2), (3, 3, 2), (2, 4, 2), (1, 3, 2), (2, 6, 1)])
def test_radial(n: int, h: int, m: int) -> None:
    expected = h * (n + m) - m * n - n * (n + 1) // 2 if h >= n else comb(h, 2)
    assert measure(perceptron(radial, n, h, m), n).nullity == expected


@pytest.mark.parametrize(
    "activation", [torch.tanh, torch.sigmoid, functional.gelu, functional.silu]
)
def test_smooth_activations_have_no_flat_direction(activation: Activation) -> None:
    found = measure(perceptron(activation, 2, 4, 2), 2)
    assert (found.nullity, found.dropped) == (0, 0.0)


@pytest.mark.parametrize(("key", "value"), [(2, 2), (4, 3), (3, 6)])
def test_attention(key: int, value: int) -> None:
    found = measure(attention(4, key, value), 5, 4)
    assert found.nullity == key**2 + value**2 - max(0, value - 4) ** 2


def sequential(activation: nn.Module, *widths: int, bias: bool) -> nn.Module:
    torch.manual_seed(0)
    n, h, m = widths
    return nn.Sequential(nn.Linear(n, h, bias=bias), activation, nn.Linear(h, m, bias=bias))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("activation", "widths"),
    [
        (nn.ReLU, (2, 4, 2)),
        (nn.LeakyReLU, (3, 2, 1)),
        (nn.Tanh, (2, 3, 2)),
        (nn.Identity, (3, 2, 2)),
        (nn.Identity, (2, 2, 3)),
    ],
)
def test_what_discovery_finds_is_complete(
    activation: Callable[[], nn.Module], widths: tuple[int, int, int], bias: bool
) -> None:
    model = sequential(activation(), *widths, bias=bias)
    x = torch.randn(1, widths[0])
    symmetry = ps.discover(model, (x,))
    found = functional_dimension(model, x, symmetry=symmetry)
    assert found.orbit_dim == symmetry.dim
    assert found.residual < found.parameters * EPS
    # Discovery does not look for translations of a hidden bias, which a linear space has.
    translations = widths[1] if bias and activation is nn.Identity else 0
    assert found.extra == translations


def test_narrow_ends_of_a_wide_linear_network_leave_more() -> None:
    # min(n, m) < h < max(n, m): the orbit is smaller than the fibre by (h − min)(max − h).
    model = sequential(nn.Identity(), 2, 3, 5, bias=False)
    x = torch.randn(1, 2)
    found = functional_dimension(model, x, symmetry=ps.discover(model, (x,)))
    assert (found.nullity, found.orbit_dim, found.extra) == (11, 9, 2)


def test_parameters_that_do_not_matter_are_flat() -> None:
    def function(params: Params, x: Tensor) -> Tensor:
        return params["a"] * x

    assert functional_dimension(function, torch.zeros(2), normal(0, a=(2,), b=(3,))).nullity == 3


def test_outputs_that_ignore_all_parameters() -> None:
    found = functional_dimension(lambda p, x: x + 0 * p["a"], torch.zeros(2), normal(0, a=(2,)))
    assert (found.rank, found.nullity, found.kept) == (0, 2, 0.0)


def test_frozen_parameters_count() -> None:
    model = sequential(nn.ReLU(), 2, 3, 2, bias=False)
    model[0].requires_grad_(False)
    assert functional_dimension(model, torch.zeros(1, 2)).parameters == 12


def test_few_inputs_leave_more_flat_directions() -> None:
    function, params = perceptron(torch.tanh, 2, 4, 2)
    found = functional_dimension(function, torch.randn(2), params, fixed=True)
    assert (found.rows, found.rank) == (2, 2)


class TestPlantedFaults:
    """What must not pass for an answer."""

    def test_a_sampler_that_repeats_itself(self) -> None:
        function, params = perceptron(torch.tanh, 2, 4, 2)
        x = torch.randn(2)
        with pytest.raises(ValueError, match="only 1 different ones"):
            functional_dimension(function, lambda generator: x, params)

    def test_a_sampler_with_few_different_inputs(self) -> None:
        function, params = perceptron(torch.tanh, 2, 4, 2)
        xs = torch.randn(3, 2)

        def choose(generator: torch.Generator) -> Tensor:
            return xs[torch.randint(3, (), generator=generator)]

        with pytest.raises(ValueError, match="different ones"):
            functional_dimension(function, choose, params)

    def test_special_inputs_show_as_extra_directions(self) -> None:
        model = sequential(nn.ReLU(), 2, 3, 2, bias=True)
        x = torch.randn(1, 2)
        symmetry = ps.discover(model, (x,))

        def on_a_line(generator: torch.Generator) -> Tensor:
            return torch.randn(1, 1, generator=generator) * torch.tensor([[1.0, 2.0]])

        assert functional_dimension(model, on_a_line, symmetry=symmetry).extra > 0
        assert functional_dimension(model, x, symmetry=symmetry).extra == 0

    def test_a_symmetry_of_another_activation_leaves_the_kernel(self) -> None:
        model = sequential(nn.ReLU(), 2, 3, 2, bias=False)
        other = sequential(nn.Tanh(), 2, 3, 2, bias=False)
        x = torch.randn(1, 2)
        symmetry = ps.discover(model, (x,))
        assert functional_dimension(other, x, symmetry=symmetry).residual > 1e-3


class TestBadInput:
    x = torch.zeros(2)

    def test_too_large(self) -> None:
        with pytest.raises(ValueError, match=r"dense Jacobian of .* rows × 40000 parameters"):
            functional_dimension(nn.Linear(200, 200, bias=False), torch.zeros(1, 200))

    def test_rows_run_out(self) -> None:
        function, params = perceptron(torch.relu, 2, 3, 2)
        with pytest.raises(ValueError, match="the rank still grew at"):
            functional_dimension(function, self.x, params, max_rows=24)

    def test_not_finite(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(ValueError, match=r"derivative of the outputs .* is not finite"):
            functional_dimension(lambda p, x: (0 * p["a"]).abs().sqrt(), self.x, params)
        with pytest.raises(ValueError, match="must be finite and not empty"):
            functional_dimension(lambda p, x: p["a"] / 0, self.x, params)

    def test_types(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(TypeError, match="one tensor of real numbers"):
            functional_dimension(lambda p, x: (p["a"] * x).argmax(), self.x, params)
        with pytest.raises(TypeError, match="`inputs` must be a tensor"):
            functional_dimension(lambda p, x: p["a"] * x, "x", params)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match="`params` must hold at least one"):
            functional_dimension(nn.ReLU(), self.x)

    def test_a_symmetry_of_another_model(self) -> None:
        model = sequential(nn.ReLU(), 2, 3, 2, bias=False)
        symmetry = ps.discover(sequential(nn.ReLU(), 2, 4, 2, bias=False), (torch.zeros(1, 2),))
        with pytest.raises(ValueError, match="must have shape"):
            functional_dimension(model, torch.zeros(1, 2), symmetry=symmetry)
