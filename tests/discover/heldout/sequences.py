"""State-space models, recurrences, and mixers of tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Net
from tests.discover.heldout.register import free, heldout, weight

N, T = 3, 5


@heldout("selective scan", (4, T, N), scales=4 + 2 + 1, linear=2 * 2)
def mamba() -> nn.Module:
    """Steps dt, inputs B and outputs C are made from what passes the silu. dt is of low rank
    (GL(2)); state n is scaled by B and back by C (T₊(2)); C and D together against the rows that
    `out` reads (T₊(1)); channels in front of the depthwise convolution (T₊(4))."""
    e, n, r = 4, 2, 2

    def run(net: Net, x: Tensor) -> Tensor:
        u, z = net.into(x).chunk(2, -1)
        u = F.silu(net.conv(F.pad(u.mT, (2, 0))).mT)
        low, b, c = net.select(u).split([r, n, n], -1)
        dt = F.softplus(net.dt(low))
        a = -torch.exp(net.log_a)
        h = torch.zeros(len(x), e, n, dtype=x.dtype)
        ys = []
        for t in range(T):
            keep = torch.exp(dt[:, t, :, None] * a)
            h = keep * h + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
            ys.append((h * c[:, t, None]).sum(-1) + net.d * u[:, t])
        return net.out(torch.stack(ys, 1) * F.silu(z))

    return Net(
        run, into=free(N, 2 * e), conv=nn.Conv1d(e, e, 3, groups=e), select=free(e, r + 2 * n),
        dt=nn.Linear(r, e), log_a=weight(e, n), d=weight(e), out=free(e, N),
    )  # fmt: skip


@heldout("weighted keys and values with decay", (4, T, N), scales=4 + 5 + N)
def rwkv() -> nn.Module:
    """Values against the rows that `out` reads (T₊(4)), squared relu units (T₊(5)), and the
    channels of the stream, which per-channel mixing with the past keeps apart (T₊(3))."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.into(x)
        past = F.pad(x[:, :-1], (0, 0, 1, 0))
        mixed = x * net.mix + past * (1 - net.mix)
        k, v, r = net.k(mixed), net.v(mixed), net.r(mixed).sigmoid()
        weights = torch.exp(k)
        total = (weights * v).cumsum(1) / weights.cumsum(1)
        x = x + net.out(r * total)
        return net.head(x + net.down(torch.relu(net.up(x)) ** 2))

    return Net(
        run, into=free(N, N), mix=weight(N), k=free(N, 4), v=free(N, 4), r=free(N, 4),
        out=free(4, N), up=free(N, 5), down=free(5, N), head=free(N, 2),
    )  # fmt: skip


@heldout("Fourier mixing", (6, T, N), scales=N + 2)
def fnet() -> nn.Module:
    """The norms erase the scale of the embedding and of the stream (T₊(1) twice); the last gain
    and bias against the head (T₊(3))."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.into(x)
        x = net.first(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=1).real)
        return net.head(net.second(x + net.down(F.gelu(net.up(x)))))

    return Net(
        run, into=nn.Linear(N, N), first=nn.LayerNorm(N), up=nn.Linear(N, 5),
        down=nn.Linear(5, N), second=nn.LayerNorm(N), head=nn.Linear(N, 2),
    )  # fmt: skip


@heldout("long convolutions", (6, T, N), scales=4 * 3)
def hyena() -> nn.Module:
    """Two gates, values, and a filter made by a net of positions; five scales a channel, of which
    the product fixes one."""
    e = 3

    def run(net: Net, x: Tensor) -> Tensor:
        first, second, v = net.into(x).chunk(3, -1)
        positions = torch.linspace(0, 1, T, dtype=x.dtype)[:, None]
        kernel = net.filter(torch.sin(net.grid(positions)))
        spectrum = torch.fft.rfft(first * v, n=2 * T, dim=1) * torch.fft.rfft(
            kernel, n=2 * T, dim=0
        )
        return net.out(second * torch.fft.irfft(spectrum, n=2 * T, dim=1)[:, :T])

    return Net(
        run, into=nn.Linear(N, 3 * e), grid=nn.Linear(1, 4), filter=nn.Linear(4, e), out=free(e, N)
    )


@heldout("MLP mixer", (6, 4, N), scales=2 + 2 * 5)
def mixer() -> nn.Module:
    """The stream's scale is erased by the norms that read it (T₊(1)); the gains in front of the
    channel layer and the head (T₊(5) twice), and the gain of the tokens as a whole, whose layer
    reads all channels alike (T₊(1)); tokens are mixed by GELU layers."""
    c = 5

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.patches(x)
        y = net.tokens(x).mT
        x = x + net.down_tokens(F.gelu(net.up_tokens(y))).mT
        x = x + net.down(F.gelu(net.up(net.channels(x))))
        return net.head(net.last(x).mean(1))

    return Net(
        run, patches=nn.Linear(N, c), tokens=nn.LayerNorm(c), up_tokens=nn.Linear(4, 6),
        down_tokens=nn.Linear(6, 4), channels=nn.LayerNorm(c), up=nn.Linear(c, 6),
        down=nn.Linear(6, c), last=nn.LayerNorm(c), head=nn.Linear(c, 2),
    )  # fmt: skip


@heldout("spatial gating", (8, 4, N), scales=2, gap=1)
def gmlp() -> nn.Module:
    """The gate's gain, its token layer and its bias, and the rows that `out` reads: four scales of
    the gate as a whole, and two equations between them. A number added to the
    norm's bias is taken back by the bias of the token layer (a shift)."""

    def run(net: Net, x: Tensor) -> Tensor:
        u, v = F.gelu(net.into(x)).chunk(2, -1)
        gate = net.spatial(net.norm(v).mT).mT
        return net.out(u * gate)

    return Net(
        run, into=nn.Linear(N, 8), norm=nn.LayerNorm(4), spatial=nn.Linear(4, 4), out=free(4, N)
    )


