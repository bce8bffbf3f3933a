"""Random small models: a program of layers, joins, views and products, drawn by Hypothesis."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Args
from tests.discover.image_layers import LAYERS

BATCH = 3

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Op(nn.Module):
    """A function without parameters."""

    def __init__(self, name: str, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self.name, self.function = name, run

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values)

    def extra_repr(self) -> str:
        return self.name


class Weighted(nn.Module):
    """A function of parameters of its own and of values."""

    def __init__(
        self, name: str, run: Callable[..., Tensor], *weights: nn.Parameter, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.name, self.function, self.eps = name, run, eps
        self.weights = nn.ParameterList(weights)

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(self, *values)

    def extra_repr(self) -> str:
        return self.name


class Transposed(nn.Module):
    """Another layer's weight, read the other way: a tied decoder."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight.t())


class Graph(nn.Module):
    """Steps on numbered values; the inputs come first."""

    def __init__(
        self, steps: Sequence[tuple[nn.Module, tuple[int, ...]]], outputs: Sequence[int]
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(module for module, _ in steps)
        self.wiring = [indices for _, indices in steps]
        self.outputs = tuple(outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = list(inputs)
        for layer, indices in zip(self.layers, self.wiring, strict=True):
            values.append(layer(*(values[i] for i in indices)))
        return tuple(values[i] for i in self.outputs)


class StandingNorm(nn.Module):
    """A batch norm that stays in evaluation, as those of pretrained backbones do.

    Args:
        channels: Of what it reads.
        gain: Whether it has a gain.
        bias: Whether it has a bias.
        frozen: Whether these are buffers.
        affine: Whether it has any of them.
        by_hand: Whether it is written as scale · x + shift.
    """

    def __init__(
        self,
        channels: int,
        *,
        gain: bool = True,
        bias: bool = True,
        frozen: bool = False,
        affine: bool = True,
        by_hand: bool = False,
    ) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(channels)
        self.by_hand, self.epsilon = by_hand, 1e-5
        self.register_buffer("running_mean", torch.randn(channels, generator=rng))
        self.register_buffer("running_var", 0.3 + torch.rand(channels, generator=rng))
        for name, wanted in (("weight", gain and affine), ("bias", bias and affine)):
            value = torch.randn(channels, generator=rng) if wanted else None
            if frozen or value is None:
                self.register_buffer(name, value)
            else:
                self.register_parameter(name, nn.Parameter(value))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            getattr(self, name) for name in ("running_mean", "running_var", "weight", "bias")
        )
        if not self.by_hand:
            return F.batch_norm(x, mean, variance, weight, bias, eps=self.epsilon)
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale = (variance.reshape(shape) + self.epsilon).rsqrt()
        scale = scale if weight is None else weight.reshape(shape) * scale
        shift = -mean.reshape(shape) * scale
        return x * scale + (shift if bias is None else bias.reshape(shape) + shift)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def _norm(z: Tensor) -> Tensor:
    return z.norm(dim=-1, keepdim=True)


def _window(z: Tensor) -> tuple[int, int]:
    return min(2, z.shape[2]), min(2, z.shape[3])


def _overwrite(x: Tensor, y: Tensor) -> Tensor:
    x = x.clone()
    x[:, :1] = y[:, :1]
    return x


def _add_in_place(x: Tensor, y: Tensor) -> Tensor:
    x = x.clone()
    x += y
    return x


def _view_then_write(x: Tensor) -> Tensor:
    x = x.clone()
    view = x[:, :1]
    view.mul_(2)
    return x.relu_()


POINTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky relu": lambda z: F.leaky_relu(z, 0.3),
    "abs": torch.abs,
    "square": torch.square,
    "z*z": lambda z: z * z,
    "relu**2": lambda z: torch.relu(z) ** 2,
    "cube": lambda z: z**3,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "elu": F.elu,
    "double": lambda z: 2 * z,
    "half": lambda z: z / 2,
    "negative": lambda z: -z,
    "plus one": lambda z: z + 1,
    "one minus": lambda z: 1 - z,
    "masked": lambda z: z * (z > 0),
    "masked above one": lambda z: z * (z > 1),
    "filled": lambda z: z.masked_fill(z < 0, 0.0),
    "filled with one": lambda z: z.masked_fill(z < 0, 1.0),
    "where": lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
    "where half": lambda z: torch.where(z > 0, z, z / 2),
    "where number": lambda z: torch.where(z > 0, z, 0.5),
    "clamped": lambda z: z.clamp(min=0),
    "clamped between": lambda z: z.clamp(-0.5, 0.5),
    "root": lambda z: z.abs().sqrt(),
    "reciprocal": lambda z: 1 / (1 + z.abs()),
    "dropout": lambda z: F.dropout(z, 0.3, training=True),
    "relu in place": lambda z: z.clone().relu_(),
    "scaled in place": lambda z: z.clone().mul_(3),
    "shifted in place": lambda z: z.clone().add_(1),
    "view written": _view_then_write,
    "sign": lambda z: z * z.sign(),
    "maximum with zero": lambda z: torch.maximum(z, torch.zeros_like(z)),
    "ones like": lambda z: z + torch.ones_like(z),
    "cumulated": lambda z: z.cumsum(-1),
    "sorted": lambda z: z.sort(-1).values,
    "flipped": lambda z: z.flip(1),
    "rolled": lambda z: z.roll(1, 1),
    "reversed order": lambda z: z[:, torch.arange(z.shape[1] - 1, -1, -1)],
    "tripled": lambda z: z.expand(2, *z.shape).sum(0),
    "float round trip": lambda z: z.to(torch.float64).type_as(z),
}

VECTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "radial": lambda z: z * torch.tanh(_norm(z)),
    "radial by squares": lambda z: z / (1 + z.square().sum(-1, keepdim=True)),
    "direction": lambda z: z / (_norm(z) + 1e-60),
    "normalize": lambda z: F.normalize(z, dim=-1),
    "norm": _norm,
    "sum of squares": lambda z: (z * z).sum(-1, keepdim=True),
    "product with own norm": lambda z: z * _norm(z),
    "softmax": lambda z: z.softmax(-1),
    "mean over features": lambda z: z.mean(-1, keepdim=True),
    "sum over features": lambda z: z.sum(-1, keepdim=True),
    "maximum over features": lambda z: z.amax(-1, keepdim=True),
    "max with indices": lambda z: z.max(-1, keepdim=True).values,
    "centred": lambda z: z - z.mean(-1, keepdim=True),
    "centred over the batch": lambda z: z - z.mean(0, keepdim=True),
    "standardised over the batch": lambda z: (z - z.mean(0)) / (z.var(0) + 1e-60).sqrt(),
    "mean over the batch": lambda z: z.mean(0, keepdim=True) + 0 * z,
    "first feature": lambda z: z[:, :1],
    "first half": lambda z: z[:, : (z.shape[1] + 1) // 2],
    "every second": lambda z: z[:, ::2],
    "select": lambda z: z.select(1, 0).unsqueeze(1),
    "chunks added": lambda z: sum(z.chunk(2, -1)) if z.shape[1] % 2 == 0 else z,
    "chunks multiplied": lambda z: math.prod(z.chunk(2, -1)) if z.shape[1] % 2 == 0 else z,
    "gated halves": lambda z: F.glu(z) if z.shape[1] % 2 == 0 else z,
    "doubled": lambda z: torch.cat([z, z], 1),
    "doubled with zeros": lambda z: torch.cat([z, torch.zeros_like(z)], 1),
    "doubled with both signs": lambda z: torch.cat([torch.relu(z), torch.relu(-z)], 1),
    "padded": lambda z: F.pad(z, (0, 1)),
    "padded with ones": lambda z: F.pad(z, (1, 0), value=1.0),
    "repeated": lambda z: z.repeat(1, 2),
    "interleaved": lambda z: z.repeat_interleave(2, 1),
    "times constants": lambda z: z * torch.arange(1.0, z.shape[1] + 1).to(z),
    "plus constants": lambda z: z + torch.arange(0.0, z.shape[1]).to(z),
    "masked constants": lambda z: z * (torch.arange(z.shape[1]) % 2).to(z),
    "mixed by constants": lambda z: z @ (torch.ones(z.shape[1], 2).to(z).tril() + 0.5),
    "gram over the batch": lambda z: (z @ z.t()) @ z,
    "attention over the batch": lambda z: (z @ z.t()).softmax(-1) @ z,
    "outer": lambda z: torch.einsum("bi,bj->bij", z, z).flatten(1),
    "halves as matrix": lambda z: (
        z.view(z.shape[0], 2, -1).transpose(1, 2).reshape(z.shape[0], -1)
        if z.shape[1] % 2 == 0
        else z
    ),
    "stacked": lambda z: torch.stack([z, 2 * z], -1).sum(-1),
    "stacked maximum": lambda z: torch.stack([z, -z], -1).amax(-1),
    "logsumexp": lambda z: z.logsumexp(-1, keepdim=True),
    "layer norm": lambda z: F.layer_norm(z, z.shape[1:], eps=1e-60),
}

IMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "max pool": lambda z: F.max_pool2d(z, _window(z), 1),
    "average pool": lambda z: F.avg_pool2d(z, _window(z), 1),
    "adaptive average": lambda z: F.adaptive_avg_pool2d(z, 2),
    "adaptive maximum": lambda z: F.adaptive_max_pool2d(z, 2),
    "global average": lambda z: F.adaptive_avg_pool2d(z, 1),
    "upsampled": lambda z: F.interpolate(z, scale_factor=2, mode="nearest")[..., :3, :3],
    "upsampled smoothly": lambda z: F.interpolate(z, size=(3, 3), mode="bilinear"),
    "spatial softmax": lambda z: z.flatten(2).softmax(-1).view(z.shape),
    "channel softmax": lambda z: z.softmax(1),
    "cropped": lambda z: z[..., : max(1, z.shape[2] - 1), :],
    "padded": lambda z: F.pad(z, (1, 0, 0, 0)),
    "padded channels": lambda z: F.pad(z, (0, 0, 0, 0, 1, 0)),
    "reflected": lambda z: F.pad(z, (1, 0, 0, 0), mode="replicate"),
    "transposed image": lambda z: z.transpose(2, 3),
    "channels to space": lambda z: F.pixel_shuffle(z, 2) if z.shape[1] % 4 == 0 else z,
    "space to channels": lambda z: (
        F.pixel_unshuffle(z, 2) if z.shape[2] % 2 == z.shape[3] % 2 == 0 else z
    ),
    "shuffled channels": lambda z: (
        z.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2) if z.shape[1] % 2 == 0 else z
    ),
    "chunks multiplied": lambda z: math.prod(z.chunk(2, 1)) if z.shape[1] % 2 == 0 else z,
    "mean over channels": lambda z: z.mean(1, keepdim=True),
    "gated by the mean": lambda z: z * z.mean((2, 3), keepdim=True),
    "gated by a sigmoid": lambda z: z * torch.sigmoid(z.mean((2, 3), keepdim=True)),
    "spatial mean removed": lambda z: z - z.mean((2, 3), keepdim=True),
    "positions weighted": lambda z: z * torch.arange(1.0, z.shape[3] + 1).to(z),
    "channel norm": lambda z: z / (1 + z.square().sum(1, keepdim=True)),
    "attention over positions": lambda z: (
        ((z.flatten(2).transpose(1, 2) @ z.flatten(2)).tanh() @ z.flatten(2).transpose(1, 2))
        .transpose(1, 2)
        .reshape(z.shape)
    ),
    "gram of channels": lambda z: (
        (z.flatten(2) @ z.flatten(2).transpose(1, 2)) @ z.flatten(2)
    ).reshape(z.shape),
    "channels last and back": lambda z: z.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2),
    "instance norm": lambda z: F.instance_norm(z, eps=1e-60) if z[0, 0].numel() > 1 else z,
    "group norm": lambda z: F.group_norm(z, 2 if z.shape[1] % 2 == 0 else 1, eps=1e-60),
    "dropped channels": lambda z: F.dropout2d(z, 0.4, training=True),
}

JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "add twice": lambda x, y: torch.add(x, y, alpha=2),
    "multiply": torch.mul,
    "divide": lambda x, y: x / (1 + y.abs()),
    "concatenate": lambda x, y: torch.cat([x, y], 1),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "where": lambda x, y: torch.where(x > 0, x, y),
    "gate": lambda x, y: x * torch.sigmoid(y),
    "add in place": _add_in_place,
    "overwrite": _overwrite,
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "addcmul": lambda x, y: torch.addcmul(x, x, y),
    "one broadcast": lambda x, y: x + y[:, :1],
    "one broadcast, times": lambda x, y: x * y[:, :1],
    "stack and mean": lambda x, y: torch.stack([x, y]).mean(0),
    "distance": lambda x, y: x * (x - y).square().sum(1, keepdim=True),
}


class Builder:
    """Draws a program step by step, and runs it to know the shapes."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.values: list[Tensor] = []
        self.steps: list[tuple[nn.Module, tuple[int, ...]]] = []

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.draw(st.integers(0, len(options) - 1))]

    def value(self, ndim: int) -> int:
        """A value of so many axes, the latest ones first."""
        recent = [i for i, v in enumerate(self.values) if v.ndim == ndim][::-1]
        return self.choose([recent[0]] * 3 + recent[1:4])

    def append(self, module: nn.Module, *indices: int) -> None:
        with torch.no_grad():
            self.values.append(module.double()(*(self.values[i] for i in indices)))
        self.steps.append((module, indices))

    def size(self) -> int:
        return self.draw(st.integers(1, 4))

    # -- steps on [batch, features] ------------------------------------------------------------

    def linear(self) -> None:
        i = self.value(2)
        self.append(
            nn.Linear(self.values[i].shape[1], self.size(), bias=self.choose([True, False])), i
        )

    def tied(self) -> None:
        """A layer used again, as it is or transposed."""
        i = self.value(2)
        n = self.values[i].shape[1]
        layers = [m for m, _ in self.steps if isinstance(m, nn.Linear)]
        same = [m for m in layers if m.in_features == n]
        back = [Transposed(m) for m in layers if m.out_features == n]
        if same or back:
            self.append(self.choose([*same, *back]), i)

    def weighted(self) -> None:
        """A layer whose weight is computed from parameters."""
        i = self.value(2)
        n, m = self.values[i].shape[1], self.size()
        options = [
            ("gain", lambda s, x: x * s.weights[0], (n,)),
            ("bias", lambda s, x: x + s.weights[0], (n,)),
            ("scalar", lambda s, x: x * s.weights[0], ()),
            ("product of two", lambda s, x: x @ (s.weights[0] @ s.weights[1]), (n, 2), (2, m)),
            (
                "weight norm",
                lambda s, x: F.linear(x, s.weights[0] / s.weights[0].norm(dim=1, keepdim=True)),
                (m, n),
            ),
            (
                "centred weight",
                lambda s, x: F.linear(x, s.weights[0] - s.weights[0].mean(1, keepdim=True)),
                (m, n),
            ),
            ("positive weight", lambda s, x: F.linear(x, s.weights[0].abs()), (m, n)),
            ("exponential weight", lambda s, x: F.linear(x, s.weights[0].exp()), (m, n)),
            (
                "fused weight, split",
                lambda s, x: math.prod(F.linear(x, w) for w in s.weights[0].chunk(2)),
                (2 * m, n),
            ),
            (
                "fused output, split",
                lambda s, x: math.prod(F.linear(x, s.weights[0]).split(m, -1)),
                (2 * m, n),
            ),
            ("weight as matrix", lambda s, x: x @ s.weights[0].view(n, m), (n * m,)),
            ("diagonal and full", lambda s, x: (x * s.weights[0]) @ s.weights[1], (n,), (n, m)),
            ("weight plus identity", lambda s, x: x @ (s.weights[0] + torch.eye(n).to(x)), (n, n)),
            ("symmetrised", lambda s, x: x @ (s.weights[0] + s.weights[0].t()), (n, n)),
            (
                "bilinear",
                lambda s, x: torch.einsum("bi,ij,bj->b", x, s.weights[0], x)[:, None],
                (n, n),
            ),
            ("einsum", lambda s, x: torch.einsum("bi,io->bo", x, s.weights[0]), (n, m)),
            ("addmm", lambda s, x: torch.addmm(s.weights[0], x, s.weights[1]), (m,), (n, m)),
            (
                "heads",
                lambda s, x: torch.bmm(x.expand(2, *x.shape), s.weights[0]).sum(0),
                (2, n, m),
            ),
            (
                "root mean square norm",
                lambda s, x: x * (x.square().mean(-1, keepdim=True) + s.eps).rsqrt() * s.weights[0],
                (n,),
            ),
            ("prelu", lambda s, x: F.prelu(x, s.weights[0]), (n,)),
            (
                "learned constant",
                lambda s, x: torch.cat([x, s.weights[0].expand(len(x), 1)], 1),
                (1,),
            ),
            ("learned power", lambda s, x: x.abs() ** s.weights[0], (1,)),
            ("embedding", lambda s, x: s.weights[0][(x.detach()[:, 0] > 0).long()], (2, m)),
        ]  # fmt: skip
        name, run, *shapes = self.choose(options)
        self.append(Weighted(name, run, *(weight(*shape) for shape in shapes)), i)

    def vector_norm(self) -> None:
        i = self.value(2)
        n, affine = self.values[i].shape[1], self.choose([True, False])
        self.append(
            self.choose(
                [
                    nn.BatchNorm1d(n, affine=affine),
                    nn.BatchNorm1d(n, affine=affine, track_running_stats=False),
                    self.standing(n),
                    nn.LayerNorm(n, elementwise_affine=affine),
                    nn.RMSNorm(n, eps=1e-5, elementwise_affine=affine),
                ]
            ),
            i,
        )

    def standing(self, channels: int) -> nn.Module:
        """A norm with fixed statistics, or one that is there already."""
        there = [
            m for m, _ in self.steps
            if isinstance(m, StandingNorm) and len(m.get_buffer("running_mean")) == channels
        ]  # fmt: skip
        kinds: list[dict[str, bool]] = [
            {}, {}, {"gain": False}, {"bias": False}, {"frozen": True}, {"by_hand": True},
            {"by_hand": True, "frozen": True},
        ]  # fmt: skip
        return self.choose([*there, StandingNorm(channels, **self.choose(kinds))])

    def pointwise(self, ndim: int) -> None:
        name = self.choose(list(POINTWISE))
        self.append(Op(name, POINTWISE[name]), self.value(ndim))

    def vector_op(self) -> None:
        name = self.choose(list(VECTORS))
        self.append(Op(name, VECTORS[name]), self.value(2))

    def join(self, ndim: int) -> None:
        """Two branches; a layer in between where their shapes differ."""
        name = self.choose(list(JOINS))
        i, j = self.value(ndim), self.value(ndim)
        a, b = self.values[i].shape, self.values[j].shape
        if a[2:] != b[2:]:
            return
        if a != b:
            layer = nn.Linear(b[1], a[1]) if ndim == 2 else nn.Conv2d(b[1], a[1], 1)
            self.append(layer, j)
            j = len(self.values) - 1
        self.append(Op(name, JOINS[name]), i, j)

    # -- steps on [batch, channels, height, width] ---------------------------------------------

    def convolution(self) -> None:
        i = self.value(4)
        c, k = self.values[i].shape[1], self.choose([1, 3])
        groups = self.choose([g for g in range(1, c + 1) if c % g == 0])
        kind = self.choose([nn.Conv2d, nn.ConvTranspose2d])
        outputs = groups * self.choose([1, 2])
        self.append(
            kind(c, outputs, k, padding=k // 2, groups=groups, bias=self.choose([True, False])), i
        )

    def image_norm(self) -> None:
        i = self.value(4)
        c, affine = self.values[i].shape[1], self.choose([True, False])
        if self.values[i][0, 0].numel() == 1:
            return
        # torch's forward derivative of group norm fails on inputs in another memory order.
        self.append(Op("contiguous", Tensor.contiguous), i)
        self.append(
            self.choose(
                [
                    nn.BatchNorm2d(c, affine=affine),
                    self.standing(c),
                    nn.InstanceNorm2d(c, affine=affine),
                    nn.InstanceNorm2d(c, affine=affine, track_running_stats=True),
                    nn.GroupNorm(1, c, affine=affine),
                    nn.GroupNorm(c, c, affine=affine),
                ]
            ),
            len(self.values) - 1,
        )

    def image_layer(self) -> None:
        i = self.value(4)
        name = self.choose(list(LAYERS))
        run, shapes = LAYERS[name]
        parts = (weight(*shape) for shape in shapes(self.values[i].shape[1]))
        self.append(Weighted(name, run, *parts), i)

    def image_op(self) -> None:
        name = self.choose(list(IMAGES))
        self.append(Op(name, IMAGES[name]), self.value(4))

    def flatten(self) -> None:
        options = {
            "flatten": lambda z: z.flatten(1),
            "flatten channels last": lambda z: z.permute(0, 2, 3, 1).flatten(1),
            "global average": lambda z: z.mean((2, 3)),
            "global maximum": lambda z: z.amax((2, 3)),
            "first pixel": lambda z: z[:, :, 0, 0],
        }
        name = self.choose(list(options))
        self.append(Op(name, options[name]), self.value(4))

    # -- the whole -----------------------------------------------------------------------------

    def model(self, *, images: bool) -> tuple[nn.Module, Args]:
        rng = torch.Generator().manual_seed(self.draw(st.integers(0, 3)))
        shape = (BATCH, 2, 3, 3) if images else (BATCH, 3)
        inputs = torch.randn(shape, generator=rng, dtype=torch.float64)
        self.values.append(inputs)
        steps: list[Callable[[], None]] = [
            *[self.convolution] * 4, *[lambda: self.pointwise(4)] * 2, self.image_op,
            self.image_op, lambda: self.join(4), self.image_norm, self.image_layer,
        ] if images else [
            *[self.linear] * 4, *[lambda: self.pointwise(2)] * 2, self.vector_op, self.vector_op,
            self.weighted, lambda: self.join(2), self.tied, self.vector_norm,
        ]  # fmt: skip
        (self.convolution if images else self.linear)()
        for _ in range(self.draw(st.integers(1, 7))):
            self.choose(steps)()
        if images and self.choose([True, False]):
            self.flatten()
        if self.values[-1].ndim == 2:
            self.linear()
        last = len(self.values) - 1
        outputs = [last]
        if last > 2 and self.draw(st.integers(0, 4)) == 0:
            outputs.append(self.choose(range(1, last)))
        model = Graph(self.steps, outputs)
        for p in model.parameters():
            p.requires_grad_(self.draw(st.integers(0, 9)) > 0)
        return model.train(self.choose([True, False])), (inputs,)


@st.composite
def graphs(draw: Draw, *, images: bool = False) -> tuple[nn.Module, Args]:
    """A random model with an input; values that explode are not drawn."""
    return Builder(draw).model(images=images)
