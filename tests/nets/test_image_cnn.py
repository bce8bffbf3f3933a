"""The network of Figures 10 and 11: its formula, sizes, symmetry and errors."""

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.data_dependent import hidden_space
from paramsym.nets import ImageCNN, named_activation


def net(shape: tuple[int, ...], activation: str, rng: torch.Generator) -> ImageCNN:
    return ImageCNN(
        shape, channels=5, hidden=6, activation=activation, dtype=torch.float64, generator=rng
    )


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (2, 5, 7), (4, 2, 2)])
@pytest.mark.parametrize("activation", ["leaky_square", "leaky_relu(0.1)"])
def test_it_is_the_formula_layer_by_layer(
    shape: tuple[int, int, int], activation: str, rng: torch.Generator
) -> None:
    model = net(shape, activation, rng)
    x = torch.randn(4, *shape, generator=rng, dtype=torch.float64)
    # As it stands in Appendix I: pooling behind the activation.
    y = nn.functional.leaky_relu(model.conv(x), 0.01)
    y = nn.functional.max_pool2d(y, 2).flatten(1)
    z = y @ model.hidden.weight.T + model.hidden.bias
    expected = named_activation(activation)(z) @ model.head.weight.T + model.head.bias
    assert torch.allclose(model(x), expected, rtol=1e-13, atol=1e-14)


def test_gradients_are_those_of_pooling_behind_the_activation(rng: torch.Generator) -> None:
    model = net((3, 8, 8), "leaky_square", rng)
    x = torch.randn(4, 3, 8, 8, generator=rng, dtype=torch.float64)

    def slow(x: Tensor) -> Tensor:
        y = nn.functional.max_pool2d(nn.functional.leaky_relu(model.conv(x), 0.01), 2)
        return model.head(model.activation(model.hidden(y.flatten(1))))

    params = list(model.parameters())
    fast = torch.autograd.grad(model(x).square().sum(), params)
    for ours, theirs in zip(fast, torch.autograd.grad(slow(x).square().sum(), params), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_sizes_by_default_are_those_of_the_paper() -> None:
    sizes = {name: tuple(p.shape) for name, p in ImageCNN().named_parameters()}
    assert sizes["conv.weight"] == (32, 3, 3, 3)
    assert sizes["hidden.weight"] == (32, 8192)
    assert sizes["head.weight"] == (10, 32)


def test_the_generator_decides_the_parameters() -> None:
    def draw(seed: int) -> Tensor:
        model = ImageCNN((1, 8, 8), generator=torch.Generator().manual_seed(seed))
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_gl_acts_between_hidden_and_head(rng: torch.Generator) -> None:
    model = net((1, 8, 8), "leaky_square", rng)
    x = torch.rand(5, 1, 8, 8, generator=rng, dtype=torch.float64)
    space = hidden_space(model, "hidden", "head", (x,))
    g = torch.eye(6, dtype=torch.float64) + 0.1 * torch.randn(6, 6, generator=rng).double()
    assert torch.allclose(space.freeze(g, (x,))(x), model(x), atol=1e-10)


def test_discovery_finds_its_scalings(rng: torch.Generator) -> None:
    x = torch.rand(4, 1, 8, 8, generator=rng, dtype=torch.float64)
    leaky = ps.discover(net((1, 8, 8), "leaky_relu(0.1)", rng), (x,))
    assert [str(f.group) for f in leaky.families] == ["T₊(5)", "T₊(6)"]
    # Neither homogeneous nor linear: only the channels of the convolution scale.
    square = ps.discover(net((1, 8, 8), "leaky_square", rng), (x,))
    assert [str(f.group) for f in square.families] == ["T₊(5)"]


def test_sizes_are_checked() -> None:
    for shape in [(3, 32), (3, 1, 8), (0, 8, 8), (3, 8.0, 8)]:
        with pytest.raises(ValueError, match=r"`shape` must be \(channels, height, width\)"):
            ImageCNN(shape)  # pyright: ignore[reportArgumentType]
    for wrong in [{"channels": 0}, {"hidden": 1.5}, {"classes": -1}]:
        with pytest.raises(ValueError, match="`channels`, `hidden` and `classes` must be positive"):
            ImageCNN(**wrong)
    with pytest.raises(ValueError, match="must be one of identity"):
        ImageCNN(activation="leaky")
    with pytest.raises(ValueError, match="`dtype` must be a floating dtype"):
        ImageCNN(dtype=torch.int32)
