"""Scalings and diagonal Q against a plain copy of the parameters."""

import itertools
from collections.abc import Iterator

import torch
from torch import nn

import paramsym as ps
from benchmarks.resnet import ResNet50
from benchmarks.timing import Comparison, compare


def _perceptron() -> tuple[nn.Module, torch.Tensor]:
    """Six wide layers, 84 M parameters."""
    widths = (1024, 4096, 4096, 4096, 4096, 4096, 1024)
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(widths):
        layers += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1]), torch.randn(2, 1024)


def _resnet() -> tuple[nn.Module, torch.Tensor]:
    """161 small and middling parameters, 25.6 M in all."""
    return ResNet50(), torch.randn(2, 3, 64, 64)


def run() -> Iterator[Comparison]:
    """Time `act`, `conserved` and `tangent`; the copy clones every parameter."""
    for name, make in (("perceptron 84M", _perceptron), ("ResNet-50", _resnet)):
        torch.manual_seed(0)
        model, x = make()
        symmetry = ps.discover(model, (x,), verify=False)
        params = {k: p.detach() for k, p in model.named_parameters()}
        g = symmetry.sample()

        def copy(params: dict[str, torch.Tensor] = params) -> dict[str, torch.Tensor]:
            return {k: p.clone() for k, p in params.items()}

        for what, ours in (
            ("act", lambda s=symmetry, g=g, p=params: s.act(g, p)),
            ("conserved", lambda s=symmetry, p=params: s.conserved(p)),
        ):
            yield compare(f"{what}, {name} / copy", ours, copy, pairs=15, limit=2.0)
