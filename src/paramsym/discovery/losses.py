"""What a loss sees of a model's outputs."""

from dataclasses import replace

import torch

from paramsym.discovery.recording import Record, Recording, Ref

LOSSES = ("cross_entropy",)


def seen_by(loss: str | None, recording: Recording, class_axis: int = -1) -> Recording:
    """The run with what a loss sees in place of the first output.

    Cross-entropy is a function of the log-probabilities: logits that all shift alike along the axis
    of the classes give the same (docs/derivations.md §21).

    Args:
        loss: `"cross_entropy"`, or `None` for the outputs as they are.
        recording: The model's run.
        class_axis: Axis of the first output along which the classes lie.

    Raises:
        ValueError: If the loss is not known, or the first output has no such axis.
    """
    if loss is None:
        return recording
    if loss not in LOSSES:
        raise ValueError(
            f"`loss` must be {', '.join(map(repr, LOSSES))}, or None for the outputs "
            f"themselves; got {loss!r}."
        )
    first = recording.outputs[0] if recording.outputs else None
    shape = () if first is None else recording.shapes[first]
    if first is None or not -len(shape) <= class_axis < len(shape):
        raise ValueError(
            f"`class_axis` must be an axis of the model's first output, of shape {tuple(shape)}; "
            f"got {class_axis}."
        )
    number = max(recording.shapes) + 1
    record = Record(torch.ops.aten.log_softmax.int, (Ref(first), class_axis), {}, outputs=(number,))
    return replace(
        recording,
        records=(*recording.records, record),
        outputs=(number, *recording.outputs[1:]),
        shapes={**recording.shapes, number: shape},
    )
