"""When a descent is saved, and what of it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch

from paramsym.dynamics import checkpoints
from paramsym.dynamics.records import Records
from paramsym.dynamics.stepping import State

SECONDS = 30.0
"""Between checkpoints, by default."""

ROW = "row "
"""What the names of recorded rows begin with in a checkpoint."""


@final
class Saving:
    """Saves a descent now and then, and takes it up again.

    Args:
        path: The file; `None` saves nothing.
        every: Steps between saves; `None` saves by time.
        state: Parameters and momentum.
        records: What was recorded.

    Raises:
        ValueError: If `every` is no positive number, or there is no file.
    """

    def __init__(
        self, path: Path | None, every: int | None, state: State, records: Records
    ) -> None:
        if every is not None and path is None:
            raise ValueError("`every` says when to save, which needs a `checkpoint`; pass both.")
        if every is not None and (
            isinstance(every, bool) or not isinstance(every, int) or every < 1
        ):
            raise ValueError(f"`every` must be a positive number of steps; got {every!r}.")
        self._path = None if path is None else Path(path)
        self._every, self._state, self._records = every, state, records
        self._saved = time.monotonic()
        self._settings: dict[str, Any] = {}

    def resume(self, settings: Mapping[str, Any]) -> int:
        """Go on from the checkpoint, if there is one; the steps done, or −1."""
        if self._path is None:
            return -1
        self._settings = checkpoints.settings_of(settings)
        found = checkpoints.read(self._path, self._settings)
        if found is None:
            return -1
        tensors, first = found.tensors, self._records.first_losses
        losses = tensors["first losses"].to(first)
        tolerance = torch.finfo(first.dtype).eps ** 0.5
        if not torch.allclose(losses, first, tolerance, tolerance, equal_nan=True):
            raise ValueError(
                f"{self._path} is the checkpoint of a descent with another loss, which was "
                f"{losses.tolist()} at the start and is {first.tolist()} here. "
                "Choose another file, or remove it to start anew."
            )
        self._state.theta.copy_(tensors["theta"])
        if self._state.buffer is not None:
            self._state.buffer.copy_(tensors["buffer"])
        rows = {k.removeprefix(ROW): t for k, t in tensors.items() if k.startswith(ROW)}
        self._records.restore(tensors["diverged at"], rows)
        return found.step

    def save(self, step: int, *, last: bool) -> None:
        """Save, if it is time to."""
        if self._path is None:
            return
        due = (
            time.monotonic() - self._saved >= SECONDS
            if self._every is None
            else step % self._every == 0
        )
        if not due and not last:
            return
        state, records = self._state, self._records
        tensors = {
            "theta": state.theta,
            **({} if state.buffer is None else {"buffer": state.buffer}),
            "first losses": records.first_losses,
            "diverged at": records.diverged_at,
            **{ROW + name: row[: records.filled] for name, row in records.rows.items()},
        }
        checkpoints.write(self._path, checkpoints.Checkpoint(step, tensors), self._settings)
        self._saved = time.monotonic()
