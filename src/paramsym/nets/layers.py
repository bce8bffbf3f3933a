"""Linear layers and convolutions whose initial parameters come from a generator."""

import math

import torch
from torch import nn


def linear(
    inputs: int,
    outputs: int,
    *,
    bias: bool = True,
    gain: float = 1.0,
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> nn.Linear:
    """A linear layer whose initial weights are uniform on ±gain/√fan_in, drawn from `generator`.

    Gain 1 is what torch itself starts from; √6 gives the variance 2/fan_in.
    """
    layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype, device="meta").to_empty(device="cpu")
    _initialize(layer, inputs, gain, generator)
    return layer


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    bias: bool = True,
    gain: float = 1.0,
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> nn.Conv2d:
    """A convolution padded by half its kernel, its initial weights as those of `linear`."""
    layer = nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, bias=bias, dtype=dtype, device="meta"
    ).to_empty(device="cpu")
    _initialize(layer, inputs * kernel**2, gain, generator)
    return layer


@torch.no_grad()
def _initialize(
    layer: nn.Linear | nn.Conv2d, fan_in: int, gain: float, generator: torch.Generator | None
) -> None:
    bound = 1 / math.sqrt(fan_in)
    layer.weight.uniform_(-gain * bound, gain * bound, generator=generator)
    if layer.bias is not None:
        layer.bias.uniform_(-bound, bound, generator=generator)


def is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def require_floating(dtype: torch.dtype | None) -> None:
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"`dtype` must be a floating dtype, as torch.float64; got {dtype}.")
