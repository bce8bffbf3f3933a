"""The paper's networks as ordinary modules: deep nets with chosen activations, and a small CNN.

Nothing here knows of symmetries. A network F(x) = W_L σ(… σ(W_1 x + b_1)) + b_L goes through
discovery as any other module does.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn


@final
class PowerReLU(nn.Module):
    """max(0, z)^α, homogeneous of degree α (Example 3.3).

    Raises:
        ValueError: If `degree` is not positive and finite; the power would not be continuous at 0.
    """

    def __init__(self, degree: float) -> None:
        super().__init__()
        if not 0 < degree < math.inf:
            raise ValueError(
                f"`degree` must be positive and finite; got {degree}. Use 1 for ReLU itself."
            )
        self.degree = float(degree)

    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(z) ** self.degree

    def extra_repr(self) -> str:
        return f"degree={self.degree:g}"


@final
class Abs(nn.Module):
    """|z|, homogeneous of degree 1."""

    def forward(self, z: Tensor) -> Tensor:
        return z.abs()


@final
class Sin(nn.Module):
    """sin z, which has no continuous linear symmetry."""

    def forward(self, z: Tensor) -> Tensor:
        return z.sin()


def inverse_square(r: Tensor) -> Tensor:
    """The radial profile 1/(1 + r²), smooth and bounded."""
    return 1 / (1 + r * r)


@final
class Radial(nn.Module):
    """Radial rescaling σ(z) = f(‖z‖) z over the last axis; its symmetry is O(h) (Example 3.5).

    Args:
        profile: f, an elementwise function of the norms `[..., 1]`.
    """

    def __init__(self, profile: Callable[[Tensor], Tensor] = inverse_square) -> None:
        super().__init__()
        self.profile = profile

    def forward(self, z: Tensor) -> Tensor:
        return self.profile(torch.linalg.vector_norm(z, dim=-1, keepdim=True)) * z


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "abs": Abs,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sin": Sin,
    "radial": Radial,
}
"""Activations by name; `"relu^2"`, `"relu^1.5"`, … name powers of ReLU beside these."""


def named_activation(which: str | nn.Module) -> nn.Module:
    """The activation of that name, or the module itself.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor a module.
    """
    if isinstance(which, nn.Module):
        return which
    if not isinstance(which, str):
        raise TypeError(
            f"`activation` must be a name or a torch.nn.Module; got {type(which).__name__}. "
            f"Names are {', '.join(ACTIVATIONS)} and relu^α."
        )
    if which.startswith("relu^"):
        try:
            degree = float(which.removeprefix("relu^"))
        except ValueError:
            raise ValueError(
                f"`activation` must give a number behind 'relu^', as in 'relu^2'; got {which!r}."
            ) from None
        return PowerReLU(degree)
    if which not in ACTIVATIONS:
        raise ValueError(
            f"`activation` must be one of {', '.join(ACTIVATIONS)} or relu^α; got {which!r}."
        )
    return ACTIVATIONS[which]()


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
        if len(widths) < 2 or not all(_is_size(w) for w in widths):
            raise ValueError(
                "`widths` must be two or more positive integers, input first and output last; "
                f"got {widths}. A two-layer net from R^10 to R^5 over 50 neurons is (10, 50, 5)."
            )
        _require_floating(dtype)
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


@final
class DigitsCNN(nn.Module):
    """A small classifier of 8×8 grey images, `[batch, 1, 8, 8]` → logits `[batch, classes]`.

    Two convolutions with ReLU and max-pooling, a ReLU layer, and a linear head in two factors
    with no activation between them: a linear hidden space beside the homogeneous ones. It has
    biases throughout, and neither batch norm nor dropout, so that the function being trained is
    the function. Weights start with the variance that keeps the size of the signal, 2/fan_in
    before a ReLU and 1/fan_in in the head.

    Args:
        channels: Channels of the two convolutions.
        hidden: Neurons of the ReLU layer.
        rank: Width of the linear space between the head's two factors.
        classes: Number of logits.
        dtype: Floating dtype of the parameters; torch's default when absent.
        generator: Source of the initial parameters; torch's global one when absent.
    """

    def __init__(
        self,
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
        if len(channels) != 2 or not all(_is_size(s) for s in sizes):
            raise ValueError(
                "`channels` must be two positive integers and `hidden`, `rank`, `classes` positive "
                f"integers; got {channels}, {hidden}, {rank}, {classes}."
            )
        _require_floating(dtype)
        first, second = channels
        relu, head = math.sqrt(6), math.sqrt(3)
        given: dict[str, Any] = {"dtype": dtype, "generator": generator}
        self.conv1 = convolution(1, first, 3, gain=relu, **given)
        self.conv2 = convolution(first, second, 3, gain=relu, **given)
        self.fc = linear(second * 2 * 2, hidden, gain=relu, **given)
        self.bottleneck = linear(hidden, rank, gain=head, **given)
        self.head = linear(rank, classes, gain=head, **given)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = torch.relu(self.fc(x.flatten(1)))
        return self.head(self.bottleneck(x))


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


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _require_floating(dtype: torch.dtype | None) -> None:
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"`dtype` must be a floating dtype, as torch.float64; got {dtype}.")
