"""Recording by `torch.export`: ATen calls as the model makes them, without running it."""

import io
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any, cast

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.node import map_arg

from paramsym.discovery.marking import (
    HOOK,
    MARK,
    hooked,
    marking_own_backwards,
    refusing_hooks,
)
from paramsym.discovery.recording import Record, Recording, Ref, live_records
from paramsym.parameters import Parameter, describe, parameters_of


def export(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ExportedProgram:
    """Export a module in its current mode, to ATen without decomposing composite ops."""
    with quietly(), marking_own_backwards(), refusing_hooks():
        return torch.export.export(model, args, dict(kwargs), strict=False)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the exporter's own deprecation warnings, log lines and printed graphs: where it
    fails, the other recorder takes over."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def from_program(
    program: ExportedProgram,
    *,
    model: nn.Module | None = None,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    mode: str = "exported",
    mode_dependent: bool = False,
) -> Recording:
    """The recording of an exported program.

    Args:
        program: Exported in ATen with static shapes.
        model: The module it came from, for tied weights and frozen parameters.
        args: Inputs; by default the program's own example inputs.
        kwargs: Keyword inputs.
        mode: Mode of the model at export.
        mode_dependent: Whether the other mode computes another function.

    Raises:
        ValueError: If the program has dynamic shapes or control flow, or neither it nor the caller
            has inputs.
    """
    if args is None:
        if program.example_inputs is None:
            raise ValueError(
                "`args` is needed: the exported program carries no example inputs. "
                "Pass `discover(program, args)` with inputs of the shapes it was exported for."
            )
        args, kwargs = program.example_inputs
    parameters = parameters_of(model) if model is not None else _parameters_of(program)
    conversion = _Conversion(
        program,
        canonical={alias: p.name for p in parameters for alias in (p.name, *p.aliases)},
        given=pytree.tree_leaves((tuple(args), dict(kwargs or {}))),
    )
    for node in program.graph.nodes:
        conversion.add(node)
    tensors = {} if model is None else dict(model.named_parameters())
    for i, name in conversion.parameter_ids.items():
        if name in tensors and hooked(tensors[name]):
            conversion.own_backward[i] = HOOK
    return Recording(
        records=live_records(conversion.records, conversion.outputs),
        parameters=parameters,
        parameter_ids=conversion.parameter_ids,
        constants=conversion.constants,
        inputs=conversion.inputs,
        outputs=tuple(conversion.outputs),
        shapes=conversion.shapes,
        mode=mode,
        mode_dependent=mode_dependent,
        state={p.name: program.state_dict[p.name].detach() for p in parameters},
        own_backward=conversion.own_backward,
        buffer_ids=conversion.buffer_ids,
    )


