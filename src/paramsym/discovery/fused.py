"""Fused projections whose parts read different vectors, as in attention to another sequence."""

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discovery.recording import Record, Recording, Ref

CUTS = ("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "slice")
"""Ops that cut a matrix into blocks of rows."""


def read_apart(recording: Recording) -> dict[str, Labels]:
    """Matrices that are cut into blocks of rows, and do nothing else than be weights of layers on
    several values: for each which of the values every row reads."""
    found = {}
    for parameter in recording.parameters:
        if len(parameter.shape) != 2 or min(parameter.shape) < 2:
            continue
        cuts = [recording.records[k] for _, k in recording.reads_of(parameter.name)]
        if not cuts or any(c.op not in CUTS or c.bind().get("dim", 0) != 0 for c in cuts):
            continue
        block = _blocks(recording, cuts, parameter.shape[0])
        if block is not None and block.max() > 0:
            found[parameter.name] = block
    return found


def _blocks(recording: Recording, cuts: list[Record], rows: int) -> Labels | None:
    """Numbers of the values that rows read; `None` where a row reads several, or something else
    than a layer reads a block."""
    block = np.full(rows, -1)
    numbers: dict[int, int] = {}
    for cut in cuts:
        given = cut.bind()
        start = 0
        if cut.op == "slice":
            start = given["start"] or 0
            if given.get("step", 1) != 1 or start < 0:
                return None
        for piece in cut.outputs:
            if piece is None:
                return None
            stop = start + recording.shapes[piece][0]
            for k in recording.readers.get(piece, ()):
                reader = recording.records[k]
                source, *others = reader.args
                is_weight = reader.op == "linear" and others[:1] == [Ref(piece)]
                if not is_weight or not isinstance(source, Ref) or source == Ref(piece):
                    return None
                number = numbers.setdefault(source.id, len(numbers))
                if set(block[start:stop].tolist()) - {-1, number}:
                    return None
                block[start:stop] = number
            start = stop
    return None if (block < 0).any() else block
