"""The size of the weights."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


def chosen(params: dict[str, Tensor], names: Collection[str] | None) -> dict[str, Tensor]:
    """The parameters of these names, all that are real when absent.

    Raises:
        ValueError: If a name is unknown, or none is left.
    """
    for name in names or ():
        if name not in params:
            raise ValueError(f"`names` has {name!r}, which is no parameter: {list(params)}.")
    found = {
        k: p for k, p in params.items() if p.is_floating_point() and (names is None or k in names)
    }
    if not found:
        raise ValueError("`names` must leave at least one parameter of real numbers; got none.")
    return found


@final
@dataclass(frozen=True)
class WeightNorm:
    """The squared norm ‖θ‖².

    Half its gradient on the group is the moment map of θ itself, whose symmetric part is Q: it is
    stationary where the conserved quantities of all families vanish (docs/derivations.md §26).

    Attributes:
        names: Parameters that count, all when absent.
    """

    names: tuple[str, ...] | None = None

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        parts = chosen(params, self.names).values()
        return torch.stack([p.square().sum() for p in parts]).sum()
