"""Pooling and resampling between two convolutions."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net

SHAPES = {1: (16, 2, 12), 2: (10, 2, 8, 8), 3: (10, 2, 6, 6, 6)}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def between(d: int, pool: Callable[[Tensor], Tensor], *, relu: bool) -> nn.Module:
    """Convolution 2 → 3, the pooling, convolution 3 → 3."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.first(x)
        return net.second(pool(F.leaky_relu(x, 0.1) if relu else x))

    first = CONVOLUTIONS[d](2, 3, 2, bias=relu)
    return Net(run, first=first, second=CONVOLUTIONS[d](3, 3, 1))


def back(z: Tensor) -> Tensor:
    """Maxima where they were, zeros elsewhere."""
    return F.max_unpool2d(*F.max_pool2d(z, 2, return_indices=True), 2, output_size=z.shape[-2:])


MAXIMUM: list[tuple[str, int, Callable[[Tensor], Tensor]]] = [
    ("max pool 1d", 1, lambda z: F.max_pool1d(z, 2)),
    ("max pool 2d", 2, lambda z: F.max_pool2d(z, 3, stride=2, padding=1)),
    ("max pool 3d", 3, lambda z: F.max_pool3d(z, 2)),
    ("max pool with indices", 2, lambda z: F.max_pool2d(z, 2, return_indices=True)[0]),
    ("max pool, dilated, ceiling", 2, lambda z: F.max_pool2d(z, 2, 3, dilation=2, ceil_mode=True)),
    ("adaptive max pool 1d", 1, lambda z: F.adaptive_max_pool1d(z, 4)),
    ("adaptive max pool 2d", 2, lambda z: F.adaptive_max_pool2d(z, (3, 2))),
    ("adaptive max pool 3d", 3, lambda z: F.adaptive_max_pool3d(z, 2)),
    ("max pool and back", 2, back),
    ("dropped channels", 2, lambda z: F.dropout2d(z, 0.4, training=True)),
    ("largest along positions", 2, lambda z: z.amax(-1, keepdim=True)),
    ("largest by max", 2, lambda z: z.max(-1, keepdim=True).values),
]
AVERAGE: list[tuple[str, int, Callable[[Tensor], Tensor]]] = [
    ("average pool 1d", 1, lambda z: F.avg_pool1d(z, 2)),
    ("average pool 2d", 2, lambda z: F.avg_pool2d(z, 3, stride=2, padding=1)),
    ("average pool 3d", 3, lambda z: F.avg_pool3d(z, 2)),
    ("average pool, padding not counted", 2, lambda z: F.avg_pool2d(z, 2, 1, 1, False, False)),
    ("adaptive average pool 1d", 1, lambda z: F.adaptive_avg_pool1d(z, 4)),
    ("adaptive average pool 2d", 2, lambda z: F.adaptive_avg_pool2d(z, (3, 2))),
    ("adaptive average pool 3d", 3, lambda z: F.adaptive_avg_pool3d(z, 2)),
    ("mean over positions", 2, lambda z: z.mean(-1, keepdim=True)),
    ("nearest upsampling", 2, lambda z: F.interpolate(z, scale_factor=2, mode="nearest")),
    ("linear upsampling", 1, lambda z: F.interpolate(z, scale_factor=2, mode="linear")),
    ("bilinear upsampling", 2, lambda z: F.interpolate(z, size=(5, 9), mode="bilinear")),
    ("padding with zeros", 2, lambda z: F.pad(z, (1, 2, 0, 1))),
    ("cropping by negative padding", 2, lambda z: F.pad(z, (-1, -2, 0, -1))),
]

CASES = [
    *(
        Case(name, lambda d=d, f=f: between(d, f, relu=False), (SHAPES[d],), {"T₊(3)": 1})
        for name, d, f in MAXIMUM
    ),
    *(
        Case(name, lambda d=d, f=f: between(d, f, relu=False), (SHAPES[d],), {"GL(3)": 1})
        for name, d, f in AVERAGE
    ),
    *(
        Case(
            f"leaky relu, {name}",
            lambda d=d, f=f: between(d, f, relu=True),
            (SHAPES[d],),
            {"T₊(3)": 1},
        )
        for name, d, f in (*MAXIMUM[:2], *AVERAGE[:2])
    ),
    Case(
        "global average, flattened, linear",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)
        ),
        ((30, 2, 5, 5),),
        {"T₊(3)": 1},
    ),
    Case(
        "pooled and flattened: four pixels a channel",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        ),
        ((60, 2, 5, 5),),
        {"T₊(3)": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
