"""The action on plain networks: Theorem 4.1 / D.4 and the corrected Proposition D.5."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from paramsym.data_dependent import (
    QR,
    VARIANTS,
    Affine,
    Cumulative,
    Geodesic,
    MinimalChange,
    OneSample,
    Twisted,
    Variant,
    act_on_layers,
    forward,
)
from paramsym.data_dependent.cocycle import Activation

F64 = torch.float64
EPS = torch.finfo(F64).eps

TANH: Activation = torch.tanh
MIXED: list[Activation] = [torch.tanh, torch.sigmoid, nn.LeakyReLU(0.2)]
NETWORKS: dict[str, tuple[list[int], list[Activation]]] = {
    "two layers, sigmoid": ([3, 5, 2], [torch.sigmoid]),
    "two layers, tanh": ([4, 6, 1], [torch.tanh]),
    "wide": ([2, 300, 3], [nn.GELU()]),
    "four layers, tanh": ([3, 5, 4, 6, 2], [TANH] * 3),
    "four layers, mixed": ([3, 5, 4, 6, 2], MIXED),
}
FRAMES: dict[str, Variant] = {
    "householder": OneSample(),
    "cumulative": OneSample(Cumulative()),
    "geodesic": OneSample(Geodesic()),
    "qr": QR(),
}


def network(widths: list[int], bias: bool, rng: torch.Generator) -> list[Affine]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=F64)

    return [
        Affine(draw(m, n) / n**0.5, draw(m) if bias else None)
        for n, m in itertools.pairwise(widths)
    ]


def elements(widths: list[int], rng: torch.Generator) -> list[Tensor]:
    """One well-conditioned matrix a hidden layer, of either determinant."""
    found = []
    for h in widths[1:-1]:
        turn = torch.linalg.qr(torch.randn(h, h, generator=rng, dtype=F64)).Q
        found.append(turn * torch.exp(0.3 * torch.randn(h, generator=rng, dtype=F64)))
    return found


def gap(a: list[Affine], b: list[Affine]) -> float:
    worst = 0.0
    for one, other in zip(a, b, strict=True):
        assert (one.bias is None) == (other.bias is None)
        for x, y in zip(one, other, strict=True):
            if x is not None and y is not None:
                worst = max(worst, float((x - y).norm() / y.norm()))
    return worst


def tolerance(widths: list[int]) -> float:
    """Rounding of O(h) sums in every layer; elements have condition about 4."""
    return 64 * max(widths) * len(widths) * EPS


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("variant", FRAMES)
@pytest.mark.parametrize("name", NETWORKS)
class TestAtASample:
    def test_the_outputs_are_kept(
        self, name: str, variant: str, bias: bool, rng: torch.Generator
    ) -> None:
        widths, activations = NETWORKS[name]
        layers, g = network(widths, bias, rng), elements(widths, rng)
        x, fresh = torch.randn(2, widths[0], generator=rng, dtype=F64)
        moved = act_on_layers(g, layers, activations, x, FRAMES[variant], check=True)
        before, after = (forward(net, activations, x) for net in (layers, moved))
        assert (after - before).norm() <= tolerance(widths) * before.norm()
        elsewhere = forward(moved, activations, fresh) - forward(layers, activations, fresh)
        assert elsewhere.norm() > 1e-3  # at other inputs the function changes

    def test_it_is_a_group_action(
        self, name: str, variant: str, bias: bool, rng: torch.Generator
    ) -> None:
        widths, activations = NETWORKS[name]
        layers = network(widths, bias, rng)
        g, f = elements(widths, rng), elements(widths, rng)
        x = torch.randn(widths[0], generator=rng, dtype=F64)

        def act(g: list[Tensor], layers: list[Affine]) -> list[Affine]:
            return act_on_layers(g, layers, activations, x, FRAMES[variant])

        unit = [torch.eye(h, dtype=F64) for h in widths[1:-1]]
        assert gap(act(unit, layers), layers) <= tolerance(widths)
        joint = act([a @ b for a, b in zip(g, f, strict=True)], layers)
        assert gap(act(g, act(f, layers)), joint) <= tolerance(widths)

    def test_hidden_states_are_moved_by_g(
        self, name: str, variant: str, bias: bool, rng: torch.Generator
    ) -> None:
        """Z_i(g·θ) = g_i Z_i(θ), the induction of Proposition D.5."""
        widths, activations = NETWORKS[name]
        layers, g = network(widths, bias, rng), elements(widths, rng)
        x = torch.randn(1, widths[0], generator=rng, dtype=F64)
        moved = act_on_layers(g, layers, activations, x, FRAMES[variant])
        for i, matrix in enumerate(g):
            old = forward(layers[: i + 1], activations[:i], x) if i else layers[0](x)
            new = forward(moved[: i + 1], activations[:i], x) if i else moved[0](x)
            assert (new - old @ matrix.mT).norm() <= tolerance(widths) * new.norm()


@pytest.mark.parametrize("name", VARIANTS)
def test_batches_of_k_samples_in_a_deep_network(name: str, rng: torch.Generator) -> None:
    widths = [8, 12, 10, 11, 3]
    layers, g = network(widths, True, rng), elements(widths, rng)
    x = torch.randn(6, 8, generator=rng, dtype=F64)
    moved = act_on_layers(g, layers, MIXED, x, VARIANTS[name], check=True)
    before, after = forward(layers, MIXED, x), forward(moved, MIXED, x)
    conditions, values = [], x
    for layer, activation in zip(layers, MIXED, strict=False):
        values = activation(layer(values))
        conditions.append(float(torch.linalg.cond(values)))
    size = 1e3 if name == "twisted" else 1.0  # Z†σ(Z) has a condition of its own
    bound = tolerance(widths) * max(conditions) ** 2 * size
    assert (after - before).norm() <= bound * before.norm()


def printed_d5(
    g: list[Tensor], layers: list[Affine], activations: list[Activation], x: Tensor, last: bool
) -> list[Affine]:
    """Proposition D.5 as printed: σ_i in the second factor; the last layer left out or kept."""
    moved, values = [], x[None]
    frame = Cumulative()
    previous: tuple[Tensor, Tensor] | None = None
    for i, layer in enumerate(layers):
        z = layer(values)
        weight, bias = layer.weight, layer.bias
        if previous is not None and (last or i < len(g)):
            activation = activations[i] if i < len(activations) else lambda z: z
            a, b = previous[0], activation(previous[1])
            weight = frame.transfer_transpose(a, b, weight)
        if i < len(g):
            assert bias is not None
            weight, bias = g[i] @ weight, g[i] @ bias
            values = activations[i](z)
            previous = (values, z @ g[i].mT)
        moved.append(Affine(weight, bias))
    return moved


@pytest.mark.parametrize("last", [True, False])
def test_proposition_d5_as_printed_changes_the_outputs(last: bool, rng: torch.Generator) -> None:
    widths, activations = NETWORKS["four layers, mixed"]
    layers, g = network(widths, True, rng), elements(widths, rng)
    x = torch.randn(widths[0], generator=rng, dtype=F64)
    before = forward(layers, activations, x)
    printed = forward(printed_d5(g, layers, activations, x, last), activations, x)
    corrected = forward(
        act_on_layers(g, layers, activations, x, OneSample(Cumulative())), activations, x
    )
    assert (printed - before).norm() > 0.05 * before.norm()
    assert (corrected - before).norm() <= tolerance(widths) * before.norm()


def test_the_printed_index_is_right_for_one_activation_but_the_last_layer_is_not(
    rng: torch.Generator,
) -> None:
    widths, activations = NETWORKS["two layers, tanh"]
    layers, g = network(widths, True, rng), elements(widths, rng)
    x = torch.randn(widths[0], generator=rng, dtype=F64)
    before = forward(layers, activations, x)
    left_out = forward(printed_d5(g, layers, activations, x, False), activations, x)
    assert (left_out - before).norm() > 0.05 * before.norm()


def test_minimal_change_is_not_an_action(rng: torch.Generator) -> None:
    widths, activations = NETWORKS["two layers, tanh"]
    layers = network(widths, True, rng)
    g, f = elements(widths, rng), elements(widths, rng)
    x = torch.randn(3, widths[0], generator=rng, dtype=F64)

    def act(g: list[Tensor], layers: list[Affine], variant: Variant) -> list[Affine]:
        return act_on_layers(g, layers, activations, x, variant)

    joint = [a @ b for a, b in zip(g, f, strict=True)]
    for variant, lawful in ((MinimalChange(), False), (Twisted(), True)):
        twice = act(g, act(f, layers, variant), variant)
        error = gap(twice, act(joint, layers, variant))
        assert error <= 1e-10 if lawful else error >= 1e-2


def test_inputs_along_leading_axes_get_weights_of_their_own(rng: torch.Generator) -> None:
    widths, activations = NETWORKS["four layers, mixed"]
    layers, g = network(widths, True, rng), elements(widths, rng)
    x = torch.randn(7, 1, widths[0], generator=rng, dtype=F64)
    together = act_on_layers(g, layers, activations, x)
    mapped = torch.func.vmap(lambda x: act_on_layers(g, layers, activations, x[0])[-1].weight)(x)
    assert together[-1].weight.shape == (7, 2, 6)
    for i in range(7):
        alone = act_on_layers(g, layers, activations, x[i, 0])[-1].weight
        for found in (together[-1].weight[i], mapped[i]):
            assert (found - alone).norm() <= tolerance(widths) * alone.norm()


def test_it_is_differentiable(rng: torch.Generator) -> None:
    layers = network([2, 4, 3, 1], True, rng)
    x = torch.randn(2, generator=rng, dtype=F64)
    g = [(m + 0.1).requires_grad_() for m in elements([2, 4, 3, 1], rng)]

    def last(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
        start = [Affine(weight, layers[0].bias), *layers[1:]]
        return act_on_layers([a, b], start, [torch.tanh, torch.sigmoid], x)[-1].weight

    weight = layers[0].weight.clone().requires_grad_()
    assert torch.autograd.gradcheck(last, (*g, weight), check_forward_ad=True)


class TestBadInput:
    LAYERS = (Affine(torch.ones(4, 3), torch.zeros(4)), Affine(torch.ones(2, 4)))
    G = (torch.eye(4),)
    X = torch.ones(3)

    def test_counts(self) -> None:
        with pytest.raises(ValueError, match="`activations` must hold one function for each"):
            act_on_layers(self.G, self.LAYERS, [], self.X)
        with pytest.raises(ValueError, match="at least one hidden layer"):
            forward(self.LAYERS[:1], [], self.X)
        with pytest.raises(ValueError, match="`g` must hold one matrix for each of 1 hidden"):
            act_on_layers([], self.LAYERS, [torch.tanh], self.X)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"`layers\[0\].weight` must have shape \[m, 5\]"):
            act_on_layers(self.G, self.LAYERS, [torch.tanh], torch.ones(5))
        wrong = [self.LAYERS[0], Affine(torch.ones(2, 3))]
        with pytest.raises(ValueError, match=r"`layers\[1\].weight`.*`layers\[0\]` has 4"):
            act_on_layers(self.G, wrong, [torch.tanh], self.X)
        wrong = [Affine(torch.ones(4, 3), torch.ones(3)), self.LAYERS[1]]
        with pytest.raises(ValueError, match=r"`layers\[0\].bias` must have shape \[4\]"):
            act_on_layers(self.G, wrong, [torch.tanh], self.X)
        with pytest.raises(ValueError, match=r"`g\[0\]` must have shape \[..., 4, 4\]"):
            act_on_layers([torch.eye(3)], self.LAYERS, [torch.tanh], self.X)

    def test_values(self) -> None:
        tanh = [torch.tanh]
        with pytest.raises(ValueError, match=r"`g\[0\]` must be invertible"):
            act_on_layers([torch.zeros(4, 4)], self.LAYERS, tanh, self.X, check=True)
        with pytest.raises(ValueError, match="`x` must be finite"):
            act_on_layers(self.G, self.LAYERS, tanh, self.X / 0, check=True)
        with pytest.raises(ValueError, match=r"`σ\(Z\)` must not be the zero vector"):
            act_on_layers(self.G, self.LAYERS, tanh, 0 * self.X, check=True)
        broken = [Affine(self.LAYERS[0].weight * torch.nan), self.LAYERS[1]]
        with pytest.raises(ValueError, match=r"`layers\[0\].weight` must be finite"):
            act_on_layers(self.G, broken, tanh, self.X, check=True)
