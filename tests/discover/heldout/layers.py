"""Fields, flows, experts, adapters, and layers with weights made in other ways."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.discover.checking import Net
from tests.discover.heldout.register import free, heldout, weight

N = 3


def bent(z: Tensor) -> Tensor:
    """A relu without dead units."""
    return F.leaky_relu(z, 0.2)


@heldout("radiance field", (80, N), (80, N), scales=6 + 6 + 4, linear=9, gap=3 + 3)
def nerf() -> nn.Module:
    """Waves of the position, relu layers with the waves again in between (T₊(6) twice); a linear
    feature (GL(3)) beside the direction, relu (T₊(4)), colours; the density behind softplus.
    The feature's bias is a shift (3); units that are on for all of these samples make more (3)."""

    def run(net: Net, x: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        waves = torch.cat([f(k * x) for k in (1.0, 2.0) for f in (torch.sin, torch.cos)], -1)
        h = bent(net.first(waves))
        h = bent(net.second(torch.cat([h, waves], -1)))
        colour = bent(net.seen(torch.cat([net.feature(h), direction], -1)))
        return F.softplus(net.density(h)), torch.sigmoid(net.colour(colour))

    return Net(
        run, first=nn.Linear(12, 6), second=nn.Linear(18, 6), density=nn.Linear(6, 1),
        feature=nn.Linear(6, 3), seen=nn.Linear(6, 4), colour=nn.Linear(4, 3),
    )  # fmt: skip


@heldout("highway", (60, 6), scales=4, gap=0)
def highway() -> nn.Module:
    """Gates of each channel keep the channels apart: their scales (T₊(4))."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.into(x)
        gate = torch.sigmoid(net.gate(x))
        return net.head(gate * bent(net.change(x)) + (1 - gate) * x)

    return Net(
        run, into=nn.Linear(6, 4), gate=nn.Linear(4, 4), change=nn.Linear(4, 4),
        head=nn.Linear(4, 3),
    )  # fmt: skip


@heldout("weights made by a net", (12, N), (12, 2), scales=5 + 4)
def hypernetwork() -> nn.Module:
    """Relu units of the net that makes weights (T₊(5)), and of the layer whose weights they are:
    blocks of rows of `first` against columns in `second` (T₊(4))."""

    def run(net: Net, x: Tensor, task: Tensor) -> Tensor:
        code = torch.relu(net.code(task))
        first = net.first(code).unflatten(-1, (4, N))
        second = net.second(code).unflatten(-1, (2, 4))
        h = torch.relu(torch.einsum("boi,bi->bo", first, x))
        return torch.einsum("boi,bi->bo", second, h)

    return Net(run, code=nn.Linear(2, 5), first=nn.Linear(5, 12), second=nn.Linear(5, 8))


@heldout("functions on edges", (80, N), gap=0)
def kan() -> nn.Module:
    """Bumps of the hidden values pin them: nothing moves."""
    centres = torch.linspace(-2, 2, 4)

    def bumps(z: Tensor) -> Tensor:
        return torch.exp(-((z[..., None] - centres.to(z)) ** 2))

    def run(net: Net, x: Tensor) -> Tensor:
        h = torch.einsum("bik,iok->bo", bumps(x), net.first)
        return torch.einsum("bik,iok->bo", bumps(h), net.second)

    return Net(run, first=weight(N, 4, 4), second=weight(4, 2, 4))


@heldout("two of three experts, by masks", (40, N), scales=3 * 4, gap=N + 1)
def dense_experts() -> nn.Module:
    """Every expert's relu units (T₊(12)). A vector added to all rows of the router, and a number
    to its bias, shift all scores alike (4)."""

    def run(net: Net, x: Tensor) -> Tensor:
        scores = net.router(x)
        chosen = scores >= scores.topk(2, -1).values[:, -1:]
        gates = scores.masked_fill(~chosen, -torch.inf).softmax(-1)
        h = bent(torch.einsum("bi,eih->beh", x, net.up))
        return torch.einsum("be,beo->bo", gates, torch.einsum("beh,eho->beo", h, net.down))

    return Net(run, router=nn.Linear(N, 3), up=weight(3, N, 4), down=weight(3, 4, N))


@heldout("spectral norm", (40, N), scales=1, barriers=("matrix_H", "mv"))
def spectral() -> nn.Module:
    """The largest singular value takes the scale of the whole matrix away (T₊(1)), and with it that
    of single units."""
    layer = parametrizations.spectral_norm(nn.Linear(N, 4))
    return nn.Sequential(layer, nn.LeakyReLU(0.2), nn.Linear(4, 3))


@heldout("weight norm", (40, N), scales=4 + 4)
def weight_normed() -> nn.Module:
    """Rows of v are erased (T₊(4)); g and the bias against the next layer (T₊(4))."""
    layer = parametrizations.weight_norm(nn.Linear(N, 4))
    return nn.Sequential(layer, nn.LeakyReLU(0.2), nn.Linear(4, 3))


@heldout("complex signals", (40, N), scales=4, gap=4)
def complex_net() -> nn.Module:
    """Complex weights, read by modulus: the scales (T₊(4)); the phases are not looked for (4)."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = torch.complex(x, x**2 - 1) @ torch.view_as_complex(net.w)
        return net.out(z.abs())

    return Net(run, w=weight(N, 4, 2), out=nn.Linear(4, 3))


@heldout("adapter of low rank", (40, N), scales=4, linear=4, gap=10)
def lora() -> nn.Module:
    """x W + x A B: the space between A and B (GL(2)), relu units behind (T₊(4)): W, B and the bias
    against the head. W takes back whatever else changes A B (10)."""
    return Net(
        lambda n, x: n.head(bent(n.layer(x) + x @ n.a @ n.b)),
        layer=nn.Linear(N, 4), a=weight(N, 2), b=weight(2, 4), head=nn.Linear(4, 3),
    )  # fmt: skip


@heldout("operator net", (14, N), (13, 1), scales=5 + 4, linear=9)
def deeponet() -> nn.Module:
    """Branch and trunk meet in an inner product (GL(3)); relu units of both (T₊(5), T₊(4))."""
    return Net(
        lambda n, u, y: n.branch(bent(n.first(u))) @ n.trunk(bent(n.second(y))).T,
        first=nn.Linear(N, 5), branch=free(5, 3), second=nn.Linear(1, 4), trunk=free(4, 3),
    )  # fmt: skip


@heldout("affine coupling", (60, 4), scales=5 + 5, gap=0)
def coupling() -> nn.Module:
    """Half of the vector is scaled and shifted by nets of the other half, whose relu units are free
    (T₊(5) twice)."""

    def run(net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        scale = torch.tanh(net.scale(bent(net.first(a))))
        b = b * scale.exp() + net.shift(bent(net.second(a)))
        return torch.cat([a, b], -1), scale.sum(-1)

    return Net(
        run, first=nn.Linear(2, 5), scale=nn.Linear(5, 2), second=nn.Linear(2, 5),
        shift=nn.Linear(5, 2),
    )  # fmt: skip


@heldout("steps of an equation", (40, N), linear=16, gap=0)
def neural_ode() -> nn.Module:
    """The state is linear to both (GL(4)): into, both layers of the field, out."""

    def run(net: Net, x: Tensor) -> Tensor:
        h = net.into(x)

        def field(z: Tensor) -> Tensor:
            return net.down(torch.tanh(net.up(z)))

        for _ in range(2):
            k = field(h)
            h = h + 0.1 * (k + 2 * field(h + 0.05 * k))
        return net.out(h)

    return Net(run, into=free(N, 4), up=nn.Linear(4, 6), down=free(6, 4), out=free(4, 5))


@heldout("one layer many times", (40, N), scales=5, linear=16, gap=0)
def shared_depth() -> nn.Module:
    """Relu units of the layer that is used three times (T₊(5)), and the stream (GL(4))."""

    def run(net: Net, x: Tensor) -> Tensor:
        h = net.into(x)
        for _ in range(3):
            h = h + 0.3 * net.down(bent(net.up(h)))
        return net.out(h)

    return Net(run, into=free(N, 4), up=nn.Linear(4, 5), down=free(5, 4), out=free(4, 5))


@heldout("gated convolutions", (6, 2, 9), scales=3 + 4, gap=0)
def gated_convolutions() -> nn.Module:
    """a · σ(b): the halves a (T₊(3)), then relu channels (T₊(4))."""
    return nn.Sequential(
        nn.Conv1d(2, 6, 3), nn.GLU(1), nn.Conv1d(3, 4, 2), nn.LeakyReLU(0.2), nn.Conv1d(4, 3, 1)
    )


@heldout("straight through a code book", (40, N), scales=5, barriers=("detach",))
def quantised() -> nn.Module:
    """Where the gradient is stopped the code stands still: relu units of the decoder only (T₊(5)).
    Rotations of code and book leave the function alone, but not what training sees."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = net.code(x)
        nearest = torch.cdist(z.detach(), net.book.detach()).argmin(-1)
        chosen = net.book[nearest]
        z = z + (chosen - z).detach()
        return net.out(bent(net.decode(z)))

    return Net(
        run, code=nn.Linear(N, 2), book=weight(6, 2), decode=nn.Linear(2, 5), out=nn.Linear(5, 3)
    )


@heldout("upsampled and joined", (3, 2, 8, 8), scales=3 + 4 + 3 + 4, gap=0)
def unet() -> nn.Module:
    """Relu channels of each level (T₊): down, bottom, transposed convolution up, and behind the
    concatenation."""

    def run(net: Net, x: Tensor) -> Tensor:
        down = bent(net.down(x))
        bottom = bent(net.bottom(F.avg_pool2d(down, 2)))
        joined = torch.cat([down, bent(net.up(bottom))], 1)
        return net.head(bent(net.merge(joined)))

    return Net(
        run, down=nn.Conv2d(2, 3, 3, padding=1), bottom=nn.Conv2d(3, 4, 3, padding=1),
        up=nn.ConvTranspose2d(4, 3, 2, stride=2), merge=nn.Conv2d(6, 4, 1), head=nn.Conv2d(4, 2, 1),
    )  # fmt: skip


@heldout("sub-pixels", (4, 2, 4, 4), scales=3 + 2)
def subpixels() -> nn.Module:
    """Relu channels (T₊(3)); the blocks of four channels that become one (T₊(2))."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.2), nn.Conv2d(3, 8, 1), nn.PixelShuffle(2),
        nn.LeakyReLU(0.2), nn.Conv2d(2, 2, 1),
    )  # fmt: skip
