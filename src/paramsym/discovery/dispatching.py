"""Recording by one real run, for models that go by the values they meet.

Control flow is specialised to the branch taken. A number read out of a tensor to decide it is
recorded as a sink, so that no symmetry may change what the model decided.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from paramsym.discovery.arguments import leaves
from paramsym.discovery.given_out import tensors_in
from paramsym.discovery.marking import HOOK, hooked
from paramsym.discovery.noting import Notes
from paramsym.discovery.recording import Recording, live_records
from paramsym.parameters import parameters_of


class _Recorder(TorchDispatchMode):
    """Takes down every ATen call below autograd, where composite ops have come apart.

    Attributes:
        notes: Where it does.
        made: The results, kept alive: hooks may be put on them later.
        saved: Parameters that the model writes to, with their values before.
    """

    def __init__(self, notes: Notes, parameters: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.notes = notes
        self.made: list[Tensor] = []
        self.saved: list[tuple[Tensor, Tensor]] = []
        self._unwritten = dict(parameters)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = self.notes.call(func, args, kwargs)
        for parameter in (self._unwritten.pop(i) for i in call.mutates if i in self._unwritten):
            self.saved.append((parameter, parameter.detach().clone()))
        result = func(*args, **kwargs)
        self.made += [t for t in leaves(result) if isinstance(t, Tensor)]
        self.notes.note(
            call,
            result,
            stops_gradient=not torch.is_grad_enabled(),
            is_sink=func is torch.ops.aten._local_scalar_dense.default,
        )
        return result


def record_run(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    mode: str,
    mode_dependent: bool,
) -> Recording:
    """Record one run of the model; parameters, buffers and random state are left as they were."""
    notes = Notes()
    parameters = parameters_of(model)
    tensors = dict(model.named_parameters())
    parameter_ids = {notes.number(tensors[p.name]): p.name for p in parameters}
    recorder = _Recorder(notes, {i: tensors[name] for i, name in parameter_ids.items()})
    buffers = dict(model.named_buffers())
    saved = {name: buffer.detach().clone() for name, buffer in buffers.items()}
    held = [(module, dict(module._buffers)) for module in model.modules()]
    buffer_ids: dict[int, str] = {}
    for name, buffer in buffers.items():
        notes.constants[notes.number(buffer)] = saved[name]
        buffer_ids[notes.number(buffer)] = name
    given = [t for t in pytree.tree_leaves((args, dict(kwargs))) if isinstance(t, Tensor)]
    inputs = {notes.number(t): t.detach().clone() for t in given}

    try:
        with (
            torch.enable_grad(),
            torch.random.fork_rng(devices=[]),
            notes.following(model),
            recorder,
        ):
            result = model(*args, **kwargs)
    finally:
        with torch.no_grad():
            for name, buffer in buffers.items():
                if not torch.equal(buffer, saved[name]):
                    buffer.copy_(saved[name])
            for parameter, before in recorder.saved:
                parameter.copy_(before)
        for module, own in held:  # a module may also have put another tensor in the place of one
            module._buffers.clear()
            module._buffers.update(own)
    watched = (*tensors.values(), *given, *recorder.made)
    outputs = tuple(notes.read(t) for t in tensors_in(result))
    return Recording(
        records=live_records(notes.records, outputs),
        parameters=parameters,
        parameter_ids=parameter_ids,
        constants=notes.constants,
        inputs=inputs,
        outputs=outputs,
        shapes=dict(enumerate(notes.shapes)),
        mode=mode,
        mode_dependent=mode_dependent,
        state={name: tensor.detach() for name, tensor in tensors.items()},
        own_backward={notes.number(t): HOOK for t in watched if hooked(t)},
        buffer_ids=buffer_ids,
    )
