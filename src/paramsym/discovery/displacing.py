"""Biases of layers to whose outputs a number is added, as the scales 1 + s(c) of modulated norms.

Of z = W c + b and z + o nothing else is read, so that the function depends on b + o alone: what
holds for layers with the bias b' = b + o holds, and a scale of b' moves b by a homothety about −o.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.recording import Record, Recording, Ref
from paramsym.discovery.replaying import run_as

BIASED = {
    "linear": ("bias", -1), "addmm": ("self", -1), "conv1d": ("bias", 1), "conv2d": ("bias", 1),
    "conv3d": ("bias", 1), "convolution": ("bias", 1),
}  # fmt: skip
"""Ops that add a bias → its argument, and the axis of the output along which its entries lie."""

VIEWS = {
    "view", "reshape", "flatten", "unflatten", "transpose", "permute", "unsqueeze", "squeeze",
    "slice", "select", "split", "split_with_sizes", "chunk", "unbind", "expand", "clone",
    "contiguous", "alias", "movedim", "_unsafe_view",
}  # fmt: skip
"""Ops that only arrange the entries of their first argument."""


@final
@dataclass
class _Track:
    """Where the entries of one bias are read: tensors of their numbers, in the shape of what holds
    them.

    Attributes:
        entries: By the number of the value.
        sums: By the position of the call that adds a number to them, with the number.
        others: By the number of values that something else reads.
    """

    entries: dict[int, Tensor] = field(default_factory=dict)
    sums: dict[int, tuple[Tensor, float]] = field(default_factory=dict)
    others: dict[int, Tensor] = field(default_factory=dict)


def displaced_biases(recording: Recording) -> tuple[Recording, dict[str, np.ndarray]]:
    """The run as it is with biases b' = b + o, for the analyses and not to be run.

    Returns:
        The recording, and for each such bias the numbers o, entry by entry, 0 where there is none.
    """
    records = list(recording.records)
    offsets: dict[str, np.ndarray] = {}
    for parameter in recording.parameters:
        if len(parameter.shape) != 1 or not parameter.is_real:
            continue
        reads = recording.reads_of(parameter.name)
        if len(reads) != 1:
            continue
        ((value, start),) = reads
        if not _is_bias(records[start], value):
            continue
        sums = _displaced(_followed(recording, start))
        if sums:
            offsets[parameter.name] = np.zeros(parameter.shape)
        for position, (entries, number) in sums.items():
            offsets[parameter.name][entries] = number
            (source, *_) = records[position].args
            same = torch.ops.aten.alias.default
            records[position] = replace(records[position], target=same, args=(source,), kwargs={})
    return (replace(recording, records=tuple(records)) if offsets else recording), offsets


def _is_bias(record: Record, value: int) -> bool:
    if record.op not in BIASED:
        return False
    given = record.bind()
    return given[BIASED[record.op][0]] == Ref(value) and given.get("beta", 1) == 1


def _followed(recording: Recording, start: int) -> _Track:
    """What reads the entries of the bias of a call."""
    first = recording.records[start]
    (output,) = first.outputs
    assert output is not None
    shape = recording.shapes[output]
    axis = BIASED[first.op][1] % len(shape)
    along = [size if a == axis else 1 for a, size in enumerate(shape)]
    track = _Track({output: torch.arange(shape[axis]).reshape(along).expand(shape)})
    waiting = [output]
    while waiting:
        i = waiting.pop()
        for position in recording.readers.get(i, ()):
            found = None
            if position != start:
                found = _follow(recording.records[position], position, track)
            if found is None:
                track.others[i] = track.entries[i]
            waiting += found or ()
        if i in recording.outputs:
            track.others[i] = track.entries[i]
    return track


def _follow(record: Record, position: int, track: _Track) -> list[int] | None:
    """The values to which a view carries the entries, none behind a sum with a number; `None` for
    other calls."""
    source = record.args[0] if record.args else None
    if record.mutates or len(record.inputs()) > 1 or not isinstance(source, Ref):
        return None
    entries = track.entries[source.id]
    if record.op in VIEWS:

        def given(leaf: Any) -> Any:
            return entries if isinstance(leaf, Ref) else leaf

        args, kwargs = record.filled(given)
        result = run_as(record.target)(*args, **kwargs)
        parts = result if isinstance(result, tuple | list) else (result,)
        carried = {i: x for i, x in zip(record.outputs, parts, strict=True) if i is not None}
        track.entries |= carried
        return list(carried)
    bound = record.bind()
    number = bound.get("other")
    if record.op != "add" or not isinstance(number, int | float) or number == 0:
        return None
    track.sums[position] = entries, float(number * bound.get("alpha", 1))
    return []


def _displaced(track: _Track) -> dict[int, tuple[np.ndarray, float]]:
    """The sums of which every entry is read with the same number, everywhere."""
    if not track.sums:
        return {}
    every = {position: (_numbers(entries), o) for position, (entries, o) in track.sums.items()}
    others = {k for entries in track.others.values() for k in _numbers(entries).tolist()}
    sums = dict(every)
    while True:
        read_with: dict[int, set[float]] = defaultdict(set)
        for k in others:
            read_with[k].add(0.0)
        for position, (entries, number) in every.items():
            for k in entries.tolist():
                read_with[k].add(number if position in sums else 0.0)
        kept = {
            position: (entries, number)
            for position, (entries, number) in sums.items()
            if all(len(read_with[k]) == 1 for k in entries.tolist())
        }
        if len(kept) == len(sums):
            return kept
        sums = kept


def _numbers(entries: Tensor) -> np.ndarray:
    return entries.unique().numpy()
