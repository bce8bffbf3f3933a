"""The range of the weights and their outliers, which decide what rounding to few bits costs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from paramsym.orbit.objectives.weights import chosen

Per = Literal["channel", "tensor"]


def groups(
    params: dict[str, Tensor],
    names: tuple[str, ...] | None,
    per: Per,
    axes: Mapping[str, int] | None,
) -> Iterator[tuple[str, Tensor]]:
    """The matrices that are rounded, `[groups, entries]`: the entries of a row share a step.

    Parameters of fewer than two axes, such as biases and gains, are not among them.

    Raises:
        ValueError: If `per` is neither, or there is no matrix.
    """
    if per not in ("channel", "tensor"):
        raise ValueError(f'`per` must be "channel" or "tensor"; got {per!r}.')
    found = {k: p for k, p in chosen(params, names).items() if p.ndim >= 2}
    if not found:
        raise ValueError("`names` must leave at least one weight of two axes or more; got none.")
    for name, p in found.items():
        rows = 1 if per == "tensor" else p.shape[(axes or {}).get(name, 0)]
        yield name, p.movedim((axes or {}).get(name, 0), 0).reshape(rows, -1)


def smooth_range(rows: Tensor, power: float) -> Tensor:
    """(Σ|w|^p)^{1/p} of every row, `[groups]`: between max|w| and n^{1/p} max|w|."""
    largest = rows.detach().abs().amax(1, keepdim=True)
    alive = largest[:, 0] > 0
    scaled = rows / torch.where(largest > 0, largest, 1)
    # Where all is zero so is the range, and it has no derivative: the root must not see it.
    total = torch.where(alive, scaled.abs().pow(power).sum(1), 1)
    return torch.where(alive, largest[:, 0] * total.pow(1 / power), 0)


@final
@dataclass(frozen=True)
class WeightRange:
    """Σ n·r² over all groups of weights that share a rounding step; n their number, r their range.

    It is proportional to the squared error of rounding to the nearest of 2^b equal steps. The range
    max|w| is replaced by the norm (Σ|w|^p)^{1/p}, which is smooth and at most n^{1/p} times as
    large.

    Attributes:
        per: What shares a step: an output `"channel"`, or the whole `"tensor"`.
        power: p.
        names: Weights that count, all of two axes or more when absent.
        axes: Axis of the output channels by name; 0 for all others.
    """

    per: Per = "channel"
    power: float = 16.0
    names: tuple[str, ...] | None = None
    axes: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if not (self.power > 2 and math.isfinite(self.power)):
            raise ValueError(f"`power` must be a number above 2; got {self.power}.")

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        parts = [
            rows.shape[1] * smooth_range(rows, self.power).square().sum()
            for _, rows in groups(params, self.names, self.per, self.axes)
        ]
        return torch.stack(parts).sum()


@final
@dataclass(frozen=True)
class Kurtosis:
    """The mean over all weights of their group's kurtosis, ⟨w⁴⟩/⟨w²⟩².

    It is 1 where all weights of a group have one size, 3 for a normal distribution, and large where
    few weights are far from the rest. It does not change with the size of a group.

    Attributes:
        per: What is one group: an output `"channel"`, or the whole `"tensor"`.
        names: Weights that count, all of two axes or more when absent.
        axes: Axis of the output channels by name; 0 for all others.
    """

    per: Per = "tensor"
    names: tuple[str, ...] | None = None
    axes: Mapping[str, int] | None = None

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        found = list(groups(params, self.names, self.per, self.axes))
        weights = sum(rows.numel() for _, rows in found)
        parts = []
        for _, rows in found:
            squares = rows.square().mean(1)
            alive = squares.detach() > 0
            ratio = rows.pow(4).mean(1) / torch.where(alive, squares, 1).square()
            parts.append(rows.shape[1] * torch.where(alive, ratio, 0).sum())
        return torch.stack(parts).sum() / weights
