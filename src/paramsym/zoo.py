"""Models with a name, for the command line: `mlp`, `mlp-linear`, `mlp-radial`, `cnn`, …"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from paramsym.nets import MLP, DigitsCNN, TinyResNet

Factory = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]
"""Makes a model and example arguments of its forward, the same ones at every call."""


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mlp() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A three-layer ReLU network with biases, R^10 → R^5: positive scalings of each layer."""
    rng = _seeded()
    return MLP((10, 32, 16, 5), "relu", generator=rng), (torch.randn(4, 10, generator=rng),)


def mlp_linear() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A three-layer linear network with biases, R^10 → R^5: a linear group at each layer."""
    rng = _seeded()
    return MLP((10, 8, 6, 5), "identity", generator=rng), (torch.randn(4, 10, generator=rng),)


def mlp_radial() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A two-layer network with a radial activation, R^10 → R^5: rotations."""
    rng = _seeded()
    return MLP((10, 12, 5), "radial", generator=rng), (torch.randn(4, 10, generator=rng),)


def cnn() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The demo's classifier of 8×8 digits: scalings of channels, and a linear space in its head."""
    rng = _seeded()
    return DigitsCNN(generator=rng), (torch.rand(4, 1, 8, 8, generator=rng),)


def resnet_tiny() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A residual network with batch norm on 16×16 colour images."""
    rng = _seeded()
    return TinyResNet(generator=rng), (torch.rand(4, 3, 16, 16, generator=rng),)


BUILTIN: dict[str, Factory] = {
    "mlp": mlp,
    "mlp-linear": mlp_linear,
    "mlp-radial": mlp_radial,
    "cnn": cnn,
    "resnet-tiny": resnet_tiny,
}
"""Built-in models by name. The first line of a factory's docstring describes it."""
