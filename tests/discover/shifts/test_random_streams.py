"""Shifts of random models of sequences: none is false, before any check, and none counts twice."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paramsym.action import act
from paramsym.discovery.front_ends import record
from paramsym.discovery.replaying import replay
from paramsym.discovery.shifting import shift_families
from paramsym.orbit_dimension import tangent_rank

WIDTH, LENGTH = 4, 4
Parameter = Callable[..., Tensor]
Layer = Callable[[Parameter, Tensor, Tensor], Tensor]


def parts_swapped(a: Tensor) -> Tensor:
    return a.unflatten(-1, (2, a.shape[-1] // 2)).transpose(-1, -2).flatten(-2)


LAYERS: list[Layer] = [
    lambda p, a, b: F.linear(a, p(WIDTH, a.shape[-1]), p(WIDTH)),
    lambda p, a, b: F.linear(a, p(WIDTH, a.shape[-1])),
    lambda p, a, b: F.layer_norm(a, a.shape[-1:], p(a.shape[-1]), p(a.shape[-1])),
    lambda p, a, b: F.layer_norm(a, a.shape[-1:]),
    lambda p, a, b: F.group_norm(a.mT, 2, p(a.shape[-1]), p(a.shape[-1])).mT,
    lambda p, a, b: torch.tanh(a),
    lambda p, a, b: a + b if a.shape == b.shape else a,
    lambda p, a, b: torch.cat([a, b], -1) if a.shape[1] == b.shape[1] else a,
    lambda p, a, b: torch.cat([a, b], 1) if a.shape[2] == b.shape[2] else a,
    lambda p, a, b: a[:, ::2],
    lambda p, a, b: a.softmax(-1),
    lambda p, a, b: a + p(a.shape[1], a.shape[-1]),
    lambda p, a, b: a * p(a.shape[-1]),
    lambda p, a, b: (a @ a.mT).softmax(-1) @ a,
    lambda p, a, b: a.mean(1, keepdim=True).expand_as(a) + a,
    lambda p, a, b: parts_swapped(a),
]


class Stream(nn.Module):
    """Layers drawn by a seed, each of one or two values before it."""

    def __init__(self, seed: int, x: Tensor) -> None:
        super().__init__()
        self.seed = seed
        self.made = nn.ParameterList()
        self.is_built = False
        self(x)
        self.is_built = True

    def forward(self, x: Tensor) -> Tensor:
        draw, weights = random.Random(self.seed), iter(self.made)

        def parameter(*shape: int) -> Tensor:
            if self.is_built:
                return next(weights)
            self.made.append(nn.Parameter(torch.randn(*shape, dtype=torch.float64)))
            return self.made[-1]

        values = [x @ parameter(3, WIDTH) + parameter(WIDTH)]
        for _ in range(draw.randint(3, 8)):
            a, b = draw.choice(values[-3:]), draw.choice(values[-3:])
            values.append(draw.choice(LAYERS)(parameter, a, b)[:, : 2 * LENGTH, : 4 * WIDTH])
        last = values[-1]
        return torch.tanh(F.linear(last, parameter(3, last.shape[-1]), parameter(3))).sum(1)


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_no_family_is_false(start: int) -> None:
    found = 0
    for seed in range(start, start + 10):
        torch.manual_seed(seed)
        x = torch.randn(5, LENGTH, 3, dtype=torch.float64)
        recording = record(Stream(seed, x), (x,), {})
        families = shift_families(recording, strict=True)
        params, inputs = recording.state, recording.inputs
        before = replay(recording, params, inputs)
        for family in families:
            g = family.group.sample(0.3, generator=torch.Generator().manual_seed(seed))
            after = replay(recording, act([(family, g)], params), inputs)
            for y, z in zip(before, after, strict=True):
                assert (y - z).abs().max() <= 1e-10 * (1 + y.abs().max()), (seed, family.name)
        if families:
            assert tangent_rank(families, params) == sum(f.dim for f in families), seed
        found += len(families)
    assert found >= 5
