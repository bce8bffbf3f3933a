"""How the members of an ensemble differ from the model: what is held, and one member's run.

A run is written for one member and vectorised over members: what does not depend on the member is
then computed once, and layers with weights of their own become batched ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from paramsym.data_dependent import FrozenAction, HiddenSpace
from paramsym.data_dependent.hidden_space import CHANNEL_AXES
from paramsym.data_dependent.runs import Inputs
from paramsym.ensembling.together import together
from paramsym.symmetry import Symmetry

State = dict[str, Tensor]
"""What a member's run needs beside the model, by name; with a leading axis of members."""


class Moves(nn.Module, ABC):
    """The moves of all members.

    Attributes:
        members: How many.
        writer: The layer from which on members differ; `None` if they differ from the first on.
    """

    members: int
    writer: str | None

    @abstractmethod
    def state(self, params: Mapping[str, Tensor], members: slice) -> State:
        """What the runs of these members need, made from the model's present parameters."""

    @abstractmethod
    def call(self, model: nn.Module, state: State, inputs: Inputs) -> Any:
        """One member's run, for one member's state."""

    @abstractmethod
    def member(self, params: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
        """The parameters of member i, all of the model's."""

    def require_mode(self, model: nn.Module) -> None:
        """Raise if these moves do not hold in the model's present mode."""


@final
class FrozenMoves(Moves):
    """Members (U_i π_i, g_i V), with π_i frozen.

    The writer runs once, and g_i acts on what it gives; U_i π_i are K small layers.

    Args:
        space: The hidden space.
        g: `[members, h, h]`.
        pi: What each reader is multiplied by, `[members, readers, h, h]`.
    """

    g: Tensor
    pi: Tensor

    def __init__(self, space: HiddenSpace, g: Tensor, pi: Tensor) -> None:
        super().__init__()
        self.members, self.writer = len(g), space.writer
        self._space = space
        self.register_buffer("g", g)
        self.register_buffer("pi", pi)

    def state(self, params: Mapping[str, Tensor], members: slice) -> State:
        state = {"g": self.g[members]}
        for reader, pi in zip(self._space.readers, self.pi[members].unbind(1), strict=True):
            old = params[f"{reader}.weight"].movedim(1, -1)
            turned = old.reshape(-1, old.shape[-1]).to(pi) @ pi
            turned = turned.reshape(len(pi), *old.shape).movedim(-1, 2)
            state[f"{reader}.weight"] = turned.to(old)
        return state

    def call(self, model: nn.Module, state: State, inputs: Inputs) -> Any:
        g = state["g"]
        writer = model.get_submodule(self._space.writer)
        axis = CHANNEL_AXES[type(writer)]

        def move(_: nn.Module, args: Inputs, out: Tensor) -> Tensor:
            return (out.movedim(axis, -1) @ g.to(out.dtype).mT).movedim(-1, axis)

        handle = writer.register_forward_hook(move)
        try:
            rest = {name: tensor for name, tensor in state.items() if name != "g"}
            return functional_call(model, rest, inputs)
        finally:
            handle.remove()

    def member(self, params: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
        return FrozenAction(self._space, self.g[i], self.pi[i]).moved()


@final
class OrbitMoves(Moves):
    """Members g_i·θ of an exact symmetry, which all compute the model's function.

    Args:
        symmetry: The symmetry.
        elements: For each family its elements, `[members, *family.group.shape]`.
    """

    def __init__(self, symmetry: Symmetry, elements: list[Tensor]) -> None:
        super().__init__()
        self.members, self.writer = len(elements[0]), None
        self._symmetry = symmetry
        for i, tensor in enumerate(elements):  # names of families are no names of buffers
            self.register_buffer(f"g{i}", tensor)

    def state(self, params: Mapping[str, Tensor], members: slice) -> State:
        names = sorted(set[str]().union(*(family.moves for family in self._symmetry)))

        def one(letters: dict[str, Tensor]) -> State:
            moved = self._symmetry.act(letters, params)
            return {name: moved[name] for name in names}

        return vmap(one)({name: g[members] for name, g in self._elements().items()})

    def call(self, model: nn.Module, state: State, inputs: Inputs) -> Any:
        return functional_call(model, state, inputs)

    def member(self, params: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
        return self._symmetry.act({name: g[i] for name, g in self._elements().items()}, params)

    def require_mode(self, model: nn.Module) -> None:
        symmetry, now = self._symmetry, "train" if model.training else "eval"
        if symmetry.mode_dependent and symmetry.mode in ("train", "eval") and now != symmetry.mode:
            raise ValueError(
                f"`model` is in {now} mode, but its symmetry was discovered in {symmetry.mode} "
                "mode and the model computes another function there. Call "
                f"`ensemble.{symmetry.mode}()` first, or discover it in {now} mode."
            )

    def _elements(self) -> dict[str, Tensor]:
        return {f.name: self.get_buffer(f"g{i}") for i, f in enumerate(self._symmetry)}


def call_all(moves: Moves, model: nn.Module, state: State, inputs: Inputs) -> Tensor:
    """The runs of all members of a state, with a leading axis of members."""
    if model.training:
        # Buffers are copied, one a member: batch norm in training mode writes into them.
        count = len(next(iter(state.values())))
        own = {k: b.expand(count, *b.shape).clone() for k, b in model.named_buffers()}
        state = {**own, **state}
    return together(lambda one: moves.call(model, one, inputs), state)


def largest_output(model: nn.Module, inputs: Inputs, writer: str | None) -> tuple[int, Any]:
    """Entries of the largest tensor that a module gives from the writer on; the model's output."""
    sizes: list[int] = []
    started = [writer is None]

    def watch(name: str) -> Callable[..., None]:
        def look(_: nn.Module, args: Inputs, out: Any) -> None:
            started[0] |= name == writer
            if started[0] and isinstance(out, Tensor):
                sizes.append(out.numel())

        return look

    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.named_modules():
            hooks.callback(module.register_forward_hook(watch(name)).remove)
        state = {k: b.clone() for k, b in model.named_buffers()}
        out = functional_call(model, state, inputs)
    return max([1, *sizes]), out
