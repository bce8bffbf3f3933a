"""Models with discrete symmetries, and the groups that a person derives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paramsym.discovery.composites import taken_apart
from paramsym.discovery.exporting import export, from_program
from paramsym.discovery.ops import RULES as CONTINUOUS_RULES
from paramsym.discovery.recording import Recording

SEQ = nn.Sequential


class Residual(nn.Module):
    """x + f(x) on the input itself, so that the hidden space is the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + torch.tanh(self.f(x)))


class Scores(nn.Module):
    """Attention over learned tokens whose positions the outputs keep."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(3, 5)
        self.weights = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x).softmax(-1)


class Attention(nn.Module):
    """Grouped queries: heads that share keys follow one another."""

    def __init__(self, heads: int, groups: int, size: int, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.heads, self.groups, self.size = heads, groups, size
        self.q = nn.Linear(4, heads * size)
        self.k, self.v = (nn.Linear(4, groups * size) for _ in range(2))
        self.o = nn.Linear(heads * size, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            y = y.view(batch, time, heads, self.size).transpose(1, 2)
            times = self.heads // heads
            return y[:, :, None].expand(-1, -1, times, -1, -1).reshape(batch, self.heads, time, -1)

        q = split(self.q(x), self.heads)
        k, v = split(self.k(x), self.groups), split(self.v(x), self.groups)
        if self.shared:
            k, v = (y[:, :1].expand_as(q) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).reshape(batch, time, -1))


class Gated(nn.Module):
    """SwiGLU, with both halves in one matrix where it is fused."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        widths = (10,) if fused else (5, 5)
        self.into = nn.ModuleList(nn.Linear(3, width) for width in widths)
        self.down = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        made = [layer(x) for layer in self.into]
        gate, up = made[0].chunk(2, -1) if len(made) == 1 else made
        return self.down(F.silu(gate) * up)


class Recurrent(nn.Module):
    """h ← tanh(W h + x)."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.step, self.out = nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.into(x))
        for _ in range(2):
            h = torch.tanh(self.step(h) + self.into(x))
        return self.out(h)


class Positions(nn.Module):
    """A buffer that differs between coordinates, added in the hidden space."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.arange(5.0))
        self.into, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.into(x) + self.shift))


class Stream(nn.Module):
    """A block of a pre-norm transformer, without attention: the stream itself is permuted."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm, self.last = nn.LayerNorm(4), nn.LayerNorm(4)
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(self.last(x))


class Spectrum(nn.Module):
    """Real parts of frequencies along time, then the same of modulus."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.fft(torch.tanh(self.into(x)), dim=1)
        return self.out(torch.tanh(torch.view_as_real(z * (1 - 2j)).sum(-1)))


