"""Small copies of known architectures: the group's dimension as a formula of their widths."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.nets import MLP, DigitsCNN, TinyResNet
from tests.discover.checking import (
    Args,
    Net,
    assert_sound,
    detached,
    generic,
    groups,
    without_eps,
)


def scales(*widths: int) -> int:
    """Dimension of positive scalings of hidden layers."""
    return sum(widths)


def linear(*widths: int) -> int:
    """Dimension of GL of hidden spaces."""
    return sum(n * n for n in widths)


def rotations(*widths: int) -> int:
    """Dimension of O of hidden spaces."""
    return sum(n * (n - 1) // 2 for n in widths)


def shifts(*widths: int) -> int:
    """Dimension of shifts that a norm removes or a later bias takes up."""
    return sum(widths)


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3),
    )  # fmt: skip


class Basic(nn.Module):
    """Two 3×3 convolutions beside an identity."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(n, n, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(n), nn.BatchNorm2d(n)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions beside a projection."""

    def __init__(self, n: int, inner: int, m: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, k, padding=k // 2, bias=False)
            for a, b, k in ((n, inner, 1), (inner, inner, 3), (inner, m, 1), (n, m, 1))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (inner, inner, m, m))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.convs[0](x)))
        y = F.relu(self.norms[1](self.convs[1](y)))
        return F.relu(self.norms[2](self.convs[2](y)) + self.norms[3](self.convs[3](x)))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), Basic(4),
        Bottleneck(4, 3, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


def densenet() -> nn.Module:
    """Pre-activation: every layer reads the concatenation of all before it."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x)
        for norm, conv in zip(net.norms, net.convs, strict=True):
            x = torch.cat([x, conv(F.relu(norm(x)))], 1)
        return net.head(F.relu(net.last(x)).mean((2, 3)))

    return Net(
        run,
        stem=nn.Conv2d(3, 4, 3, bias=False),
        norms=nn.ModuleList(nn.BatchNorm2d(4 + 2 * i) for i in range(3)),
        convs=nn.ModuleList(nn.Conv2d(4 + 2 * i, 2, 3, padding=1, bias=False) for i in range(3)),
        last=nn.BatchNorm2d(10),
        head=nn.Linear(10, 3),
    )


def mobilenet(relu6: bool) -> nn.Module:
    """Inverted residual: expand, depthwise, project; a linear bottleneck beside an identity."""

    def run(net: Net, x: Tensor) -> Tensor:
        act = F.relu6 if relu6 else F.relu
        x = net.stem(x)
        y = act(net.n1(net.expand(x)))
        y = act(net.n2(net.depth(y)))
        return net.head((x + net.n3(net.project(y))).mean((2, 3)))

    return Net(
        run,
        stem=nn.Conv2d(3, 4, 3, bias=False),
        expand=nn.Conv2d(4, 8, 1, bias=False),
        n1=nn.BatchNorm2d(8),
        depth=nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        n2=nn.BatchNorm2d(8),
        project=nn.Conv2d(8, 4, 1, bias=False),
        n3=nn.BatchNorm2d(4),
        head=nn.Linear(4, 3),
    )


def unet() -> nn.Module:
    """Down, bottom, transposed up, with the first level concatenated."""

    def run(net: Net, x: Tensor) -> Tensor:
        a = F.relu(net.down(x))
        b = F.relu(net.bottom(F.max_pool2d(a, 2)))
        up = F.relu(net.up(b))
        return net.head(F.relu(net.merge(torch.cat([a, up], 1))))

    return Net(
        run,
        down=nn.Conv2d(2, 4, 3, padding=1),
        bottom=nn.Conv2d(4, 6, 3, padding=1),
        up=nn.ConvTranspose2d(6, 5, 2, stride=2),
        merge=nn.Conv2d(9, 3, 3, padding=1),
        head=nn.Conv2d(3, 2, 1),
    )


def convnext() -> nn.Module:
    """Depthwise 7×7, layer norm over channels, GELU in an expanded space, a layer scale."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x)
        y = net.norm(net.depth(x).permute(0, 2, 3, 1))
        y = net.gamma * net.project(F.gelu(net.expand(y)))
        return net.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))

    return Net(
        run,
        stem=nn.Conv2d(3, 4, 2, stride=2),
        depth=nn.Conv2d(4, 4, 7, padding=3, groups=4),
        norm=nn.LayerNorm(4),
        expand=nn.Linear(4, 16),
        project=nn.Linear(16, 4),
        gamma=nn.Parameter(torch.rand(4)),
        head=nn.Linear(4, 3),
    )


