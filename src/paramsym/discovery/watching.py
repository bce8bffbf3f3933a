"""Recording by a run without values: on tensors that have shapes only, above autograd.

It sees the calls that `torch.export` sees, composite ops whole, in a third of its time. What it
cannot follow is left to the exporter.
"""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from numbers import Number
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.schema_check_mode import SchemaCheckMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from paramsym.discovery.arguments import leaves
from paramsym.discovery.exporting import quietly
from paramsym.discovery.marking import HOOK, MARK, hooked, marking_own_backwards, refusing_hooks
from paramsym.discovery.noting import Notes, NotFollowedError
from paramsym.discovery.recording import Record, Recording, live_records, op_name
from paramsym.parameters import parameters_of


def watch(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    known: Container[str],
    *,
    mode: str,
    mode_dependent: bool,
) -> Recording:
    """Record one run of the model without values; the model is left as it was.

    Args:
        model: The model.
        args: Inputs.
        kwargs: Keyword inputs.
        known: Names of ops that need not come apart.
        mode: Mode of the model.
        mode_dependent: Whether the other mode computes another function.

    Raises:
        Exception: Of any kind, where a run cannot be followed without values.
    """
    with_shapes = FakeTensorMode(allow_non_fake_inputs=True)
    parameters = parameters_of(model)
    tensors = dict(model.named_parameters(remove_duplicate=False))
    buffers = dict(model.named_buffers(remove_duplicate=False))
    shadows: dict[str, Tensor] = {
        name: with_shapes.from_tensor(t) for name, t in (tensors | buffers).items()
    }
    given = [t for t in pytree.tree_leaves((args, dict(kwargs))) if isinstance(t, Tensor)]
    shown_args, shown_kwargs = pytree.tree_map_only(
        Tensor, with_shapes.from_tensor, (args, dict(kwargs))
    )
    with (
        quietly(),
        refusing_hooks(),
        marking_own_backwards() as callers,
        _attributes_kept(model),
        _as_if_exporting(),
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
    ):
        watcher = _Watcher(known, callers)
        notes = watcher.notes
        for name, tensor in (tensors | buffers).items():
            notes.also_known_as(notes.number(shadows[name]), tensor)
        parameter_ids = {notes.number(shadows[p.name]): p.name for p in parameters}
        buffer_ids = {notes.number(shadows[name]): name for name in reversed(buffers)}
        notes.constants.update((notes.number(shadows[k]), b) for k, b in buffers.items())
        shown = [t for t in pytree.tree_leaves((shown_args, shown_kwargs)) if isinstance(t, Tensor)]
        inputs = {notes.number(s): t for s, t in zip(shown, given, strict=True)}
        watcher.reached.update(parameter_ids)
        watcher.buffers.update(buffer_ids)
        with notes.following(model), with_shapes, enable_python_dispatcher(), watcher:
            result = functional_call(model, shadows, shown_args, shown_kwargs, tie_weights=False)
    outputs = _numbers_of(result, notes)
    written = [i for record in notes.records for i in record.mutates if i in inputs]
    outputs += [i for i in dict.fromkeys(written) if i not in outputs]
    hooks = {notes.number(shadows[k]): HOOK for k, t in tensors.items() if hooked(t)}
    return Recording(
        records=live_records(notes.records, outputs),
        parameters=parameters,
        parameter_ids=parameter_ids,
        constants=notes.constants,
        inputs=inputs,
        outputs=tuple(outputs),
        shapes=dict(enumerate(notes.shapes)),
        mode=mode,
        mode_dependent=mode_dependent,
        state={p.name: tensors[p.name].detach() for p in parameters},
        own_backward=watcher.own_backward | hooks,
        buffer_ids=buffer_ids,
    )


