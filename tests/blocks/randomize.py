"""Generic parameters for a model: nothing is zero, one, or equal by initialisation."""

import torch
from torch import nn


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in float64 with Gaussian weights, and gains away from zero of either sign."""
    rng = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=rng, dtype=p.dtype)
            is_gain = p.ndim == 1 and name.endswith("weight")
            p.copy_(noise.sign() + 0.3 * noise if is_gain else 0.5 * noise)
    return model
