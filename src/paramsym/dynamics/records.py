"""What is recorded of a descent: losses, asked quantities, and when a run ceased to be finite."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from paramsym.dynamics.objectives import Loss, Objective, Params, for_each_run


@final
class Records:
    """Rows of what was asked, one a recorded step, of all runs.

    Attributes:
        first_losses: Those at the start, `[runs]`.
        diverged_at: The first step at which a run was seen to be not finite, `[runs]`; −1 before.
        rows: {name: `[T, runs, …]`}; "loss" is the loss.
        filled: How many rows are there so far.
    """

    def __init__(
        self, objective: Objective, start: Params, record: Mapping[str, Loss], length: int
    ) -> None:
        self._objective = objective
        self._start = {name: p.clone() for name, p in start.items()}
        self._record = dict(record)
        losses, runs = objective.losses(start), len(next(iter(start.values())))
        if losses.shape != (runs,):
            raise ValueError(
                f"`loss.losses` must return one number a run, shape ({runs},); "
                f"got {tuple(losses.shape)}."
            )
        self.first_losses = losses
        self.diverged_at = torch.full_like(losses, -1, dtype=torch.int64)
        self.rows: dict[str, Tensor] = {}
        self.filled = 0
        self._length = length

    def restore(self, diverged_at: Tensor, rows: Params) -> None:
        """Go on from earlier rows."""
        self.diverged_at.copy_(diverged_at)
        for name, row in rows.items():
            self._make_room(name, row[0].to(self.diverged_at.device))
            self.rows[name][: len(row)] = row
            self.filled = len(row)

    def all_diverged(self) -> bool:
        """Whether there is no run that is still finite."""
        return bool((self.diverged_at >= 0).all())

    def look(self, params: Params, step: int) -> tuple[Tensor, Params]:
        """Note which runs are not finite; the losses, and parameters that are finite for all runs.

        Functions of the latter never see a number that is not finite, on which some raise an error
        for all runs.
        """
        bad = self.diverged_at >= 0
        for p in params.values():
            bad = bad | ~p.isfinite().reshape(len(p), -1).all(1)
        safe = self._safe(params, bad)
        losses = torch.where(bad, torch.nan, self._objective.losses(safe))
        new = ~losses.isfinite()
        if bool((new & ~bad).any()):
            safe = self._safe(params, new)
        self.diverged_at[new & (self.diverged_at < 0)] = step
        return losses, safe

    def take(self, params: Params, step: int) -> None:
        """Record one row."""
        losses, safe = self.look(params, step)
        bad = self.diverged_at >= 0
        found = {name: for_each_run(f, safe) for name, f in self._record.items()}
        for name, value in {**found, "loss": losses}.items():
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"`record[{name!r}]` must return a tensor; got {type(value).__name__}."
                )
            self._make_room(name, value)
            self.rows[name][self.filled, ~bad] = value[~bad].detach()
        self.rows["loss"][self.filled] = losses
        self.filled += 1

    def _make_room(self, name: str, value: Tensor) -> None:
        if name not in self.rows:
            empty = torch.nan if value.is_floating_point() or value.is_complex() else 0
            self.rows[name] = value.new_full((self._length, *value.shape), empty)

    def _safe(self, params: Params, bad: Tensor) -> dict[str, Tensor]:
        """A copy of the parameters, with those at the start for runs that are not finite."""
        safe = {name: p.clone(memory_format=torch.contiguous_format) for name, p in params.items()}
        for name, p in safe.items():
            p[bad] = self._start[name][bad]
        return safe
