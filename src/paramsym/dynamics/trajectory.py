"""What a flow returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from paramsym.symmetry import Symmetry


@final
@dataclass(frozen=True, eq=False)
class Trajectory:
    """Parameters along a gradient flow, at the times asked for.

    Attributes:
        times: `[T]`, float64. Where the flow converged before the last time asked for, the times
            before that, and then the time at which it did.
        params: {name: `[T, …]`}, float64.
        loss: `[T]`, float64.
        converged: Whether the flow was stopped because ‖∇L‖ had become small enough.
        evaluations: Of the gradient.
        steps: That the integrator took.
        stiff_from: Time from which the implicit method was used; `None` if never.
    """

    times: Tensor
    params: Mapping[str, Tensor] = field(repr=False)
    loss: Tensor = field(repr=False)
    converged: bool
    evaluations: int
    steps: int
    stiff_from: float | None = None

    def __len__(self) -> int:
        """The number of times."""
        return len(self.times)

    def at(self, index: int) -> dict[str, Tensor]:
        """The parameter dict at one of the times, by its index."""
        return {name: p[index] for name, p in self.params.items()}

    @property
    def end(self) -> dict[str, Tensor]:
        """The parameter dict at the last time."""
        return self.at(-1)

    def conserved(self, symmetry: Symmetry) -> dict[str, Tensor]:
        """The conserved quantities at all times, {family name: `[T, …]`} (eq. (12))."""
        return torch.vmap(symmetry.conserved)(dict(self.params))
