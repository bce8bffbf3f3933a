"""Layers of random models of images: parameters that stand along channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Run = Callable[[Any, Tensor], Tensor]
Shapes = Callable[[int], tuple[tuple[int, ...], ...]]


def norm_of_channels(s: Any, z: Tensor) -> Tensor:
    centred = z - z.mean(1, keepdim=True)
    z = centred / (centred.square().mean(1, keepdim=True) + s.eps).sqrt()
    return s.weights[0][:, None, None] * z + s.weights[1][:, None, None]


def scaled(s: Any, z: Tensor) -> Tensor:
    return z * s.weights[0]


def scaled_branch(s: Any, z: Tensor) -> Tensor:
    return z + s.weights[0] * F.conv2d(z, s.weights[1])


def squeezed(s: Any, z: Tensor) -> Tensor:
    return z * torch.sigmoid(F.conv2d(z.mean((2, 3), keepdim=True), s.weights[0]))


def modulated(s: Any, z: Tensor) -> Tensor:
    made = F.conv2d(torch.tanh(z.mean((2, 3), keepdim=True)), s.weights[0], s.weights[1])
    scale, shift = made.chunk(2, 1)
    return z * (scale + 1) + shift


def standardised_weight(s: Any, z: Tensor) -> Tensor:
    w = torch.cat([s.weights[0], s.weights[0].roll(1, 0).square()], 1)
    w = w - w.mean((1, 2, 3), keepdim=True)
    return F.conv2d(torch.cat([z, z], 1), w / w.square().sum((1, 2, 3), keepdim=True).sqrt())


def response_norm(s: Any, z: Tensor) -> Tensor:
    return z + s.weights[0] * z * z.norm(dim=(2, 3), keepdim=True) + s.weights[1]


LAYERS: dict[str, tuple[Run, Shapes]] = {
    "norm of channels": (norm_of_channels, lambda c: ((c,), (c,))),
    "scale of channels": (scaled, lambda c: ((c, 1, 1),)),
    "scaled branch": (scaled_branch, lambda c: ((c, 1, 1), (c, c, 1, 1))),
    "squeezed": (squeezed, lambda c: ((c, c, 1, 1),)),
    "modulated": (modulated, lambda c: ((2 * c, c, 1, 1), (2 * c,))),
    "standardised weight": (standardised_weight, lambda c: ((2, c, 1, 1),)),
    "response norm": (response_norm, lambda c: ((c, 1, 1), (c, 1, 1))),
}