class _Watcher(SchemaCheckMode):
    """Takes down every call of an op above autograd. Composites of unknown name come apart, if a
    parameter reaches them or they write to something.

    Above autograd torch admits modes of three kinds. Of the one named here this has the name only.
    """

    def __init__(self, known: Container[str], callers: list[bool]) -> None:
        TorchDispatchMode.__init__(self, torch._C.DispatchKey.PreDispatch)
        self.notes = Notes()
        self.known = known
        self.callers = callers
        self.reached: set[int] = set()
        self.buffers: set[int] = set()
        self.own_backward: dict[int, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        notes = self.notes
        if func is MARK:
            return self._marked(*args)
        call = notes.call(func, args, kwargs)
        if any(i in notes.constants and i not in self.buffers for i in call.mutates):
            raise NotFollowedError("a tensor that is no buffer of the model is overwritten")
        reached = not self.reached.isdisjoint(call.inputs())
        if (reached or call.mutates) and op_name(func) not in self.known and func._can_decompose():
            return self._taken_apart(call, args, kwargs)
        result = func(*args, **kwargs)
        if not _did_nothing(call, result, args):
            self._note(call, result)
        return result

    def _note(self, call: Record, result: Any) -> None:
        # Inside hand-written autograd functions and composite ops gradients are off.
        with_gradient = self.callers[0] if self.callers else torch.is_grad_enabled()
        self.notes.note(call, result, stops_gradient=not with_gradient, is_sink=False)
        if not self.reached.isdisjoint(call.inputs()):
            self.reached.update(i for i in self.notes.records[-1].outputs if i is not None)

    def _taken_apart(self, call: Record, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The parts of a composite op; the whole where none of them is known."""
        before = len(self.notes.records)
        self.callers.append(torch.is_grad_enabled())
        try:
            with self:
                result = call.target.decompose(*args, **kwargs)  # type: ignore[attr-defined]
        finally:
            self.callers.pop()
        parts = self.notes.records[before:]
        if parts and not any(part.op in self.known for part in parts):
            del self.notes.records[before:]
            self._note(call, result)
        return result

    def _marked(self, source: Tensor, author: str) -> Tensor:
        """The result of a hand-written autograd function: a copy, of which the gradient is not
        known."""
        copy = torch.ops.aten.clone.default
        result = copy(source)
        self._note(self.notes.call(copy, (source,), {}), result)
        self.own_backward[self.notes.number(result)] = f"{author} has a backward of its own"
        return result


def _did_nothing(call: Record, result: Any, args: tuple[Any, ...]) -> bool:
    """Whether a call only gave its argument back, as a cast to its own type does; not where it
    changed it, and not dropout that is off, which says that it may be on."""
    in_place = call.mutates or call.reshapes_in_place
    return not in_place and "train" not in call.bind() and any(result is x for x in leaves(args))


def _numbers_of(result: Any, notes: Notes) -> list[int]:
    """The numbers of the tensors that a model gives out."""
    numbers = []
    for leaf in pytree.tree_leaves(result):
        if isinstance(leaf, Tensor):
            numbers.append(notes.read(leaf))
        elif not isinstance(leaf, Number | str | bytes | torch.dtype | torch.device | None):
            raise NotFollowedError(f"tensors may stand in an output of type {type(leaf).__name__}")
    return numbers


@contextmanager
def _attributes_kept(model: nn.Module) -> Iterator[None]:
    """What modules keep as attributes, and in lists, dicts and sets there, is afterwards what it
    was: a run without values leaves tensors without values."""
    attributes = [vars(module) for module in model.modules()]
    inside = [x for own in attributes for x in own.values() if isinstance(x, list | dict | set)]
    before = [(container, _held(container), container.copy()) for container in attributes + inside]
    try:
        yield
    finally:
        for container, held, content in before:
            if _held(container) != held:
                container.clear()
                (container.extend if isinstance(container, list) else container.update)(content)


def _held(container: list[Any] | dict[Any, Any] | set[Any]) -> list[int]:
    """Which objects stand in a container."""
    values = container.values() if isinstance(container, dict) else ()
    return [id(x) for x in (*container, *values)]


@contextmanager
def _as_if_exporting() -> Iterator[None]:
    """Models that ask are told that they are exported, as by the exporter."""
    flags = ("_is_compiling_flag", "_is_exporting_flag")
    before = {flag: getattr(torch.compiler, flag, False) for flag in flags}
    for flag in flags:
        setattr(torch.compiler, flag, True)
    try:
        yield
    finally:
        for flag, value in before.items():
            setattr(torch.compiler, flag, value)
