"""A run whose derivative is the function's, also where the model hides some of it from training."""

from dataclasses import replace

import torch

from paramsym.discovery.recording import Record, Recording

_HIDES = {"detach", "detach_"}


def differentiable(recording: Recording) -> Recording:
    """The same function, whose derivative autograd can see.

    `detach` and the padding row of an embedding (`padding_idx`) keep gradients from parameters that
    the outputs depend on. Training does not move these; flat directions are those of the function.
    """
    return replace(recording, records=tuple(_open(record) for record in recording.records))


def _open(record: Record) -> Record:
    if record.op in _HIDES:
        return replace(record, target=torch.ops.aten.alias.default)
    if record.op == "embedding" and record.bind().get("padding_idx", -1) != -1:
        return record.with_argument("padding_idx", -1)
    return record
