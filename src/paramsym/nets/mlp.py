"""Deep nets with chosen activations."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from paramsym.nets.activations import named_activation
from paramsym.nets.layers import is_size, linear, require_floating


@final
class MLP(nn.Module):
    """A deep net W_L σ(… σ(W_1 x + b_1) …) + b_L on inputs `[..., widths[0]]`.

    Args:
        widths: Sizes n, h_1, …, m; at least an input and an output.
        activation: A name of `ACTIVATIONS`, `"relu^α"`, or a module, used at every hidden space.
        bias: Whether the layers have biases.
        dtype: Floating dtype of the parameters; torch's default when absent.
        generator: Source of the initial parameters; torch's global one when absent.

    Raises:
        ValueError: If a width is not a positive integer, there are fewer than two, or the
            activation is unknown.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | nn.Module = "relu",
        *,
        bias: bool = True,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = tuple(widths)
        if len(widths) < 2 or not all(is_size(w) for w in widths):
            raise ValueError(
                "`widths` must be two or more positive integers, input first and output last; "
                f"got {widths}. A two-layer net from R^10 to R^5 over 50 neurons is (10, 50, 5)."
            )
        require_floating(dtype)
        self.activation = named_activation(activation)
        self.layers = nn.ModuleList(
            linear(n, m, bias=bias, dtype=dtype, generator=generator)
            for n, m in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)
