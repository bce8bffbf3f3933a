"""Parameters of the same structure with nothing special about them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from paramsym.discovery.recording import Recording
from paramsym.discovery.replaying import widen

NUDGE = 8 * torch.finfo(torch.float64).eps
"""Relative size of a step that changes parameters by no more than rounding does."""


def own_params(recording: Recording) -> dict[str, Tensor]:
    """The model's own parameters, in float64."""
    return {name: widen(p) for name, p in recording.state.items()}


def generic_params(recording: Recording, generator: torch.Generator) -> dict[str, Tensor]:
    """Random parameters: matrices normal with variance 1/fan-in, and vectors of modulus 1/2 to 3/2,
    none near the zero at which an action may not exist. Biases are a quarter of that, by which
    fewer units are dead. What is no real number stays as it is; tied parameters are one."""
    return {
        p.name: _drawn(widen(recording.state[p.name]), "bias" in p.name, generator)
        for p in recording.parameters
    }


def _drawn(p: Tensor, is_bias: bool, generator: torch.Generator) -> Tensor:
    if not p.is_floating_point():
        return p
    if p.ndim > 1:
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        return noise / math.sqrt(max(1, p[:1].numel()))
    size = 0.5 + torch.rand(p.shape, generator=generator, dtype=torch.float64)
    sign = torch.randint(0, 2, p.shape, generator=generator, dtype=torch.float64)
    return size * (2 * sign - 1) * (0.25 if is_bias else 1.0)


def jittered_params(recording: Recording, generator: torch.Generator) -> dict[str, Tensor]:
    """The model's own parameters, each entry changed by up to a half of the usual size: for models
    that are not finite at wholly random ones."""
    drawn = generic_params(recording, generator)
    return {
        name: p + 0.3 * drawn[name] * _size(p) if p.is_floating_point() else p
        for name, p in own_params(recording).items()
    }


def _size(p: Tensor) -> float:
    return float(p.square().mean().sqrt()) or 1.0


def nudged(params: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters that differ by rounding."""
    return {
        name: p
        * (1 + NUDGE * torch.randn(p.shape, generator=generator, dtype=torch.float64).sign())
        if p.is_floating_point()
        else p
        for name, p in params.items()
    }
