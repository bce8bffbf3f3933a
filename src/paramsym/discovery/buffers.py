"""Buffers that move with the parameters: the running statistics of normalisations in evaluation."""

from collections.abc import Collection
from dataclasses import replace

from paramsym.discovery.recording import Recording, Ref
from paramsym.parameters import Parameter

STATISTICS = ("running_mean", "running_var")


def with_buffers(recording: Recording, wanted: bool | Collection[str]) -> Recording:
    """The run with buffers among its parameters, as frozen ones.

    Args:
        recording: The run.
        wanted: Names of buffers; or `True` for the statistics that a normalisation reads in
            evaluation, `False` for none.

    Raises:
        ValueError: If there is no buffer of a name, or its entries are no real numbers.
    """
    if wanted is False:
        return recording
    named = {name: i for i, name in recording.buffer_ids.items()}
    names = _statistics(recording) if wanted is True else dict.fromkeys(wanted)
    for name in names:
        if name not in named or not recording.constants[named[name]].is_floating_point():
            real = [k for k, i in named.items() if recording.constants[i].is_floating_point()]
            raise ValueError(
                f"`buffers` must name floating-point buffers that the model reads; got {name!r}. "
                f"There are {real}; `buffers=True` takes the statistics of normalisations."
            )
    ids = {named[name]: name for name in names}
    moving = {name: recording.constants[i].detach() for i, name in ids.items()}
    described = (
        Parameter(name, tuple(tensor.shape), trainable=False, is_buffer=True)
        for name, tensor in moving.items()
    )
    return replace(
        recording,
        parameters=(*recording.parameters, *described),
        parameter_ids={**recording.parameter_ids, **ids},
        constants={i: x for i, x in recording.constants.items() if i not in ids},
        state={**recording.state, **moving},
    )


def _statistics(recording: Recording) -> list[str]:
    """Names of the statistics that are read and not written."""
    read: dict[str, None] = {}
    for record in recording.records:
        given = record.bind()
        training = "no_training" not in record.op
        if given.get("training", given.get("use_input_stats", training)):
            continue
        for argument in STATISTICS:
            value = given.get(argument)
            if isinstance(value, Ref) and value.id in recording.buffer_ids:
                read[recording.buffer_ids[value.id]] = None
    return list(read)