def vae() -> nn.Module:
    """Encoder to mean and log-variance, a sample, decoder; the bound's two parts as outputs."""

    def run(net: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(net.encoder(x))
        mean, logvar = net.mean(h), net.logvar(h)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        divergence = (mean.square() + logvar.exp() - logvar).sum(-1)
        return net.out(F.relu(net.decoder(z))), divergence

    return Net(
        run,
        encoder=nn.Linear(6, 7),
        mean=nn.Linear(7, 2),
        logvar=nn.Linear(7, 2),
        decoder=nn.Linear(2, 5),
        out=nn.Linear(5, 6),
    )


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 16), nn.Unflatten(1, (4, 2, 2)), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
        nn.ConvTranspose2d(3, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def temporal() -> nn.Module:
    """Dilated causal convolutions with residual sums."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.stem(x)
        for i, (a, b) in enumerate(zip(net.a, net.b, strict=True)):
            y = F.relu(a(F.pad(x, (2 * 2**i, 0))))
            x = x + b(y)
        return net.head(x[:, :, -1])

    return Net(
        run,
        stem=nn.Conv1d(2, 3, 1, bias=False),
        a=nn.ModuleList(nn.Conv1d(3, 5, 3, dilation=2**i) for i in range(2)),
        b=nn.ModuleList(nn.Conv1d(5, 3, 1, bias=False) for _ in range(2)),
        head=nn.Linear(3, 2),
    )


def volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 3, 2), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(3, 4, 2), nn.ReLU(),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip


def pointnet() -> nn.Module:
    """A layer shared by all points, the maximum over them, and a learned 3×3 alignment."""

    def run(net: Net, points: Tensor) -> Tensor:
        frame = net.frame(F.relu(net.align(points)).amax(1)).view(-1, 3, 3)
        z = F.relu(net.b(F.relu(net.a(points @ frame))))
        return net.head(z.amax(1))

    return Net(
        run,
        align=nn.Linear(3, 4),
        frame=nn.Linear(4, 9),
        a=nn.Linear(3, 5),
        b=nn.Linear(5, 6),
        head=nn.Linear(6, 2),
    )


def siamese() -> nn.Module:
    """One encoder for two inputs, compared by distance: rotations of the code."""

    def run(net: Net, x: Tensor, y: Tensor) -> Tensor:
        p, q = (net.code(F.relu(net.encoder(z))) for z in (x, y))
        return (p - q).square().sum(-1)

    return Net(run, encoder=nn.Linear(4, 6), code=nn.Linear(6, 3))


def autoencoder() -> nn.Module:
    """Tied weights around a linear code."""
    return Net(
        lambda n, x: F.linear(n.code(x), n.code.weight.t()), code=nn.Linear(6, 3, bias=False)
    )


def squeeze_excite() -> nn.Module:
    def run(net: Net, x: Tensor) -> Tensor:
        y = F.relu(net.conv(x))
        gate = torch.sigmoid(net.up(F.relu(net.down(y.mean((2, 3))))))
        return net.head((y * gate[:, :, None, None]).mean((2, 3)))

    return Net(
        run,
        conv=nn.Conv2d(2, 5, 3),
        down=nn.Linear(5, 3),
        up=nn.Linear(3, 5),
        head=nn.Linear(5, 2),
    )


def inception() -> nn.Module:
    """Parallel convolutions of several sizes, concatenated."""

    def run(net: Net, x: Tensor) -> Tensor:
        branches = [F.relu(b(x)) for b in net.branches]
        pooled = F.relu(net.pooled(F.avg_pool2d(x, 3, 1, 1)))
        return net.head(F.relu(net.mix(torch.cat([*branches, pooled], 1))).mean((2, 3)))

    return Net(
        run,
        branches=nn.ModuleList(
            nn.Conv2d(2, c, k, padding=k // 2) for c, k in ((2, 1), (3, 3), (4, 5))
        ),
        pooled=nn.Conv2d(2, 2, 1),
        mix=nn.Conv2d(11, 6, 1),
        head=nn.Linear(6, 3),
    )


IMAGE = (inputs(4, 3, 8, 8),)
MODELS: dict[str, tuple[Callable[[], nn.Module], Args, int]] = {
    "VGG": (vgg, IMAGE, scales(4, 5, 6, 7)),
    "ResNet: 2 an inner channel, and the stream's": (
        resnet,
        IMAGE,
        scales(4, 4, 4, 4) + scales(3, 3, 3, 3) + scales(6, 6) + scales(4, 6) + shifts(6),
    ),
    "DenseNet: each convolution's rows, each norm's channels": (
        densenet,
        IMAGE,
        scales(4, 2, 2, 2) + scales(4, 6, 8, 10),
    ),
    "MobileNet with relu: stream, and two an inner channel": (
        lambda: mobilenet(relu6=False),
        IMAGE,
        scales(8, 8) + scales(8, 8) + scales(4, 4) + shifts(4),
    ),
    "MobileNet with relu6: what the norms erase, and the stream": (
        lambda: mobilenet(relu6=True),
        IMAGE,
        scales(8, 8) + scales(4, 4) + shifts(4),
    ),
    "U-Net": (unet, (inputs(3, 2, 8, 8),), scales(4, 6, 5, 3)),
    "ConvNeXt: stream, branch against layer scale, gain of the norm, and what it erases": (
        convnext,
        IMAGE,
        # The bias in front of the norm, 1/γ of its reader, its bias, the bias of the stream.
        scales(4, 4, 4, 1) + shifts(1, 16, 4, 4),
    ),
    "VAE": (vae, (inputs(5, 6),), scales(7, 5)),
    "GAN generator": (generator, (inputs(6, 5),), scales(4, 4) + scales(3, 3) + shifts(4)),
    "temporal convolutions": (temporal, (inputs(4, 2, 9),), linear(3) + scales(5, 5)),
    "3-d convolutions": (volumes, (inputs(3, 1, 6, 6, 6),), scales(3, 4)),
    "PointNet: layers, and of the frame's GL(3) the scales": (
        pointnet,
        (inputs(4, 7, 3),),
        scales(4, 5, 6) + scales(3),
    ),
    "siamese": (siamese, (inputs(5, 4), inputs(5, 4).flip(0)), scales(6) + rotations(3)),
    "tied autoencoder": (autoencoder, (inputs(9, 6),), rotations(3)),
    "squeeze and excite": (squeeze_excite, (inputs(4, 2, 6, 6),), scales(5, 3)),
    "Inception": (inception, (inputs(4, 2, 6, 6),), scales(2, 3, 4, 2, 6)),
    "the demo's CNN": (
        lambda: DigitsCNN(channels=(3, 4), hidden=6, rank=3),
        (inputs(4, 1, 8, 8),),
        scales(3, 4, 6) + linear(3) + shifts(3),
    ),
    "the demo's ResNet": (
        lambda: TinyResNet(4),
        (inputs(4, 3, 16, 16),),
        scales(4, 4) + scales(4, 4) + scales(4) + scales(8, 8) + scales(8, 8, 8) + shifts(8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_group_dimension(name: str) -> None:
    """As the formula says; every family verified, sound, and effective: the group's dimension is
    the orbit's."""
    build, args, expected = MODELS[name]
    model = generic(build())
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert symmetry.barriers == ()
    assert symmetry.group_dim == expected
    exact = without_eps(model)
    assert_sound(exact, args, symmetry)
    assert symmetry.orbit_dim(detached(exact)) == symmetry.dim == expected


H = (5, 4)
PAPER: list[tuple[str, dict[str, int]]] = [
    ("identity", {"GL(5)": 1, "GL(4)": 1}),
    ("relu", {"T₊(5)": 1, "T₊(4)": 1}),
    ("relu^2", {"T₊(5)": 1, "T₊(4)": 1}),
    ("relu^1.5", {"T₊(5)": 1, "T₊(4)": 1}),
    ("leaky_relu", {"T₊(5)": 1, "T₊(4)": 1}),
    ("abs", {"T₊(5)": 1, "T₊(4)": 1}),
    ("radial", {"O(5)": 1, "O(4)": 1}),
    ("tanh", {}),
    ("sigmoid", {}),
    ("softplus", {}),
    ("elu", {}),
    ("gelu", {}),
    ("silu", {}),
    ("sin", {}),
]


@pytest.mark.parametrize(("activation", "expected"), PAPER, ids=[p[0] for p in PAPER])
@pytest.mark.parametrize("bias", [True, False])
def test_the_papers_networks(activation: str, expected: dict[str, int], bias: bool) -> None:
    """F(x) = W₃ σ(W₂ σ(W₁ x + b₁) + b₂) + b₃: the group of each hidden space; without an
    activation, each bias takes up the shifts of the one before too."""
    model = generic(MLP((6, *H, 5), activation, bias=bias))
    args = (inputs(20, 6),)
    symmetry = ps.discover(model, args)
    absorbed = {"R^5": 1, "R^4": 1} if bias and activation == "identity" else {}
    assert groups(symmetry) == {**expected, **absorbed}
    assert symmetry.barriers == ()
    assert_sound(model, args, symmetry)
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim == symmetry.group_dim
    for family in symmetry:
        if not family.ports:
            continue
        alpha = {"relu^2": 2.0, "relu^1.5": 1.5}.get(activation, 1.0)
        assert {port.degree for port in family.ports if port.dual} == {alpha}
        assert {port.degree for port in family.ports if not port.dual} == {1.0}
        biases = {port.parameter for port in family.ports if port.parameter.endswith("bias")}
        assert len(biases) == bias


class WithMask(nn.Module):
    """Scores, and which of them are positive."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.layers(x)
        return scores, scores > 0, scores.argmax(-1)


def test_outputs_that_are_no_numbers_must_be_equal() -> None:
    symmetry = ps.discover(WithMask(), (torch.randn(5, 3),))
    assert symmetry.group_dim == 4
    assert symmetry.verification is not None
    assert symmetry.verification.holds
    assert not symmetry.verification.withdrawn
