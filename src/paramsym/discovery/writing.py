"""Writes through views of shared memory, told as calls that return new tensors."""

from torch.export import ExportedProgram

from paramsym.discovery.exporting import quietly
from paramsym.discovery.recording import Recording


def writes_through_views(recording: Recording) -> bool:
    """Whether a call changes a value under one name that is read later under another one.

    Not where a parameter is overwritten, which must stay in sight: it has no law.
    """
    last = recording.last_reads
    written = [(k, record, i) for k, record in enumerate(recording.records) for i in record.mutates]
    if any(i in recording.parameter_ids for _, _, i in written):
        return False
    return any(i not in record.outputs and last.get(i, -1) > k for k, record, i in written)


def functional(program: ExportedProgram) -> ExportedProgram:
    """The same program without writes, composite ops kept."""
    with quietly():
        return program.run_decompositions({})
