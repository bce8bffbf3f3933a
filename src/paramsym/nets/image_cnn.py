"""The classifier of colour images in the paper's experiments with ensembles."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.nets.activations import named_activation
from paramsym.nets.layers import convolution, is_size, linear, require_floating


@final
class ImageCNN(nn.Module):
    """The network of Figures 10 and 11, `[batch, c, H, W]` → logits `[batch, classes]`.

    Convolution of 3×3 pixels → LeakyReLU(0.01) → max-pooling by 2 → `hidden`, a linear layer to
    R^h → σ → `head`, a linear layer to the logits. GL(h) acts between `hidden` and `head`. Initial
    parameters are distributed as torch's own.

    Args:
        shape: (c, H, W), the channels and size of the images; an odd last row or column is not
            seen behind the pooling.
        channels: Channels of the convolution.
        hidden: h; 32 in the paper, and 16 in its public code.
        classes: Number of logits.
        activation: σ, a module or a name as of `MLP`. Figure 10 has `"leaky_square"`, Figure 11
            `"leaky_relu(0.1)"`.
        dtype: Floating dtype of the parameters; torch's default when absent.
        generator: Source of the initial parameters; torch's global one when absent.

    Raises:
        ValueError: If a size is not a positive integer, an image has less than 2×2 pixels, or the
            activation is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int] = (3, 32, 32),
        *,
        channels: int = 32,
        hidden: int = 32,
        classes: int = 10,
        activation: str | nn.Module = "leaky_square",
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = tuple(shape)
        if len(sizes) != 3 or not all(is_size(s) for s in sizes) or min(sizes[1:]) < 2:
            raise ValueError(
                "`shape` must be (channels, height, width) of the images, which have at least 2×2 "
                f"pixels; got {sizes}. Take it from `images.shape[1:]`."
            )
        if not all(is_size(s) for s in (channels, hidden, classes)):
            raise ValueError(
                "`channels`, `hidden` and `classes` must be positive integers; got "
                f"{channels}, {hidden}, {classes}."
            )
        require_floating(dtype)
        c, height, width = sizes
        given: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.conv = convolution(c, channels, 3, **given)
        self.hidden = linear(channels * (height // 2) * (width // 2), hidden, **given)
        self.activation = named_activation(activation)
        self.head = linear(hidden, classes, **given)

    def features(self, x: Tensor) -> Tensor:
        """What `hidden` is given, `[batch, features]`."""
        # LeakyReLU is increasing, also in rounded arithmetic, so that it commutes with a maximum;
        # behind the pooling it has a quarter of the entries.
        z = nn.functional.leaky_relu(nn.functional.max_pool2d(self.conv(x), 2), 0.01)
        return z.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.hidden(self.features(x))))