class Moduli(nn.Module):
    """|a + ib|."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(3, 5), nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.stack([self.a(x), self.b(x)], -1)
        z = torch.view_as_complex(pairs)
        return self.out(torch.complex(z.real, z.imag).abs())


class Heads(nn.Module):
    """Heads of one vector, which are mixed with each other."""

    def __init__(self, mix: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.mix = mix
        self.into, self.out = nn.Linear(3, 8), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.mix(torch.tanh(self.into(x)).view(-1, 2, 4))
        return self.out(h.reshape(len(x), -1))


def convolved(h: Tensor) -> Tensor:
    """Every head as a sample of its own, with a bias that all samples share."""
    kernel, bias = (torch.tensor([1.0, 2.0, 3.0]).to(h) for _ in range(2))
    return F.conv1d(h.flatten(0, 1)[:, None], kernel[:, None, None], bias)


def recorded(model: nn.Module, args: tuple[Any, ...]) -> Recording:
    program = taken_apart(export(model, args, {}), CONTINUOUS_RULES)
    return from_program(program, model=model, args=args, kwargs={})


def output(model: nn.Module, params: dict[str, Tensor], args: tuple[Tensor, ...]) -> Tensor:
    return torch.func.functional_call(model, params, args)


def doubled(model: nn.Module) -> dict[str, Tensor]:
    """Generic parameters in float64."""
    model.double()
    return {name: p.detach() for name, p in model.named_parameters()}


def vectors() -> tuple[Tensor, ...]:
    return (torch.randn(8, 3),)


def images(channels: int = 3) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, channels, 6, 6),)


@dataclass(frozen=True)
class Case:
    """A model and the groups of its discrete families, in order."""

    name: str
    model: Callable[[], nn.Module]
    groups: tuple[str, ...]
    args: Callable[[], tuple[Tensor, ...]] = vectors
    training: bool = True

    def __str__(self) -> str:
        return self.name

    def built(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        torch.manual_seed(0)
        return self.model().train(self.training), self.args()


def between(activation: nn.Module) -> Callable[[], nn.Module]:
    return lambda: SEQ(nn.Linear(3, 5), activation, nn.Linear(5, 2))


CASES = [
    Case("tanh", between(nn.Tanh()), ("S(5)", "Z₂^5")),
    Case("gelu", between(nn.GELU()), ("S(5)",)),
    Case("relu", between(nn.ReLU()), ("S(5)",)),
    Case("sigmoid", between(nn.Sigmoid()), ("S(5)",)),
    Case("symmetric hardtanh", between(nn.Hardtanh()), ("S(5)", "Z₂^5")),
    Case("lopsided hardtanh", between(nn.Hardtanh(-1, 2)), ("S(5)",)),
    Case("softmax in between", between(nn.Softmax(-1)), ("S(5)",)),
    Case("linear: GL contains both", between(nn.Identity()), ()),
    Case("layer norm", lambda: SEQ(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5")),
    Case("batch norm in training",
         lambda: SEQ(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5")),
    Case("batch norm by running statistics",
         lambda: SEQ(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)), (),
         training=False),
    Case("dropout on", lambda: SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)), ()),
    Case("dropout off", lambda: SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5"), training=False),
    Case("flattened channels",
         lambda: SEQ(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 2)),
         ("S(4)", "Z₂^4"), images()),
    Case("pooled channels",
         lambda: SEQ(nn.Conv2d(3, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)),
         ("S(4)",), images()),
    Case("depthwise convolution",
         lambda: SEQ(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Conv2d(4, 4, 3, groups=4), nn.GELU(),
                     nn.Conv2d(4, 2, 1)),
         ("S(4)",), images()),
    Case("grouped convolution",
         lambda: SEQ(nn.Conv2d(3, 6, 1), nn.GELU(), nn.Conv2d(6, 8, 3, groups=2), nn.GELU(),
                     nn.Conv2d(8, 2, 1)),
         ("S(2)", "S(3) × 2", "S(4) × 2"), images()),
    # The groups are those of the input, which are fixed: their copies are not told apart.
    Case("grouped convolution of the input",
         lambda: SEQ(nn.Conv2d(4, 6, 3, groups=2), nn.GELU(), nn.Conv2d(6, 2, 1)),
         ("S(3)",), images(4)),
    Case("transposed convolution",
         lambda: SEQ(nn.ConvTranspose2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 1)),
         ("S(4)", "Z₂^4"), images()),
    Case("channel groups of a norm",
         lambda: SEQ(nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 2, 1)),
         ("S(2)", "S(3) × 2"), images()),
    Case("residual of the input", Residual, (), lambda: (torch.randn(8, 4),)),
    Case("output layer", lambda: nn.Linear(3, 5), ()),
    Case("softmax output", Scores, ()),
    Case("buffer in the hidden space", Positions, ()),
    Case("gate", lambda: Gated(fused=False), ("S(5)", "Z₂^5")),
    Case("fused gate", lambda: Gated(fused=True), ("S(5)", "Z₂^5")),
    Case("recurrence", Recurrent, ("S(5)", "Z₂^5")),
    Case("tied stream", Stream, ("S(4)", "Z₂^4", "S(6)"),
         lambda: (torch.arange(14).view(2, 7) % 7,)),
    Case("attention", lambda: Attention(3, 3, 2), ("S(3)",), lambda: (torch.randn(2, 5, 4),)),
    Case("one key head for all, the others unused", lambda: Attention(2, 2, 3, shared=True),
         ("S(2)", "S(3)", "S(3)"), lambda: (torch.randn(2, 5, 4),)),
    Case("spectrum", Spectrum, ("S(5)", "Z₂^5"), lambda: (torch.randn(4, 6, 3),)),
    Case("moduli", Moduli, ("S(5)", "Z₂^5")),
    Case("grouped queries", lambda: Attention(6, 3, 2), ("S(3)", "S(2) × 3"),
         lambda: (torch.randn(2, 5, 4),)),
    Case("heads that are normalised", lambda: Heads(lambda h: h.softmax(-1)),
         ("S(2)", "S(4) × 2")),
    Case("heads that attend to each other",
         lambda: Heads(lambda h: F.scaled_dot_product_attention(h, h, h)),
         ("S(2)", "S(4)", "Z₂^4")),
    # Signs of a whole head would change its gates, a mean, or what is beside a bias.
    Case("gates of heads", lambda: Heads(F.glu, 4), ("S(2)",)),
    Case("heads that are normalised over samples",
         lambda: Heads(lambda h: F.batch_norm(h.mT, None, None, training=True).mT),
         ("S(2)", "S(4)", "Z₂^4")),
    Case("heads that compete", lambda: Heads(lambda h: h.softmax(1)), ("S(2)", "S(4)")),
    Case("heads that are normalised together",
         lambda: Heads(lambda h: F.layer_norm(h.mT, (2,)).mT), ("S(2)", "S(4)")),
    Case("heads whose sizes are normalised together",
         lambda: Heads(lambda h: F.rms_norm(h.mT, (2,)).mT), ("S(2)", "S(4)", "Z₂^2", "Z₂^4")),
    Case("heads in one group",
         lambda: Heads(lambda h: F.group_norm(h.mT.flatten(0, 1)[..., None], 1).view(-1, 4, 2).mT),
         ("S(2)", "S(4)")),
    Case("heads that are samples", lambda: Heads(convolved, 24), ("S(2)",)),
    # The product is odd in each head, and in each coordinate.
    Case("coordinates that attend to each other",
         lambda: Heads(lambda h: F.scaled_dot_product_attention(h.mT, h.mT, h.mT).mT),
         ("S(2)", "S(4)", "Z₂^2")),
    Case("products of heads", lambda: Heads(lambda h: (h @ h.mT) @ h),
         ("S(2)", "S(4)", "Z₂^2", "Z₂^4")),
    Case("pairs of heads", lambda: Heads(lambda h: torch.tanh(h[:, :, None] + h[:, None]).sum(2)),
         ("S(2)", "S(4)", "Z₂^4")),
]  # fmt: skip
