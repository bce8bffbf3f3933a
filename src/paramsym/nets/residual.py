"""A small residual network with batch norm."""

from typing import final

import torch
from torch import Tensor, nn

from paramsym.nets.layers import convolution, linear


@final
class ResidualBlock(nn.Module):
    """Conv–BN–ReLU–Conv–BN beside a shortcut, then ReLU; a projection where the shape changes."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, stride=stride, bias=False, generator=generator)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs, 3, bias=False, generator=generator)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = convolution(
                inputs, outputs, 1, stride=stride, bias=False, generator=generator
            )
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


@final
class TinyResNet(nn.Module):
    """A residual network of three convolution stages with batch norm, `[batch, 3, 16, 16]` images.

    Args:
        width: Channels of the first stage; the last has twice as many.
        classes: Number of logits.
        generator: Source of the initial parameters; torch's global one when absent.
    """

    def __init__(
        self, width: int = 8, classes: int = 10, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.stem = convolution(3, width, 3, bias=False, generator=generator)
        self.bn = nn.BatchNorm2d(width)
        self.block1 = ResidualBlock(width, width, stride=1, generator=generator)
        self.block2 = ResidualBlock(width, 2 * width, stride=2, generator=generator)
        self.head = linear(2 * width, classes, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = self.block2(self.block1(x))
        return self.head(x.mean((2, 3)))
