"""A recorded run of a model: a flat list of ATen calls on numbered values.

All front ends (`watching`, `exporting`, `dispatching`) produce this; nothing above it knows how the
run was recorded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from paramsym.discovery.arguments import leaves, mapped
from paramsym.parameters import Parameter


@final
@dataclass(frozen=True)
class Ref:
    """A value of the recording, by its number."""

    id: int


@final
@dataclass(frozen=True)
class Record:
    """One call of an op.

    Attributes:
        target: What is called.
        args: Positional arguments, with `Ref` in place of tensors.
        kwargs: Keyword arguments, likewise.
        outputs: Number of each tensor returned, in order; `None` where it is no tensor.
        module: Path of the module that makes the call, `""` for the model itself.
        mutates: Values whose memory the call changes.
        stops_gradient: Whether it runs where autograd is off, so that training does not see it.
        is_sink: Whether the call has an effect outside the graph, such as reading a number out of a
            tensor to decide a branch.
    """

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[int | None, ...]
    module: str = ""
    mutates: tuple[int, ...] = ()
    stops_gradient: bool = False
    is_sink: bool = False

    @cached_property
    def op(self) -> str:
        """Name of the op without overload: `conv2d`, or `acme::conv2d` where it is not torch's."""
        return op_name(self.target)

    def bind(self) -> Mapping[str, Any]:
        """The arguments by their names in the op's schema, defaults filled in."""
        return self._bound

    @cached_property
    def _bound(self) -> Mapping[str, Any]:
        schema = getattr(self.target, "_schema", None)
        if schema is None:
            return {str(i): a for i, a in enumerate(self.args)} | dict(self.kwargs)
        bound = {}
        for i, argument in enumerate(schema.arguments):
            if i < len(self.args):
                bound[argument.name] = self.args[i]
            elif argument.name in self.kwargs:
                bound[argument.name] = self.kwargs[argument.name]
            else:
                bound[argument.name] = argument.default_value
        return bound

    def filled(self, fill: Callable[[Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments with every leaf, `Ref` or not, as `fill` gives it."""
        return mapped(fill, (self.args, dict(self.kwargs)))

    def with_argument(self, name: str, value: Any) -> "Record":
        """The same call with one argument, named as in the schema, replaced."""
        names = [argument.name for argument in self.target._schema.arguments]  # type: ignore[attr-defined]
        i = names.index(name)
        if isinstance(self.bind()[name], Ref):
            value = torch.tensor(value, dtype=torch.float64)
        if i < len(self.args):
            return replace(self, args=(*self.args[:i], value, *self.args[i + 1 :]))
        return replace(self, kwargs={**self.kwargs, name: value})

    @property
    def reshapes_in_place(self) -> bool:
        """Whether the op changes how its argument is seen, and not its memory (`squeeze_`)."""
        return torch.Tag.inplace_view in getattr(self.target, "tags", ())

    def writes(self) -> list[tuple[frozenset[str], int]]:
        """Values that the call changes by its schema, with the schema's names of their memory."""
        schema = getattr(self.target, "_schema", None)
        if schema is None or self.reshapes_in_place:
            return []
        bound = self.bind()
        return [
            (frozenset(argument.alias_info.before_set), leaf.id)
            for argument in schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for leaf in leaves(bound[argument.name])
            if isinstance(leaf, Ref)
        ]

    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values that the call reads."""
        return self._read

    @cached_property
    def _read(self) -> tuple[int, ...]:
        given = leaves((self.args, dict(self.kwargs)))
        return tuple(leaf.id for leaf in given if isinstance(leaf, Ref))


TORCH = ("aten", "prims", "prim")
"""Namespaces of torch's own ops."""


def op_name(target: Callable[..., Any]) -> str:
    """Name of what is called, without overload; see `short_name`."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        return short_name(schema.name)
    return getattr(target, "__name__", str(target))


def short_name(qualified: str) -> str:
    """The name without its namespace if that is torch's own. Others keep theirs, because
    `acme::relu` need not be torch's relu."""
    namespace, _, name = qualified.rpartition("::")
    return name if namespace in TORCH else qualified


@final
@dataclass(frozen=True)
class Recording:
    """A model's forward pass as data.

    Attributes:
        records: The calls, in order; those that no output depends on are left out.
        parameters: Parameters of the model, tied ones once.
        parameter_ids: Value number → canonical name of the parameter.
        constants: Value number → buffer or constant tensor.
        inputs: Value number → tensor that the user passed.
        outputs: Numbers of the outputs of the function.
        shapes: Shape of every tensor value.
        mode: `"train"`, `"eval"` or `"exported"`.
        mode_dependent: Whether the other mode computes another function.
        state: Parameters at recording, by canonical name.
        own_backward: Values whose gradient somebody's own code passes on, and whose code that is.
        buffer_ids: Value number → name of the buffer.
    """

    records: tuple[Record, ...]
    parameters: tuple[Parameter, ...]
    parameter_ids: Mapping[int, str]
    constants: Mapping[int, Tensor]
    inputs: Mapping[int, Tensor]
    outputs: tuple[int, ...]
    shapes: Mapping[int, tuple[int, ...]]
    mode: str
    mode_dependent: bool
    state: Mapping[str, Tensor] = field(repr=False)
    own_backward: Mapping[int, str] = field(default_factory=dict)
    buffer_ids: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def readers(self) -> Mapping[int, list[int]]:
        """Value number → positions of the records that read it or write to it; absent where none
        does."""
        found: dict[int, list[int]] = {}
        for position, record in enumerate(self.records):
            for i in {*record.inputs(), *record.mutates}:
                found.setdefault(i, []).append(position)
        return found

    def reads_of(self, parameter: str) -> list[tuple[int, int]]:
        """The numbers of a parameter's values, each with the positions of `readers`."""
        own = self._numbers.get(parameter, ())
        return [(i, position) for i in own for position in self.readers.get(i, ())]

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, name in self.parameter_ids.items():
            found.setdefault(name, []).append(i)
        return found

    @cached_property
    def last_reads(self) -> dict[int, int]:
        """Value number → position of the last record that reads it; behind the end for outputs.

        Values that nothing reads are absent.
        """
        last: dict[int, int] = {}
        for position, record in enumerate(self.records):
            last.update(dict.fromkeys(record.inputs(), position))
        last.update(dict.fromkeys(self.outputs, len(self.records)))
        return last

    @property
    def unused(self) -> tuple[str, ...]:
        """Parameters that no output depends on."""
        used = {name for i, name in self.parameter_ids.items() if i in self.last_reads}
        return tuple(p.name for p in self.parameters if p.name not in used)


def rejected(inputs: Iterable[Any], error: Exception) -> ValueError:
    """The error of a model that does not run on its inputs, in words that help."""
    shapes = ", ".join(
        f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"
        if isinstance(x, Tensor)
        else type(x).__name__
        for x in inputs
    )
    return ValueError(
        f"the model rejects these inputs ({shapes or 'none'}): {type(error).__name__}: {error}. "
        "`model(*args, **kwargs)` must run; check number, shapes, dtypes and device of `args`."
    )


def live_records(records: Iterable[Record], outputs: Iterable[int]) -> tuple[Record, ...]:
    """The records that the outputs depend on, and those with effects."""
    needed = set(outputs)
    kept = []
    for record in reversed(list(records)):
        touched = {i for i in (*record.outputs, *record.mutates) if i is not None}
        if record.is_sink or touched & needed:
            needed.update(record.inputs())
            kept.append(record)
    return tuple(reversed(kept))
