"""Hand-written networks, each for an op or a pattern that the published ones do not have."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from tests.zoo.registry import Made, model

Activation = Callable[[Tensor], Tensor]


class Layers(nn.Module):
    """A multilayer perceptron with any function between its layers."""

    def __init__(self, activation: Activation, widths: tuple[int, ...] = (5, 11, 13, 3)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def layers(activation: Activation) -> Made:
    return Layers(activation).eval(), (torch.randn(4, 5),)


model("mlp-relu", ci=True)(lambda: layers(torch.relu))
model("mlp-identity", ci=True)(lambda: layers(lambda x: x))
model("mlp-relu-squared")(lambda: layers(lambda x: torch.relu(x) ** 2))
model("mlp-gelu")(lambda: layers(F.gelu))
model("mlp-tanh")(lambda: layers(torch.tanh))
model("mlp-radial")(lambda: layers(lambda x: x * torch.tanh(x.norm(dim=-1, keepdim=True))))


class Gated(nn.Module):
    """A gated feed-forward layer: act(gate) · up, then down."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(10, 4)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


model("geglu", ci=True)(lambda: (Gated(F.gelu).eval(), (torch.randn(3, 6),)))
model("reglu", ci=True)(lambda: (Gated(torch.relu).eval(), (torch.randn(3, 6),)))
model("bilinear")(lambda: (Gated(lambda x: x).eval(), (torch.randn(3, 6),)))


@model("cnn", ci=True)
def cnn() -> Made:
    features = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features += [nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.LeakyReLU()]
    head = [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 5)]
    return nn.Sequential(*features, *head).eval(), (torch.randn(2, 3, 16, 16),)


class UNet(nn.Module):
    """Two scales, skip connections by concatenation, transposed convolutions."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down1 = self.block(3, width)
        self.down2 = self.block(width, 2 * width)
        self.middle = self.block(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = self.block(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = self.block(2 * width, width)
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def block(n_in: int, n_out: int) -> nn.Sequential:
        first = [nn.Conv2d(n_in, n_out, 3, padding=1), nn.GroupNorm(4, n_out), nn.SiLU()]
        second = [nn.Conv2d(n_out, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
        return nn.Sequential(*first, *second)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        y = self.middle(F.max_pool2d(b, 2))
        y = self.join2(torch.cat([self.up2(y), b], 1))
        y = self.join1(torch.cat([self.up1(y), a], 1))
        return self.head(y)


model("unet", ci=True)(lambda: (UNet().eval(), (torch.randn(2, 3, 16, 16),)))


class Autoencoder(nn.Module):
    """A variational autoencoder; its noise is an input."""

    def __init__(self) -> None:
        super().__init__()
        down = [nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 4, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean, self.log_variance = nn.Linear(192, 6), nn.Linear(192, 6)
        up = [nn.ConvTranspose2d(12, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1)]
        self.widen, self.decoder = nn.Linear(6, 192), nn.Sequential(*up, nn.Sigmoid())

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        h = self.encoder(x)
        z = self.mean(h) + torch.exp(0.5 * self.log_variance(h)) * noise
        return self.decoder(self.widen(z).view(-1, 12, 4, 4))


model("vae")(lambda: (Autoencoder().eval(), (torch.randn(2, 1, 16, 16), torch.randn(2, 6))))


class Branch(nn.Module):
    """Control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        if h.sum() > 0:
            h = torch.relu(self.second(h))
        return self.third(h)


model("branch", ci=True)(lambda: (Branch().eval(), (torch.randn(4, 5),)))


class Fused(nn.Module):
    """Attention from one projection of queries, keys and values, by einsum."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 5)
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        y = self.qkv(x)
        if self.layout == "interleaved":  # (head, [q, k, v], coordinate)
            q, k, v = y.unflatten(-1, (3, 3, 4)).unbind(-2)
        else:
            q, k, v = y.unflatten(-1, (3, 3, 4)).unbind(-3)
        weights = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
        return self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(-2))


model("fused-blocks", ci=True)(lambda: (Fused("blocks").eval(), (torch.randn(2, 6, 12),)))
model("fused-interleaved")(lambda: (Fused("interleaved").eval(), (torch.randn(2, 6, 12),)))


@model("weight-norm", ci=True)
def normalised_weights() -> Made:
    first, second = weight_norm(nn.Linear(5, 9)), nn.Linear(9, 3)
    return nn.Sequential(first, nn.ReLU(), second).eval(), (torch.randn(4, 5),)


@model("spectral-norm")
def normalised_spectrum() -> Made:
    first, second = spectral_norm(nn.Linear(5, 9)), nn.Linear(9, 3)
    return nn.Sequential(first, nn.ReLU(), second).eval(), (torch.randn(4, 5),)


class Scaled(nn.Module):
    """A residual block with a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
        self.norm, self.up, self.down = nn.RMSNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)
        self.gain = nn.Parameter(torch.full((8,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        return self.head(h + self.gain * self.down(torch.relu(self.up(self.norm(h)))))


model("layer-scale")(lambda: (Scaled().eval(), (torch.randn(4, 5),)))


class Spectrum(nn.Module):
    """A Fourier layer with complex weights between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.project = nn.Conv1d(2, 6, 1), nn.Conv1d(6, 2, 1)
        self.weight = nn.Parameter(torch.randn(6, 6, 5, dtype=torch.cfloat) / 6)

    def forward(self, x: Tensor) -> Tensor:
        modes = torch.fft.rfft(self.lift(x))[..., :5]
        mixed = torch.einsum("bik,iok->bok", modes, self.weight)
        return self.project(torch.fft.irfft(mixed, n=x.shape[-1]))


model("fourier")(lambda: (Spectrum().eval(), (torch.randn(2, 2, 16),)))


class Siamese(nn.Module):
    """One encoder on two inputs, and an embedding shared with the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Embedding(12, 6), nn.Linear(6, 6, bias=False)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.encoder(self.embed(left)), self.encoder(self.embed(right))
        return (a - b) @ self.embed.weight.T


@model("shared")
def shared() -> Made:
    return Siamese().eval(), (torch.arange(5), torch.arange(5, 10))
