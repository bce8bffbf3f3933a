"""Group elements and Q against a plain copy of the parameters."""

import itertools
from collections.abc import Iterator

import torch
from torch import nn

import paramsym as ps
from benchmarks import gpt2
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


def _cases() -> Iterator[tuple[str, ps.Symmetry, dict[str, torch.Tensor], float]]:
    """Name, symmetry, parameters, and how many times a copy `act` may take."""
    for name, make in (("perceptron 84M", _perceptron), ("ResNet-50", _resnet)):
        torch.manual_seed(0)
        model, x = make()
        symmetry = ps.discover(model, (x,), verify=False)
        yield name, symmetry, {k: p.detach() for k, p in model.named_parameters()}, 2.0
    params = gpt2.parameters(torch.Generator().manual_seed(0))
    yield "GPT-2 124M", gpt2.symmetry(params), params, 3.0


def run() -> Iterator[Comparison]:
    """Time `act` and `conserved`; the copy clones every parameter."""
    for name, symmetry, params, limit in _cases():
        g = symmetry.sample()

        def copy(params: dict[str, torch.Tensor] = params) -> dict[str, torch.Tensor]:
            return {k: p.clone() for k, p in params.items()}

        for what, ours, most in (
            ("act", lambda s=symmetry, g=g, p=params: s.act(g, p), limit),
            ("conserved", lambda s=symmetry, p=params: s.conserved(p), 2.0),
        ):
            yield compare(f"{what}, {name} / copy", ours, copy, pairs=15, limit=most)
