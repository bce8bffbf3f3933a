"""What both watchers of a run write down: numbers for its tensors, and the calls on them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils.weak import WeakTensorKeyDictionary

from paramsym.discovery.arguments import mapped
from paramsym.discovery.recording import Record, Ref

Layout = tuple[tuple[int, ...], tuple[int, ...], int, torch.dtype]
"""Shape, strides, offset and type: how a tensor lies in its memory."""


class NotFollowedError(RuntimeError):
    """A run does something that no call of an op shows."""


class Notes:
    """Numbers every tensor by identity and takes down calls.

    Tensors may die meanwhile: torch hands out a copy of a new tensor that somebody else holds.

    Attributes:
        records: The calls, in order.
        shapes: Shape of every numbered tensor.
        constants: Tensors that no recorded call has made, by number.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.shapes: list[tuple[int, ...]] = []
        self.constants: dict[int, Tensor] = {}
        self._known = WeakTensorKeyDictionary()  # number, and where the tensor lay then
        self._storages: list[torch.UntypedStorage] = []  # kept alive, so that they stay unique
        self._layouts: list[Layout] = []
        self._sharing: dict[int, list[int]] = {}
        self._path: list[str] = [""]

    def number(self, tensor: Tensor, *, anew: bool = False) -> int:
        """The tensor's number; `anew` where it is no longer what it was."""
        if not anew and tensor in self._known:
            return self._known[tensor][0]
        number, storage = len(self.shapes), _storage(tensor)
        self.shapes.append(tuple(tensor.shape))
        self._storages.append(storage)
        self._layouts.append(_layout(tensor))
        self.also_known_as(number, tensor)
        return number

    def also_known_as(self, number: int, tensor: Tensor) -> None:
        """A value may also be met as this tensor."""
        memory = _memory(tensor)
        self._known[tensor] = number, memory
        self._sharing.setdefault(memory, []).append(number)

    def read(self, tensor: Tensor) -> int:
        """The number of the value that the tensor now is.

        Behind the back of all ops it may have been given other memory (`y.data = h`), or have been
        made of another one (`h.data`): then it is what lies there, without gradient.

        Raises:
            NotFollowedError: If that is not known.
        """
        memory = _memory(tensor)
        known = self._known.get(tensor)
        if known is not None and known[1] == memory:
            return known[0]
        if memory in self._sharing:
            there = (k for k in self._sharing[memory] if self._layouts[k] == _layout(tensor))
            source = next(there, None)
            if source is not None:
                detach = torch.ops.aten.detach.default
                call = Record(detach, (Ref(source),), {}, (), self._path[-1], stops_gradient=True)
                self.note(call, tensor, stops_gradient=True, is_sink=False)
                return self.number(tensor)
        if known is not None or memory in self._sharing or isinstance(tensor, FakeTensor):
            raise NotFollowedError("a tensor was made or changed where no call is seen")
        number = self.number(tensor)
        with unset_fake_temporarily():
            self.constants[number] = tensor.detach().clone()
        return number

    def sharing_memory(self, number: int) -> list[int]:
        """Numbers of the values that lie in the same memory."""
        return self._sharing[self._storages[number]._cdata]

    def call(self, op: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Record:
        """A call that is about to be made, with `mutates` filled in."""
        references, named = mapped(self._reference, (args, dict(kwargs)))
        call = Record(op, references, named, outputs=(), module=self._path[-1])
        written = [i for _, k in call.writes() for i in self.sharing_memory(k)]
        return replace(call, mutates=tuple(dict.fromkeys(written))) if written else call

    def note(self, call: Record, result: Any, *, stops_gradient: bool, is_sink: bool) -> None:
        """Take down a call that was made."""
        outputs = result if isinstance(result, tuple | list) else (result,)
        # What a call returns is another value, even if it is its argument, unchanged.
        anew = call.reshapes_in_place or not call.mutates
        numbers = tuple(
            self.number(t, anew=anew) if isinstance(t, Tensor) else None for t in outputs
        )
        self.records.append(
            replace(call, outputs=numbers, stops_gradient=stops_gradient, is_sink=is_sink)
        )

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Keep track of which module is running, while this lasts."""

        def leave(*_: Any) -> None:
            self._path.pop()

        hooks = []
        for path, module in model.named_modules():

            def enter(*_: Any, path: str = path) -> None:
                self._path.append(path)

            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.register_forward_hook(leave, always_call=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _reference(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.Generator):
            return None  # a replay draws by its own seed
        return Ref(self.read(leaf)) if isinstance(leaf, Tensor) else leaf


def _memory(tensor: Tensor) -> int:
    return _storage(tensor)._cdata


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    if tensor.is_nested:
        raise NotFollowedError("it has a nested tensor. Let it use padded ones")
    try:
        return tensor.untyped_storage()
    except NotImplementedError as error:
        raise NotFollowedError("it has a sparse tensor. Let it use dense ones") from error


def _layout(tensor: Tensor) -> Layout:
    return tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), tensor.dtype
