"""The demo's classifier of small images."""

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.nets.layers import convolution, is_size, linear, require_floating


@final
class DigitsCNN(nn.Module):
    """A small classifier of images, `[batch, c, H, W]` → logits `[batch, classes]`.

    Two convolutions with ReLU and max-pooling, a ReLU layer, and a linear head in two factors
    with no activation between them: a linear hidden space beside the homogeneous ones. It has
    biases throughout, and neither batch norm nor dropout, so that the function being trained is
    the function. Weights start with the variance that keeps the size of the signal, 2/fan_in
    before a ReLU and 1/fan_in in the head.

    Args:
        shape: (c, H, W), the channels and size of the images; the digits' when absent. What the
            two poolings by 2 leave over at the edges is not seen.
        channels: Channels of the two convolutions.
        hidden: Neurons of the ReLU layer.
        rank: Width of the linear space between the head's two factors.
        classes: Number of logits.
        dtype: Floating dtype of the parameters; torch's default when absent.
        generator: Source of the initial parameters; torch's global one when absent.

    Raises:
        ValueError: If a size is not a positive integer, or an image has less than 4×4 pixels.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 8, 8),
        *,
        channels: tuple[int, int] = (8, 16),
        hidden: int = 32,
        rank: int = 8,
        classes: int = 10,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = (*channels, hidden, rank, classes)
        if len(channels) != 2 or not all(is_size(s) for s in sizes):
            raise ValueError(
                "`channels` must be two positive integers and `hidden`, `rank`, `classes` positive "
                f"integers; got {channels}, {hidden}, {rank}, {classes}."
            )
        image = tuple(shape)
        if len(image) != 3 or not all(is_size(s) for s in image) or min(image[1:]) < 4:
            raise ValueError(
                "`shape` must be (channels, height, width) of the images, which have at least 4×4 "
                f"pixels; got {image}. Take it from `images.shape`."
            )
        require_floating(dtype)
        c, height, width = image
        first, second = channels
        relu, head = math.sqrt(6), math.sqrt(3)
        given: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.conv1 = convolution(c, first, 3, gain=relu, **given)
        self.conv2 = convolution(first, second, 3, gain=relu, **given)
        self.fc = linear(second * (height // 4) * (width // 4), hidden, gain=relu, **given)
        self.bottleneck = linear(hidden, rank, gain=head, **given)
        self.head = linear(rank, classes, gain=head, **given)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.fc(x.flatten(1)))
        return self.head(self.bottleneck(x))
