"""Convolutions in one, two and three dimensions."""

import pytest
from torch import nn

from tests.discover.cases import Case, check

PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
SIZES = {1: (13,), 2: (7, 6), 3: (5, 4, 5)}


def pair(d: int, *, middle: nn.Module | None = None, **options: object) -> nn.Module:
    """Two convolutions, 2 → 3 → 3 channels, around an activation."""
    first = PLAIN[d](2, 3, 3, bias=False, **options)  # type: ignore[arg-type]
    second = PLAIN[d](3, 3, 1)
    return nn.Sequential(first, second) if middle is None else nn.Sequential(first, middle, second)


def upwards(d: int, *, middle: nn.Module | None = None, **options: object) -> nn.Module:
    """A transposed convolution and a plain one."""
    first = TRANSPOSED[d](2, 3, 3, bias=False, **options)  # type: ignore[arg-type]
    second = PLAIN[d](3, 3, 1)
    return nn.Sequential(first, second) if middle is None else nn.Sequential(first, middle, second)


CASES = [
    *(
        Case(f"{d}-d, linear", lambda d=d: pair(d), ((8, 2, *SIZES[d]),), {"GL(3)": 1})
        for d in (1, 2, 3)
    ),
    *(
        Case(
            f"{d}-d, relu",
            lambda d=d: pair(d, middle=nn.ReLU()),
            ((14, 2, *SIZES[d]),),
            {"T₊(3)": 1},
        )
        for d in (1, 2, 3)
    ),
    *(
        Case(
            f"{d}-d transposed, relu",
            lambda d=d: upwards(d, middle=nn.ReLU()),
            ((5, 2, *SIZES[d]),),
            {"T₊(3)": 1},
        )
        for d in (1, 2, 3)
    ),
    *(
        Case(
            f"{d}-d transposed, linear", lambda d=d: upwards(d), ((4, 2, *SIZES[d]),), {"GL(3)": 1}
        )
        for d in (1, 2, 3)
    ),
    Case(
        "stride, padding, dilation",
        lambda: pair(2, middle=nn.ReLU(), stride=2, padding=2, dilation=2),
        ((12, 2, 9, 8),),
        {"T₊(3)": 1},
    ),
    Case(
        "padding by name and by reflection",
        lambda: pair(2, middle=nn.ReLU(), padding="same", padding_mode="reflect"),
        ((5, 2, 6, 6),),
        {"T₊(3)": 1},
    ),
    Case(
        "circular padding of a hidden space",
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 3, bias=False),
            nn.ReLU(),
            nn.Conv1d(3, 2, 3, padding=1, padding_mode="circular"),
        ),
        ((6, 2, 9),),
        {"T₊(3)": 1},
    ),
    Case(
        "transposed with stride and output padding",
        lambda: upwards(2, middle=nn.ReLU(), stride=2, output_padding=1),
        ((5, 2, 4, 4),),
        {"T₊(3)": 1},
    ),
    Case(
        "biases scale along",
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)),
        ((10, 2, 7, 7),),
        {"T₊(4)": 1},
    ),
    Case(
        "grouped reader: a space for each group",
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 3, groups=2, bias=False)
        ),
        ((10, 3, 6, 6),),
        {"GL(2) × 2": 1},
    ),
    Case(
        "grouped writer: a space for each group",
        lambda: nn.Sequential(
            nn.Conv2d(4, 4, 3, groups=2, bias=False), nn.Conv2d(4, 5, 1, bias=False)
        ),
        ((10, 4, 6, 6),),
        {"GL(2) × 2": 1},
    ),
    Case(
        "grouped twice, unequal groups",
        lambda: nn.Sequential(
            nn.Conv1d(6, 6, 3, groups=3, bias=False), nn.Conv1d(6, 6, 3, groups=2, bias=False)
        ),
        ((12, 6, 12),),
        {"GL(2) × 2": 1, "T₊(2)": 1},
    ),
    Case(
        "grouped, relu",
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2)
        ),
        ((10, 4, 7, 7),),
        {"T₊(6)": 1},
    ),
    Case(
        "depthwise between pointwise",
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=4),
            nn.ReLU(),
            nn.Conv2d(4, 2, 1),
        ),
        ((14, 2, 7, 7),),
        {"T₊(4)": 2},
    ),
    Case(
        "depthwise with a multiplier",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 1),
            nn.ReLU(),
            nn.Conv2d(3, 6, 3, groups=3),
            nn.ReLU(),
            nn.Conv2d(6, 2, 1),
        ),
        ((14, 2, 7, 7),),
        {"T₊(3)": 1, "T₊(6)": 1},
    ),
    Case(
        "depthwise and pointwise without activation: scales only",
        lambda: nn.Sequential(
            nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Conv2d(3, 4, 1, bias=False)
        ),
        ((10, 3, 6, 6),),
        {"T₊(3)": 1},
    ),
    Case(
        "transposed and grouped",
        lambda: nn.Sequential(
            nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 2, 3, groups=2)
        ),
        ((8, 4, 5, 5),),
        {"T₊(6)": 1},
    ),
    Case(
        "transposed reader of a linear space, grouped",
        lambda: nn.Sequential(
            nn.Conv1d(3, 4, 1, bias=False), nn.ConvTranspose1d(4, 4, 3, groups=2, bias=False)
        ),
        ((10, 3, 8),),
        {"GL(2) × 2": 1},
    ),
    Case(
        "transposed depthwise",
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 1),
            nn.LeakyReLU(),
            nn.ConvTranspose1d(3, 3, 3, groups=3),
            nn.LeakyReLU(),
            nn.Conv1d(3, 2, 1),
        ),
        ((40, 2, 9),),
        {"T₊(3)": 2},
    ),
    Case(
        "one channel",
        lambda: nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3)),
        ((10, 1, 7, 7),),
        {"T₊(1)": 1},
    ),
    Case(
        "flattened into a linear layer: a channel's pixels scale alike",
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9, 4)),
        ((60, 2, 5, 5),),
        {"T₊(3)": 1},
    ),
    Case(
        "flattened linear space",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.Flatten(), nn.Linear(3 * 4, 4, bias=False)
        ),
        ((40, 2, 4, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "unbatched",
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3)),
        ((2, 9, 9),),
        {"T₊(3)": 1},
        gap=None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
