"""Models with a hidden space and data to draw references from, in float64."""

import torch
from torch import Tensor

from paramsym.data_dependent import HiddenSpace, hidden_space
from tests.data_dependent.test_hidden_space import MODELS

F64 = torch.float64
EPS = torch.finfo(F64).eps
NAMES = list(MODELS)
SCALE = 0.3
FEW = {"pixels": 1, "transformer block": 1}
"""References a member, where one gives many hidden states; 3 elsewhere."""


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def subject(name: str, pool: int = 40) -> tuple[HiddenSpace, Tensor]:
    """The hidden space, and a pool of as many samples."""
    torch.manual_seed(3)
    model, writer, readers, x = MODELS[name]()
    model = model.to(F64).eval()
    shape = (pool, *x.shape[1:])
    if x.is_floating_point():
        data = torch.randn(shape, generator=rng(1), dtype=F64)
    else:
        # Different tokens in a sample, because equal ones have equal hidden states.
        data = torch.rand(pool, 11, generator=rng(1)).argsort(1)[:, : shape[1]]
    return hidden_space(model, writer, readers, (data[:5],)), data


def few(name: str) -> int:
    """k: fewer than h hidden states, where kinds differ from each other."""
    return FEW.get(name, 3)
