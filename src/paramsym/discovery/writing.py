"""Writes through views of shared memory, told as calls that return new tensors."""

from torch.export import ExportedProgram

from paramsym.discovery.exporting import quietly
from paramsym.discovery.recording import Recording


def writes_through_views(recording: Recording) -> bool:
    """Whether a call changes a value under one name that is read later under another one."""
    last = recording.last_reads
    return any(
        i not in record.outputs and last.get(i, -1) > position
        for position, record in enumerate(recording.records)
        for i in record.mutates
    )


def functional(program: ExportedProgram) -> ExportedProgram:
    """The same program without writes, composite ops kept."""
    with quietly():
        return program.run_decompositions({})