class _Conversion:
    """From graph nodes to numbered values and records, node by node."""

    def __init__(
        self, program: ExportedProgram, canonical: Mapping[str, str], given: list[Any]
    ) -> None:
        self.program = program
        self.canonical = canonical
        self.given = iter(given)
        self.specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.ids: dict[fx.Node, int | tuple[int | None, ...] | None] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.parameter_ids: dict[int, str] = {}
        self.constants: dict[int, Tensor] = {}
        self.inputs: dict[int, Tensor] = {}
        self.records: list[Record] = []
        self.outputs: list[int] = []
        self.own_backward: dict[int, str] = {}
        self.buffer_ids: dict[int, str] = {}
        self.without_gradient = False
        self.storage: list[int] = []
        self.memory: dict[int, list[int]] = defaultdict(list)

    def add(self, node: fx.Node) -> None:
        """Take in the next node of the graph."""
        if node.op == "placeholder":
            self._placeholder(node)
        elif node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem":
            source, position = node.args
            assert isinstance(source, fx.Node)
            assert isinstance(position, int)
            items = self.ids[source]
            assert isinstance(items, tuple)
            self.ids[node] = items[position]
        elif node.op == "call_function" and isinstance(node.target, HigherOrderOperator):
            self._region(node)
        elif node.op == "call_function" and node.target is MARK:
            self._mark(node)
        elif node.op == "call_function":
            self._call(node)
        elif node.op == "output":
            self._output(node)

    def _number(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        if any(not isinstance(size, int) for size in value.shape):
            raise ValueError(
                f"the exported program has dynamic shapes ({tuple(value.shape)}), which are not "
                "supported. Export it again with static shapes."
            )
        i = len(self.shapes)
        self.shapes[i] = tuple(value.shape)
        self.storage.append(value.untyped_storage()._cdata)
        self.memory[self.storage[i]].append(i)
        return i

    def _placeholder(self, node: fx.Node) -> None:
        spec = self.specs[node.name]
        i = self._number(node.meta.get("val"))
        self.ids[node] = i
        given = next(self.given) if spec.kind == InputKind.USER_INPUT else None
        if i is None:
            return
        if spec.kind == InputKind.USER_INPUT:
            assert isinstance(given, Tensor)
            self.inputs[i] = given
        elif spec.kind == InputKind.PARAMETER:
            self.parameter_ids[i] = self.canonical[str(spec.target)]
        else:
            name = str(spec.target)
            state = self.program.state_dict
            constant = state[name] if name in state else self.program.constants[name]
            assert isinstance(constant, Tensor)
            self.constants[i] = constant
            if spec.kind == InputKind.BUFFER:
                self.buffer_ids[i] = name

    def _mark(self, node: fx.Node) -> None:
        """The result of a hand-written autograd function: a copy, of which the gradient is not
        known."""
        source, author = node.args
        i = self._number(node.meta.get("val"))
        assert isinstance(source, fx.Node)
        assert i is not None
        self.ids[node] = i
        self.own_backward[i] = f"{author} has a backward of its own"
        copy = torch.ops.aten.clone.default
        self.records.append(Record(copy, (self._reference(source),), {}, (i,), _module_path(node)))

    def _call(self, node: fx.Node) -> None:
        assert callable(node.target)
        call = Record(
            node.target,
            cast(tuple[Any, ...], map_arg(node.args, self._reference)),
            cast(dict[str, Any], map_arg(node.kwargs, self._reference)),
            outputs=(),
            module=_module_path(node),
            stops_gradient=self.without_gradient,
        )
        writes = call.writes()
        returned = _returned_writes(node.target)
        value = node.meta.get("val")
        several = isinstance(value, tuple | list)
        numbers: list[int | None] = []
        for k, result in enumerate(value if several else (value,)):
            names = returned[k] if k < len(returned) else frozenset()
            same = [i for written, i in writes if written & names]
            numbers.append(same[0] if same else self._number(result))
        self.ids[node] = tuple(numbers) if several else numbers[0]
        mutates = [i for _, w in writes for i in self.memory[self.storage[w]]]
        self.outputs += [i for i in mutates if i in self.inputs and i not in self.outputs]
        self.records.append(
            replace(call, outputs=tuple(numbers), mutates=tuple(dict.fromkeys(mutates)))
        )

    def _region(self, node: fx.Node) -> None:
        """A region under `no_grad` or `autocast`: its calls, in place."""
        name = node.target.name() if isinstance(node.target, HigherOrderOperator) else ""
        if name not in ("wrap_with_set_grad_enabled", "wrap_with_autocast"):
            raise ValueError(
                f"the exported program has control flow ({name}), which is not supported. "
                "Pass the module itself, of which one run is recorded."
            )
        at = next(k for k, a in enumerate(node.args) if getattr(a, "op", "") == "get_attr")
        graph_node, operands = node.args[at], node.args[at + 1 :]
        assert isinstance(graph_node, fx.Node)
        region = self.program.graph_module.get_submodule(str(graph_node.target))
        assert isinstance(region, fx.GraphModule)
        outer = self.without_gradient
        self.without_gradient = outer or (name == "wrap_with_set_grad_enabled" and not node.args[0])
        given = iter(operands)
        for inner in region.graph.nodes:
            if inner.op == "placeholder":
                operand = next(given)
                self.ids[inner] = self.ids[operand] if isinstance(operand, fx.Node) else None
            elif inner.op == "output":
                results = pytree.tree_leaves(inner.args[0])
                self.ids[node] = tuple(self._single(result) for result in results)
            else:
                self.add(inner)
        self.without_gradient = outer

    def _single(self, result: Any) -> int | None:
        i = self.ids.get(result) if isinstance(result, fx.Node) else None
        return i if isinstance(i, int) else None

    def _reference(self, node: fx.Node) -> Any:
        i = self.ids[node]
        if isinstance(i, tuple):
            return tuple(None if k is None else Ref(k) for k in i)
        return None if i is None else Ref(i)

    def _output(self, node: fx.Node) -> None:
        """What the user gets, and what the model writes to its inputs; buffers are side effects."""
        specs = self.program.graph_signature.output_specs
        results = cast(tuple[Any, ...], node.args[0])
        numbers = (
            self.ids[result]
            for result, spec in zip(results, specs, strict=True)
            if isinstance(result, fx.Node) and spec.kind != OutputKind.BUFFER_MUTATION
        )
        self.outputs += [i for i in numbers if isinstance(i, int)]


def _returned_writes(target: Any) -> list[frozenset[str]]:
    """For each result of an op the schema's names of the arguments that it is, changed in place."""
    schema = getattr(target, "_schema", None)
    aliases = [result.alias_info for result in (schema.returns if schema else ())]
    return [frozenset(a.before_set if a is not None and a.is_write else ()) for a in aliases]


def _parameters_of(program: ExportedProgram) -> tuple[Parameter, ...]:
    """The parameters of a program; those that share memory are tied."""
    names: dict[tuple[Any, ...], list[str]] = {}
    tensors: dict[tuple[Any, ...], Tensor] = {}
    for name, tensor in program.named_parameters():
        memory = tensor.data_ptr() or id(tensor)
        key = (memory, tuple(tensor.shape), tensor.stride())
        names.setdefault(key, []).append(name)
        tensors[key] = tensor
    return tuple(describe(tensors[key], *own) for key, own in names.items())


def _module_path(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return str(next(reversed(stack.values()))[0]) if stack else ""