@heldout("latent queries", (4, T, N), scales=5, linear=2 * 2 * 4 + 16)
def perceiver() -> nn.Module:
    """Queries against keys and values against outputs in two heads of width 2 (GL(2) four times);
    the latents' stream (GL(4)); relu units (T₊(5))."""

    def split(z: Tensor) -> Tensor:
        return z.unflatten(-1, (2, 2)).transpose(-3, -2)

    def run(net: Net, x: Tensor) -> Tensor:
        q, k, v = split(net.q(net.latents)), split(net.k(x)), split(net.v(x))
        read = F.scaled_dot_product_attention(q.expand(len(x), -1, -1, -1), k, v)
        z = net.latents + net.o(read.transpose(1, 2).flatten(2))
        z = z + net.down(torch.relu(net.up(z)))
        return net.head(z)

    return Net(
        run, latents=weight(3, 4), q=free(4, 4), k=free(N, 4), v=free(N, 4), o=free(4, 4),
        up=nn.Linear(4, 5), down=free(5, 4), head=free(4, 6),
    )  # fmt: skip


@heldout("gated dilated convolutions", (5, 4, 9), scales=4 + 3, linear=N * N, gap=0)
def wavenet() -> nn.Module:
    """Gates pin what they read. The stream is linear (GL(3)); the sum of skips goes to a relu
    (T₊(4)), and that to another (T₊(3))."""

    def run(net: Net, x: Tensor) -> Tensor:
        x, skips = net.into(x), 0.0
        for i, (gate, skip) in enumerate(zip(net.gates, net.skips, strict=True)):
            a, b = gate(F.pad(x, (2**i, 0))).chunk(2, 1)
            y = torch.tanh(a) * torch.sigmoid(b)
            skips = skips + skip(y)
            x = x + net.res(y) if i == 0 else x
        return net.out(F.leaky_relu(net.mix(F.leaky_relu(skips, 0.2)), 0.2))

    return Net(
        run, into=nn.Conv1d(4, N, 1, bias=False),
        gates=nn.ModuleList(nn.Conv1d(N, 4, 2, dilation=2**i) for i in range(2)),
        res=nn.Conv1d(2, N, 1, bias=False),
        skips=nn.ModuleList(nn.Conv1d(2, 4, 1, bias=False) for _ in range(2)),
        mix=nn.Conv1d(4, 3, 1), out=nn.Conv1d(3, 3, 1),
    )  # fmt: skip


@heldout("translation with attention", (4, T), (4, T), linear=2 * 9 + 4, indices=(0, 1))
def seq2seq() -> nn.Module:
    """Both tables against the recurrent layers that read them (GL(3) twice), and the bilinear
    scores (GL(2)); the recurrent states stand still."""

    def run(net: Net, source: Tensor, target: Tensor) -> Tensor:
        memory, state = net.encoder(net.words(source))
        h, _ = net.decoder(net.answers(target), state)
        scores = (net.q(h) @ net.k(memory).mT).softmax(-1)
        return net.head(torch.cat([h, scores @ memory], -1))

    return Net(
        run, words=nn.Embedding(5, N), answers=nn.Embedding(5, N),
        encoder=nn.LSTM(N, 4, batch_first=True), decoder=nn.LSTM(N, 4, batch_first=True),
        q=free(4, 2), k=free(4, 2), head=nn.Linear(8, 5),
    )  # fmt: skip


@heldout("linear attention", (5, T, N), linear=4, gap=0)
def linear_attention() -> nn.Module:
    """Features elu + 1 pin queries and keys; values against outputs (GL(2))."""

    def run(net: Net, x: Tensor) -> Tensor:
        q, k = (F.elu(layer(x)) + 1 for layer in (net.q, net.k))
        state = torch.einsum("btd,bte->btde", k, net.v(x)).cumsum(1)
        norm = torch.einsum("btd,btd->bt", q, k.cumsum(1))
        return net.o(torch.einsum("btd,btde->bte", q, state) / norm[..., None])

    return Net(run, q=free(N, 2), k=free(N, 2), v=free(N, 2), o=free(2, N))
