"""Numbers of conservation laws against closed forms, for all losses and all data."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import paramsym as ps
from paramsym.certification import ConservationLaws, count_conservation_laws
from tests.certification.networks import (
    Activation,
    Network,
    Params,
    attention,
    cubic_radial,
    identity,
    leaky,
    normal,
    perceptron,
    radial,
    rms,
    squared,
)


def triangle(k: int) -> int:
    return k * (k + 1) // 2


def linear_laws(n: int, h: int, m: int) -> int:
    return triangle(h) - triangle(max(0, h - n - m))


def count(network: Network, *shape: int, **options: float) -> ConservationLaws:
    function, params = network
    found = count_conservation_laws(function, torch.zeros(shape), params, **options)
    assert found.is_clear, found
    return found


SHAPES = [
    (1, 2, 1), (1, 3, 1), (1, 4, 1), (2, 2, 2), (2, 3, 1), (1, 4, 2), (2, 5, 1), (3, 2, 2),
]  # fmt: skip


@pytest.mark.parametrize(("n", "h", "m"), SHAPES)
def test_linear(n: int, h: int, m: int) -> None:
    assert count(perceptron(identity, n, h, m), n).laws == linear_laws(n, h, m)


@pytest.mark.parametrize("widths", [(5, 10, 5), (2, 3, 3, 3, 2)])
def test_linear_at_the_sizes_of_the_public_notebooks(widths: tuple[int, ...]) -> None:
    expected = sum(triangle(h) for h in widths[1:-1])
    assert count(perceptron(identity, *widths), widths[0]).laws == expected


def test_deep_linear() -> None:
    assert count(perceptron(identity, 2, 2, 2, 1), 2).laws == 6


def test_parallel_gradients_leave_one_direction() -> None:
    # One input and one output: all fields are multiples of one, so d − 1 laws, more than 2 Tri(2).
    found = count(perceptron(identity, 1, 2, 2, 1), 1)
    assert (found.laws, found.rank) == (found.parameters - 1, 1)


@pytest.mark.parametrize("activation", [torch.relu, leaky, squared])
@pytest.mark.parametrize(
    ("widths", "bias"), [((2, 3, 2), False), ((2, 2, 1), True), ((2, 2, 2), True)]
)
def test_homogeneous(activation: Activation, widths: tuple[int, ...], bias: bool) -> None:
    found = count(perceptron(activation, *widths, bias=bias), widths[0])
    assert found.laws == widths[1]


def test_deep_relu() -> None:
    function, params = perceptron(torch.relu, 2, 2, 2, 1)
    theta = torch.tensor([0.8, -0.5, 0.3, 0.9, 0.7, 0.6, 0.5, -0.3, 1.1, -0.8])
    params = {
        k: t.view(params[k].shape) for k, t in zip(params, theta.split([4, 4, 2]), strict=True)
    }
    assert count((function, params), 2, generic=False).laws == 4


@pytest.mark.parametrize(
    "activation",
    [torch.tanh, torch.sigmoid, functional.gelu, functional.silu, functional.softplus],
)
def test_smooth_pointwise_activations_conserve_nothing(activation: Activation) -> None:
    assert count(perceptron(activation, 2, 2, 1), 2).laws == 0


@pytest.mark.parametrize(
    ("n", "h", "m"),
    [(1, 2, 1), (1, 3, 1), (2, 2, 1), (2, 2, 2), (2, 3, 2), (1, 4, 1), (3, 2, 1), (1, 4, 2)],
)
def test_radial(n: int, h: int, m: int) -> None:
    # For h > n + m training stays in the span of the first rows and columns: a Grassmannian.
    expected = (n + m) * max(0, h - n - m)
    assert count(perceptron(radial, n, h, m), n).laws == expected


@pytest.mark.parametrize(("n", "h", "m", "expected"), [(2, 2, 2, 1), (1, 4, 2, 5), (2, 4, 1, 4)])
def test_homogeneous_radial_has_one_more(n: int, h: int, m: int, expected: int) -> None:
    assert count(perceptron(cubic_radial, n, h, m), n).laws == expected


@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid, functional.gelu])
def test_whitened_data_give_a_law_per_neuron(activation: Activation) -> None:
    function, params = perceptron(activation, 2, 3, 2)

    def batch(params: Params, X: Tensor) -> Tensor:
        return torch.stack([function(params, x) for x in X.unbind(1)])

    found = count_conservation_laws(batch, torch.eye(2), params, fixed=True)
    assert found.is_clear
    assert found.laws == 3
    skew = torch.tensor([[1.0, 0.3], [-0.2, 1.0]])
    assert count_conservation_laws(batch, skew, params, fixed=True).laws == 0


def test_rms_norm_with_gain() -> None:
    for n, h, m in ((2, 2, 1), (3, 3, 2)):

        def function(params: Params, x: Tensor) -> Tensor:
            return params["U"] @ (params["gain"] * rms(params["V"] @ x))

        params = normal(0, U=(m, h), gain=(h,), V=(h, n))
        assert count((function, params), n).laws == h + 1


def test_softmax_head() -> None:
    def function(params: Params, x: Tensor) -> Tensor:
        return torch.softmax(params["U"] @ torch.relu(params["V"] @ x) + params["c"], dim=0)

    found = count((function, normal(0, U=(3, 2), V=(2, 2), c=(3,))), 2, scale=0.7)
    assert found.laws == 2 + 3  # a scaling for each unit; the sums over classes of U and of c


def test_exponential() -> None:
    assert count(perceptron(torch.exp, 2, 2, 1, bias=True), 2, scale=0.5).laws == 2


@pytest.mark.parametrize(
    ("gate", "expected"), [(functional.silu, 2), (identity, 4), (torch.relu, 4)]
)
def test_gated_units(gate: Activation, expected: int) -> None:
    def function(params: Params, x: Tensor) -> Tensor:
        return params["U"] @ ((params["A"] @ x) * gate(params["B"] @ x))

    assert count((function, normal(0, A=(2, 2), B=(2, 2), U=(1, 2))), 2).laws == expected


@pytest.mark.parametrize(
    ("key", "value", "bias", "expected"), [(1, 1, False, 2), (2, 1, False, 4), (1, 1, True, 3)]
)
def test_attention(key: int, value: int, bias: bool, expected: int) -> None:
    # Tri(key) + Tri(value); the key's bias, which softmax ignores, stays where it is.
    assert count(attention(2, key, value, bias=bias), 3, 2, scale=0.7).laws == expected


def sequential(activation: Callable[[], nn.Module], *widths: int, bias: bool) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU, nn.LeakyReLU, nn.Tanh])
@pytest.mark.parametrize("widths", [(2, 3, 2), (3, 2, 2), (2, 2, 3)])
def test_discovery_finds_all_laws(
    activation: Callable[[], nn.Module], widths: tuple[int, ...], bias: bool
) -> None:
    model, x = sequential(activation, *widths, bias=bias), torch.randn(1, widths[0])
    found = count_conservation_laws(model, x)
    assert found.is_clear
    assert found.laws == ps.discover(model, (x,)).law_dim


def test_a_frozen_layer_is_a_constant() -> None:
    model = sequential(nn.ReLU, 2, 3, 2, bias=False)
    model[2].requires_grad_(False)
    found = count_conservation_laws(model, torch.zeros(1, 2))
    assert (found.parameters, found.laws) == (6, 0)
    assert ps.discover(model, (torch.zeros(1, 2),)).law_dim == 0


def test_a_sampler_of_tokens() -> None:
    def function(params: Params, tokens: Tensor) -> Tensor:
        return functional.embedding(tokens, params["E"]) @ params["W"].mT

    def tokens(generator: torch.Generator) -> Tensor:
        return torch.randint(4, (1,), generator=generator)

    # A linear network on the four unit vectors.
    found = count_conservation_laws(function, tokens, normal(0, E=(4, 2), W=(3, 2)))
    assert found.laws == linear_laws(4, 2, 3)


def test_several_inputs() -> None:
    function, params = perceptron(identity, 2, 2, 2)

    def sum_of(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return function(params, x + y)

    found = count_conservation_laws(sum_of, (torch.zeros(2), torch.zeros(2)), params)
    assert found.laws == linear_laws(2, 2, 2)


def test_same_seed_same_numbers() -> None:
    function, params = perceptron(torch.relu, 2, 3, 2)
    a, b = (count_conservation_laws(function, torch.zeros(2), params, seed=7) for _ in range(2))
    assert (a.ranks, a.kept, a.dropped) == (b.ranks, b.kept, b.dropped)


@pytest.mark.parametrize("seed", range(1, 6))
def test_every_seed_gives_the_same_count(seed: int) -> None:
    # A single random point would have dead units here, and a pole near by there.
    for network, n, expected in (
        (perceptron(torch.relu, 2, 2, 1, bias=True), 2, 2),
        (perceptron(radial, 1, 3, 1), 1, 2),
    ):
        assert count(network, n, seed=seed).laws == expected


def test_unsettled_counts_say_so() -> None:
    function, params = perceptron(identity, 2, 2, 2, 1)
    found = count_conservation_laws(function, torch.zeros(2), params, max_depth=3)
    assert not found.settled
    assert not found.is_clear
    assert found.depth == 3
    assert found.laws >= 6


class TestPlantedFaults:
    """What must not pass for an answer."""

    def test_a_sampler_that_repeats_itself(self) -> None:
        function, params = perceptron(identity, 2, 3, 2)
        x = torch.randn(2)
        with pytest.raises(ValueError, match="only 1 different ones"):
            count_conservation_laws(function, lambda generator: x, params)

    def test_special_inputs_have_more_laws(self) -> None:
        # Inputs on a line see a network of one input, and leave the other column alone.
        function, params = perceptron(torch.relu, 2, 3, 2)

        def on_a_line(generator: torch.Generator) -> Tensor:
            return torch.randn(1, generator=generator) * torch.tensor([1.0, 0.0])

        assert count_conservation_laws(function, on_a_line, params).laws > 3

    def test_special_parameters_have_more_laws(self) -> None:
        function, params = perceptron(torch.relu, 2, 3, 2)
        params["W1"][:, 0] = 0
        params["W0"][0] = 0
        found = count_conservation_laws(function, torch.zeros(2), params, generic=False)
        assert found.laws == 2 + 4
        assert count_conservation_laws(function, torch.zeros(2), params).laws == 3

    def test_commuting_fields_yield_no_noise(self) -> None:
        # The brackets are pure rounding here; normalising them would fill the whole space.
        found = count(perceptron(identity, 1, 2, 2, 1), 1, max_depth=5)
        assert set(found.ranks) == {1}


class TestBadInput:
    x = torch.zeros(2)

    def test_too_many_parameters(self) -> None:
        model = nn.Linear(20, 20)
        with pytest.raises(ValueError, match=r"at most 128 parameters.*got 420"):
            count_conservation_laws(model, torch.zeros(1, 20))

    def test_not_callable(self) -> None:
        with pytest.raises(TypeError, match=r"`function` must be a torch.nn.Module or a function"):
            count_conservation_laws("relu", self.x, {"a": self.x})  # pyright: ignore[reportArgumentType]

    def test_no_parameters(self) -> None:
        with pytest.raises(ValueError, match=r"`params` must hold at least one"):
            count_conservation_laws(nn.ReLU(), self.x)
        with pytest.raises(ValueError, match=r"`params` must hold at least one"):
            count_conservation_laws(lambda params, x: x, self.x)

    def test_whole_numbers_as_parameters(self) -> None:
        with pytest.raises(TypeError, match=r"`params\['a'\]` must be a floating-point tensor"):
            count_conservation_laws(lambda p, x: p["a"] * x, self.x, {"a": torch.ones(2).int()})

    def test_nan_parameters(self) -> None:
        with pytest.raises(ValueError, match=r"`params\['a'\]` must be finite"):
            count_conservation_laws(lambda p, x: p["a"] * x, self.x, {"a": self.x / 0})

    def test_detached_outputs(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(ValueError, match="derivative zero in all parameters"):
            count_conservation_laws(lambda p, x: p["a"].detach() * x, self.x, params)

    def test_whole_outputs(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(TypeError, match=r"one tensor of real numbers; got torch\.int64"):
            count_conservation_laws(lambda p, x: (p["a"] * x).argmax(), self.x, params)

    def test_several_outputs(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(TypeError, match="one tensor of real numbers; got tuple"):
            count_conservation_laws(lambda p, x: (p["a"], x), self.x, params)  # pyright: ignore[reportArgumentType]

    def test_branches_on_values(self) -> None:
        params = normal(0, a=(2,))

        def function(params: Params, x: Tensor) -> Tensor:
            return params["a"] * x if x.sum() > 0 else params["a"]

        with pytest.raises(ValueError, match="without branches on values"):
            count_conservation_laws(function, self.x, params)

    def test_infinite_derivatives(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(ValueError, match=r"derivative 1 of the outputs .* is not finite"):
            count_conservation_laws(lambda p, x: (0 * p["a"]).abs().sqrt(), self.x, params)

    def test_infinite_outputs(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(ValueError, match="must be finite and not empty"):
            count_conservation_laws(lambda p, x: p["a"] / 0, self.x, params)

    def test_inputs(self) -> None:
        params = normal(0, a=(2,))

        def function(params: Params, x: Tensor) -> Tensor:
            return params["a"] * x

        with pytest.raises(TypeError, match="Pass a sampler"):
            count_conservation_laws(function, torch.arange(2), params)
        with pytest.raises(TypeError, match="`inputs` must be a tensor"):
            count_conservation_laws(function, [1.0, 2.0], params)  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError, match="`fixed=True` needs the data itself"):
            count_conservation_laws(function, lambda _: self.x, params, fixed=True)

    def test_numbers(self) -> None:
        params = normal(0, a=(2,))
        with pytest.raises(ValueError, match="`max_depth` must be at least 3"):
            count_conservation_laws(lambda p, x: p["a"] * x, self.x, params, max_depth=2)
        with pytest.raises(ValueError, match="`scale` must be positive"):
            count_conservation_laws(lambda p, x: p["a"] * x, self.x, params, scale=0.0)
