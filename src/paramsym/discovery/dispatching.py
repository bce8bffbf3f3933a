"""Recording by one real run, for models that `torch.export` cannot trace.

Control flow is specialised to the branch taken. A number read out of a tensor to decide it is
recorded as a sink, so that no symmetry may change what the model decided.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from paramsym.discovery.marking import HOOK, hooked
from paramsym.discovery.recording import Record, Recording, Ref, live_records
from paramsym.parameters import parameters_of


class _Recorder(TorchDispatchMode):
    """Numbers every tensor by identity and writes down every ATen call."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.tensors: list[Tensor] = []  # kept alive, so that identities stay unique
        self.shapes: list[tuple[int, ...]] = []
        self.ids: dict[int, int] = {}
        self.memory: dict[int, list[int]] = {}
        self.constants: dict[int, Tensor] = {}
        self.path: list[str] = [""]

    def number(self, tensor: Tensor, *, anew: bool = False) -> int:
        """The tensor's number; `anew` where it is no longer what it was."""
        key = id(tensor)
        if anew or key not in self.ids:
            self.ids[key] = len(self.tensors)
            self.tensors.append(tensor)
            self.shapes.append(tuple(tensor.shape))
            memory = tensor.untyped_storage()._cdata
            self.memory.setdefault(memory, []).append(self.ids[key])
        return self.ids[key]

    def follow(self, module: nn.Module, path: str) -> list[RemovableHandle]:
        """Keep track of which module is running."""

        def enter(*_: Any) -> None:
            self.path.append(path)

        def leave(*_: Any) -> None:
            self.path.pop()

        return [
            module.register_forward_pre_hook(enter),
            module.register_forward_hook(leave, always_call=True),
        ]

    def _reference(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in self.ids:
            # Made outside the recorded calls: a constant of the model.
            self.constants[self.number(leaf)] = leaf.detach().clone()
        return Ref(self.ids[id(leaf)])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        references = pytree.tree_map(self._reference, args)
        named = pytree.tree_map(self._reference, kwargs)
        call = Record(func, references, named, outputs=(), module=self.path[-1])
        written = [
            i
            for _, k in call.writes()
            for i in self.memory[self.tensors[k].untyped_storage()._cdata]
        ]
        result = func(*args, **kwargs)
        outputs = result if isinstance(result, tuple | list) else (result,)
        self.records.append(
            replace(
                call,
                outputs=tuple(
                    self.number(t, anew=call.reshapes_in_place) if isinstance(t, Tensor) else None
                    for t in outputs
                ),
                mutates=tuple(dict.fromkeys(written)),
                stops_gradient=not torch.is_grad_enabled(),
                is_sink=func is torch.ops.aten._local_scalar_dense.default,
            )
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
    recorder = _Recorder()
    parameters = parameters_of(model)
    tensors = dict(model.named_parameters())
    parameter_ids = {recorder.number(tensors[p.name]): p.name for p in parameters}
    buffers = dict(model.named_buffers())
    saved = {name: buffer.detach().clone() for name, buffer in buffers.items()}
    buffer_ids: dict[int, str] = {}
    for name, buffer in buffers.items():
        recorder.constants[recorder.number(buffer)] = saved[name]
        buffer_ids[recorder.number(buffer)] = name
    given = [t for t in pytree.tree_leaves((args, dict(kwargs))) if isinstance(t, Tensor)]
    inputs = {recorder.number(t): t.detach().clone() for t in given}

    hooks = [
        hook for path, module in model.named_modules() for hook in recorder.follow(module, path)
    ]
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]), recorder:
            result = model(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for name, buffer in buffers.items():
                if not torch.equal(buffer, saved[name]):
                    buffer.copy_(saved[name])
    leaves = [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]
    outputs = tuple(recorder.number(t) for t in leaves)
    return Recording(
        records=live_records(recorder.records, outputs),
        parameters=parameters,
        parameter_ids=parameter_ids,
        constants=recorder.constants,
        inputs=inputs,
        outputs=outputs,
        shapes=dict(enumerate(recorder.shapes)),
        mode=mode,
        mode_dependent=mode_dependent,
        state={name: tensor.detach() for name, tensor in tensors.items()},
        own_backward={i: HOOK for i, t in enumerate(recorder.tensors) if hooked(t)},
        buffer_ids=buffer_ids,
    )
