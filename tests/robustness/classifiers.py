"""Classifiers under attack: one with a closed form, and a network trained on digits."""

import functools

import torch
from torch import Tensor, nn

from paramsym.data import Images, digits
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.nets import ImageCNN


class Line(nn.Module):
    """Two classes by the sign of w·x + b; logits are ∓half of it."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn((), generator=generator, dtype=torch.float64))

    def score(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.to(x) + self.bias.to(x)

    def forward(self, x: Tensor) -> Tensor:
        score = self.score(x)
        return torch.stack([-score, score], 1) / 2


@functools.cache
def trained(low: float = 0.0, high: float = 1.0) -> tuple[ImageCNN, Images]:
    """A network that knows the digits, in float64, and the digits."""
    data = digits(0, low=low, high=high)
    rng = torch.Generator().manual_seed(0)
    model = ImageCNN(
        (1, 8, 8), channels=8, hidden=16, activation="leaky_relu(0.1)",
        dtype=torch.float64, generator=rng,
    )  # fmt: skip
    train_classifier(model, data, generator=rng, epochs=4, lr=5e-3)
    return model.eval(), data


def members(model: ImageCNN, count: int = 5, scale: float = 0.05) -> nn.Module:
    """An ensemble of the model with its head disturbed, `[members, batch, classes]`."""
    rng = torch.Generator().manual_seed(1)
    noise = scale * torch.randn(count, *model.head.weight.shape, generator=rng).double()

    class Members(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            z = torch.nn.functional.max_pool2d(model.conv(x), 2)
            z = model.activation(model.hidden(nn.functional.leaky_relu(z, 0.01).flatten(1)))
            return z @ (model.head.weight + noise).mT + model.head.bias

    return Members()
