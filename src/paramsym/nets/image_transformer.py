"""A small transformer that reads images row by row."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.nets.layers import is_size, linear, require_floating


@final
class AttentionBlock(nn.Module):
    """Attention and a ReLU layer, each behind a LayerNorm and added to the stream."""

    def __init__(self, width: int, heads: int, inner: int, **given: Any) -> None:
        super().__init__()
        self.heads = heads
        dtype = given["dtype"]
        self.norm1 = nn.LayerNorm(width, dtype=dtype)
        self.query = linear(width, width, **given)
        self.key = linear(width, width, bias=False, **given)
        self.value = linear(width, width, **given)
        self.out = linear(width, width, **given)
        self.norm2 = nn.LayerNorm(width, dtype=dtype)
        self.up = linear(width, inner, **given)
        self.down = linear(inner, width, **given)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm1(x)
        q, k, v = (
            f(z).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for f in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(-3, -2).flatten(-2))
        return x + self.down(torch.relu(self.up(self.norm2(x))))


@final
class ImageTransformer(nn.Module):
    """A classifier whose tokens are the rows of an image, `[batch, c, H, W]` → logits.

    Per head, GL acts between queries and keys and between values and outputs; scalings act on the
    ReLU layers. It has no dropout.

    Args:
        shape: (c, H, W) of the images.
        width: Of the stream.
        heads: Of every attention; they divide the width.
        inner: Neurons of every ReLU layer.
        blocks: Their number.
        classes: Number of logits.
        dtype: Floating dtype of the parameters; torch's default when absent.
        generator: Source of the initial parameters; torch's global one when absent.

    Raises:
        ValueError: If a size is no positive integer, or the heads do not divide the width.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 8, 8),
        *,
        width: int = 32,
        heads: int = 4,
        inner: int = 64,
        blocks: int = 2,
        classes: int = 10,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = (*shape, width, heads, inner, blocks, classes)
        if len(tuple(shape)) != 3 or not all(is_size(s) for s in sizes) or width % heads:
            raise ValueError(
                "`shape` must be (channels, height, width), all sizes positive integers, and "
                f"`width` a multiple of `heads`; got {tuple(shape)}, width {width}, heads {heads}, "
                f"inner {inner}, blocks {blocks}, classes {classes}."
            )
        require_floating(dtype)
        given: dict[str, Any] = {"dtype": dtype, "generator": generator}
        channels, height, row = shape
        self.embed = linear(channels * row, width, **given)
        self.position = nn.Parameter(torch.zeros(height, width, dtype=dtype))
        self.blocks = nn.ModuleList(
            AttentionBlock(width, heads, inner, **given) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width, dtype=dtype)
        self.head = linear(width, classes, **given)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.transpose(1, 2).flatten(2)) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
