"""The paper's networks: equivariance of their activations, shapes, initial parameters, errors."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from paramsym.groups import GeneralLinear, Group, Orthogonal, PositiveScaling
from paramsym.nets import (
    ACTIVATIONS,
    MLP,
    DigitsCNN,
    PowerReLU,
    Radial,
    TinyResNet,
    convolution,
    linear,
    named_activation,
)

# σ(gz) = g^α σ(z): the activation's group, and α.
EQUIVARIANT: dict[str, tuple[type[Group], float]] = {
    "identity": (GeneralLinear, 1),
    "relu": (PositiveScaling, 1),
    "leaky_relu": (PositiveScaling, 1),
    "leaky_relu(0.1)": (PositiveScaling, 1),
    "abs": (PositiveScaling, 1),
    "relu^2": (PositiveScaling, 2),
    "relu^1.5": (PositiveScaling, 1.5),
    "radial": (Orthogonal, 1),
}
NOT_EQUIVARIANT = sorted(set(ACTIVATIONS) - set(EQUIVARIANT))


def _apply(g: Tensor, z: Tensor) -> Tensor:
    return z * g if g.ndim == 1 else z @ g.mT


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_activation_is_equivariant(name: str, rng: torch.Generator) -> None:
    kind, degree = EQUIVARIANT[name]
    sigma, h = named_activation(name), 6
    z = torch.randn(40, h, generator=rng, dtype=torch.float64)
    g = kind(h).sample(0.7, generator=rng, discrete=True)
    image = _apply(g if degree == 1 else g**degree, sigma(z))
    assert torch.allclose(sigma(_apply(g, z)), image, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NOT_EQUIVARIANT)
@pytest.mark.parametrize("kind", [PositiveScaling, Orthogonal])
def test_other_activations_are_not(name: str, kind: type[Group], rng: torch.Generator) -> None:
    sigma, h = named_activation(name), 4
    z = torch.randn(40, h, generator=rng, dtype=torch.float64)
    g = kind(h).sample(0.7, generator=rng)
    assert float((sigma(_apply(g, z)) - _apply(g, sigma(z))).detach().abs().max()) > 1e-3


def test_every_activation_is_tested() -> None:
    assert {*EQUIVARIANT, *NOT_EQUIVARIANT} >= set(ACTIVATIONS)
    assert len(NOT_EQUIVARIANT) == 8


def test_radial_takes_any_profile(rng: torch.Generator) -> None:
    z = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    cubed = Radial(lambda r: r**2)(z)
    assert torch.allclose(cubed, z * z.square().sum(-1, keepdim=True))


def test_slope_and_leaky_square_are_the_formulas() -> None:
    z = torch.tensor([-3.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    slope = named_activation("leaky_relu(0.25)")(z)
    assert torch.equal(slope, torch.tensor([-0.75, -0.25, 0.0, 2.0], dtype=torch.float64))
    expected = torch.tensor([0.09 - 0.03, 0.01 - 0.01, 0.0, 4.02], dtype=torch.float64)
    assert torch.allclose(named_activation("leaky_square")(z), expected, rtol=1e-15, atol=1e-17)


def test_an_activation_may_be_a_module() -> None:
    sigma = nn.Hardtanh()
    assert named_activation(sigma) is sigma
    assert MLP((2, 3, 1), sigma).activation is sigma


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "relu^3", "leaky_relu(0.2)"])
@pytest.mark.parametrize("bias", [True, False])
def test_mlp_is_the_formula(activation: str, bias: bool, rng: torch.Generator) -> None:
    net = MLP((4, 6, 5, 3), activation, bias=bias, dtype=torch.float64, generator=rng)
    x = torch.randn(7, 4, generator=rng, dtype=torch.float64)
    sigma, z = named_activation(activation), x
    for i, name in enumerate(["layers.0", "layers.1", "layers.2"]):
        params = dict(net.named_parameters())
        z = z @ params[f"{name}.weight"].T + (params[f"{name}.bias"] if bias else 0)
        z = sigma(z) if i < 2 else z
    assert torch.allclose(net(x), z, rtol=1e-13)
    assert any("bias" in name for name, _ in net.named_parameters()) is bias


def test_two_layers_without_hidden_layer() -> None:
    assert len(MLP((3, 2)).layers) == 1


@pytest.mark.parametrize(
    ("make", "shape", "classes"),
    [(DigitsCNN, (2, 1, 8, 8), 10), (TinyResNet, (2, 3, 16, 16), 10)],
    ids=["digits", "resnet"],
)
def test_convolutional_nets_classify(make: type, shape: tuple[int, ...], classes: int) -> None:
    assert make()(torch.rand(shape)).shape == (2, classes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_generator_decides_the_parameters(dtype: torch.dtype) -> None:
    def draw(seed: int) -> Tensor:
        net = DigitsCNN(dtype=dtype, generator=torch.Generator().manual_seed(seed))
        return nn.utils.parameters_to_vector(net.parameters())

    torch.manual_seed(1)
    first = draw(0)
    torch.manual_seed(2)
    assert torch.equal(first, draw(0))
    assert first.dtype == dtype
    assert not torch.equal(first, draw(1))


@pytest.mark.parametrize("gain", [1.0, 6**0.5])
def test_initial_weights_fill_their_interval(gain: float, rng: torch.Generator) -> None:
    for layer, fan_in in [
        (linear(100, 400, gain=gain, generator=rng), 100),
        (convolution(10, 400, 3, gain=gain, generator=rng), 90),
    ]:
        bound = gain / fan_in**0.5
        assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert layer.bias is not None
        assert 0.9 / fan_in**0.5 < float(layer.bias.detach().abs().max()) <= 1 / fan_in**0.5


def test_gain_one_is_what_torch_starts_from(rng: torch.Generator) -> None:
    ours, theirs = linear(64, 2000, generator=rng).weight, nn.Linear(64, 2000).weight
    assert torch.allclose(ours.detach().std(), theirs.detach().std(), rtol=0.02)


def test_widths_are_checked() -> None:
    for widths in [(3,), (), (3, 0), (3, -1, 2), (3, 2.0), (3, True)]:
        with pytest.raises(ValueError, match=r"`widths` must be two or more positive integers"):
            MLP(widths)


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"identity.*relu\^α, leaky_relu\(slope\); got 'reul'"):
        named_activation("reul")
    with pytest.raises(ValueError, match=r"a number behind 'relu\^'.*got 'relu\^two'"):
        named_activation("relu^two")
    for slope in ("", "steep", "nan", "inf"):
        with pytest.raises(ValueError, match=r"a number for the slope, as in 'leaky_relu\(0.1\)'"):
            named_activation(f"leaky_relu({slope})")
    with pytest.raises(TypeError, match=r"a name or a torch\.nn\.Module; got int"):
        named_activation(3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("degree", [0, -1, float("nan"), float("inf")])
def test_degrees_are_positive(degree: float) -> None:
    with pytest.raises(ValueError, match="`degree` must be positive and finite"):
        PowerReLU(degree)


def test_dtypes_are_floating() -> None:
    for make in (lambda d: MLP((2, 2), dtype=d), lambda d: DigitsCNN(dtype=d)):
        with pytest.raises(ValueError, match=r"`dtype` must be a floating dtype.*torch\.int64"):
            make(torch.int64)


def test_the_cnn_takes_images_of_any_size() -> None:
    assert DigitsCNN((3, 32, 33))(torch.rand(2, 3, 32, 33)).shape == (2, 10)


def test_sizes_of_the_cnn_are_checked() -> None:
    for shape in [(8, 8), (1, 3, 8), (0, 8, 8), (1, 8, 8.0)]:
        with pytest.raises(ValueError, match=r"`shape` must be .* at least 4×4 pixels; got \("):
            DigitsCNN(shape)  # pyright: ignore[reportArgumentType]
    for wrong in [{"channels": (4,)}, {"channels": (4, 0)}, {"hidden": 0}, {"rank": 1.5}]:
        with pytest.raises(ValueError, match="`channels` must be two positive integers"):
            DigitsCNN(**wrong)


def test_modules_print_their_degree() -> None:
    assert repr(PowerReLU(1.5)) == "PowerReLU(degree=1.5)"
    pairs = itertools.pairwise((4, 6, 3))
    assert [(layer.in_features, layer.out_features) for layer in MLP((4, 6, 3)).layers] == [*pairs]  # pyright: ignore
