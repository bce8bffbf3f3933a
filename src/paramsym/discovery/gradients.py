"""Which parameters get a gradient that is not the derivative of the function.

Laws of training follow from ⟨∇L, M·θ⟩ = 0, which holds for the derivative of the function that the
outputs compute. Autograd gives another one to the row of a table that stands for padding (zero),
to tables whose gradient is divided by how often a word occurs, and to whatever a hand-written
`backward` passes on. Families act there all the same; they have no law (docs/derivations.md §2).
"""

from collections.abc import Iterator
from dataclasses import replace

from paramsym.discovery.recording import Record, Recording, Ref


def altered_gradients(recording: Recording) -> dict[str, str]:
    """Parameters with a gradient that is not the function's, by canonical name, and why."""
    found: dict[str, list[str]] = {}
    for position, record in enumerate(recording.records):
        for value, reason in _alterations(record):
            for name in _parameters_behind(recording, value, position):
                found.setdefault(name, []).append(reason)
        for value in record.mutates:
            if value in recording.parameter_ids:
                reason = f"the model overwrites it as it runs ({record.op})"
                found.setdefault(recording.parameter_ids[value], []).append(reason)
    for value, reason in recording.own_backward.items():
        for name in _parameters_behind(recording, value, len(recording.records)):
            found.setdefault(name, []).append(reason)
    return {name: "; ".join(dict.fromkeys(reasons)) for name, reasons in found.items()}


def _alterations(record: Record) -> Iterator[tuple[int, str]]:
    """Values whose gradient the call's backward does not compute as the function asks."""
    if "embedding" in record.op:
        given = record.bind()
        table = given.get("weight")
        if isinstance(table, Ref):
            padding = given.get("padding_idx", -1)
            # In a bag, padding is left out of the sum, and gets no gradient for that reason.
            if record.op == "embedding" and isinstance(padding, int) and padding >= 0:
                yield table.id, f"row {padding} stands for padding and gets no gradient"
            if given.get("scale_grad_by_freq") is True:
                yield table.id, "rows get their gradient divided by how often they occur"


def _parameters_behind(recording: Recording, value: int, position: int) -> set[str]:
    """Parameters that a value depends on, as the calls before a position compute it."""
    needed = {value}
    for record in reversed(recording.records[:position]):
        if needed.intersection((*record.outputs, *record.mutates)):
            needed.update(record.inputs())
    return {name for i, name in recording.parameter_ids.items() if i in needed}


def unaltered(recording: Recording) -> Recording:
    """The same run with tables whose gradient is the derivative, and dense."""
    return replace(recording, records=tuple(map(_unaltered, recording.records)))


def _unaltered(record: Record) -> Record:
    if "embedding" not in record.op:
        return record
    given = record.bind()
    plain: dict[str, bool | int] = {"scale_grad_by_freq": False, "sparse": False}
    if record.op == "embedding":
        plain["padding_idx"] = -1
    for name, value in plain.items():
        if name in given and given[name] != value:
            record = record.with_argument(name, value)
    return record
