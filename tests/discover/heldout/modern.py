"""What large models are made of since 2023: modulations, latents, soft experts, long filters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Net
from tests.discover.heldout.layers import bent
from tests.discover.heldout.register import free, heldout, weight

T, N = 4, 3


def split(z: Tensor, heads: int = 2) -> Tensor:
    return z.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(z: Tensor) -> Tensor:
    return z.transpose(1, 2).flatten(2)


@heldout("modulated block", (24, T, N), (24, 2), scales=5 + 3, gap=3)
def modulated() -> nn.Module:
    """Units (T₊(5)), and each channel's gate against the row that it multiplies (T₊(3)). A scale
    1 + s and its shift b against what reads them: homotheties about −1 of the biases of s (3)."""

    def run(net: Net, x: Tensor, c: Tensor) -> Tensor:
        scale, shift, gate = net.made(torch.tanh(c))[:, None].chunk(3, -1)
        h = F.layer_norm(x, (N,), eps=1e-60) * (1 + scale) + shift
        return net.head(x + gate * net.down(bent(net.up(h))))

    return Net(run, made=nn.Linear(2, 9), up=nn.Linear(N, 5), down=nn.Linear(5, N), head=free(N, 2))


@heldout("differences of attention", (16, T, 4), scales=1, linear=4 + 4 + 8, rotations=6, gap=1)
def differences() -> nn.Module:
    """Queries against keys (GL(2) twice), the two inner products of λ (GL(2) each); values are
    normed (O(4) and one scale). λ is a difference of two numbers (1)."""

    def run(net: Net, x: Tensor) -> Tensor:
        (q1, q2), (k1, k2) = (split(layer(x)).unbind(1) for layer in (net.q, net.k))
        one, two = (net.a * net.b).sum(), (net.c * net.d).sum()
        maps = (q1 @ k1.mT).softmax(-1) - (one.exp() - two.exp() + 0.2) * (q2 @ k2.mT).softmax(-1)
        return net.o(F.rms_norm(maps @ net.v(x), (4,), eps=1e-60))

    return Net(
        run, q=free(4, 4), k=free(4, 4), v=free(4, 4), o=free(4, 3),
        a=weight(2), b=weight(2), c=weight(2), d=weight(2),
    )  # fmt: skip


@heldout("soft mixture of experts", (20, T, 4), scales=6, linear=16, gap=2 + 2)
def soft_experts() -> nn.Module:
    """Units of both experts (T₊(6)); all experts write vectors of one space, which the head reads
    (GL(4)). The head is narrower (2); units that are on for all of these samples make more (2)."""

    def run(net: Net, x: Tensor) -> Tensor:
        scores = torch.einsum("btd,dep->btep", x, net.slots)
        given, taken = scores.softmax(1), scores.flatten(2).softmax(-1).view_as(scores)
        z = torch.einsum("btd,btep->bepd", x, given)
        h = bent(torch.einsum("bepd,edh->beph", z, net.up) + net.bias[:, None])
        z = torch.einsum("beph,ehd->bepd", h, net.down)
        return net.head(torch.einsum("bepd,btep->btd", z, taken))

    return Net(
        run, slots=weight(4, 2, 2), up=weight(2, 4, 3), bias=weight(2, 3), down=weight(2, 3, 4),
        head=nn.Linear(4, 3),
    )  # fmt: skip


@heldout("gated filters of the whole length", (20, T, 4), scales=16, gap=0)
def long_filters() -> nn.Module:
    """Each channel is a product of three projections and a filter, which the readers undo (T₊(4)
    four times)."""

    def run(net: Net, x: Tensor) -> Tensor:
        a, b, v = net.into(x).chunk(3, -1)
        spectrum = torch.fft.rfft((a * v).mT, n=2 * T) * torch.fft.rfft(net.filter, n=2 * T)
        return net.out(b * torch.fft.irfft(spectrum, n=2 * T)[..., :T].mT)

    return Net(run, into=free(4, 12), filter=weight(4, T), out=free(4, 3))


@heldout("latent keys", (20, T, 4), scales=2 * (1 + 3), linear=16, rotations=6, gap=0)
def latents() -> nn.Module:
    """Normed latents of queries and of keys (O(3), a scale that is erased, and gains, each); keys
    and values of a head side by side in one projection (GL(2) for each head, twice)."""

    def run(net: Net, x: Tensor) -> Tensor:
        q = split(net.up_q(net.norm_q(net.q(x))))
        k, v = split(net.up(net.norm(net.down(x)))).chunk(2, -1)
        return net.o(merged(F.scaled_dot_product_attention(q, k, v, is_causal=True)))

    return Net(
        run, q=free(4, 3), norm_q=nn.RMSNorm(3), up_q=free(3, 4), down=free(4, 3),
        norm=nn.RMSNorm(3), up=free(3, 8), o=free(4, 3),
    )  # fmt: skip


@heldout("convolutions side by side", (4, N, 5, 5), scales=4, gap=4 + 12)
def side_by_side() -> nn.Module:
    """Units (T₊(4)). One kernel takes back what the other one's centre, or bias, adds (4, a shift;
    12 are missed)."""
    return Net(
        lambda n, x: n.out(bent(n.wide(x) + n.narrow(x))),
        wide=nn.Conv2d(N, 4, 3, padding=1), narrow=nn.Conv2d(N, 4, 1), out=nn.Conv2d(4, 2, 1),
    )  # fmt: skip


@heldout("steps of Runge and Kutta", (40, N), scales=5, linear=9, gap=2)
def steps() -> nn.Module:
    """The state is linear (GL(3)), units of the field are not (T₊(5)); those that are
    on for all of these samples make more (2)."""

    def run(net: Net, x: Tensor) -> Tensor:
        def field(z: Tensor) -> Tensor:
            return net.down(bent(net.up(z)))

        h, dt = net.into(x), 0.25
        for _ in range(2):
            a = field(h)
            b = field(h + dt / 2 * a)
            c = field(h + dt / 2 * b)
            h = h + dt / 6 * (a + 2 * b + 2 * c + field(h + dt * c))
        return net.out(h)

    return Net(run, into=free(N, N), up=free(N, 5), down=free(5, N), out=free(N, 2))
