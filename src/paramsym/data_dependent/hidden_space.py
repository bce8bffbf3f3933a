"""The data-dependent action on a hidden space of any model, at a reference batch.

A hidden space lies between a writer `nn.Linear` (V, b) and a reader `nn.Linear` (U), found by name.
What the model computes in between, z ↦ σ(z), is not analysed: the model is run with the writer's
output replaced, and what reaches the reader is σ.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from paramsym.data_dependent.batch import QR
from paramsym.data_dependent.cocycle import Activation, Variant, require_float, require_square

Inputs = tuple[Any, ...]
"""Positional arguments of a model."""


@final
@dataclass(frozen=True, eq=False)
class HiddenSpace:
    """The space R^h between a writer and its only reader. Make it by `hidden_space`.

    Attributes:
        model: The model; its parameters and buffers are never changed.
        writer: Name of the `nn.Linear` that gives z = Vx + b.
        reader: Name of the `nn.Linear` that takes σ(z).
        width: h.
    """

    model: nn.Module = field(repr=False)
    writer: str
    reader: str
    width: int

    def hidden(self, params: Mapping[str, Tensor], inputs: Inputs) -> tuple[Tensor, Activation]:
        """The hidden states z `[k, h]` at the inputs, and σ on such tensors.

        k counts everything but the last axis: batch times tokens in a transformer.
        """
        seen = _run(self, params, inputs)
        shape = seen.written.shape

        def activation(z: Tensor) -> Tensor:
            read = _run(self, params, inputs, written=z.reshape(shape)).read
            return read.reshape(z.shape)

        return seen.written.reshape(-1, self.width), activation

    def act(
        self,
        g: Tensor,
        params: Mapping[str, Tensor],
        inputs: Inputs,
        variant: Variant | None = None,
        *,
        check: bool = False,
    ) -> dict[str, Tensor]:
        """The parameters moved by g, with which the outputs at `inputs` are the same.

        V, b ↦ gV, gb and U ↦ U π(g, Z), with Z the hidden states at `inputs` (eq. (7), (112)).
        A pure function of g and the parameters, differentiable as the variant is.

        Args:
            g: An invertible matrix `[h, h]`.
            params: `dict(model.named_parameters())`.
            inputs: The reference batch, a tuple of the model's arguments.
            variant: The choice of cocycle, by default `QR()`.
            check: Also check values, as `Variant.cocycle`.

        Returns:
            A new dict; all but V, b and U are the same tensors.

        Raises:
            ValueError: If a shape does not fit, the batch has more than h samples and the variant
                cannot take them, or with `check` a value does not fit.
        """
        self._require_element(g, params)
        pi = self._reader_matrix(g, params, inputs, variant, check)
        return self._moved(g, pi, params)

    def freeze(self, g: Tensor, inputs: Inputs, variant: Variant | None = None) -> "FrozenAction":
        """The model moved by g with π fixed at a reference batch, for fresh inputs.

        On a batch with k ≤ h samples of its own, the recomputed π would give the old model back.
        Values are checked. Arguments and errors as `act`.
        """
        params = dict(self.model.named_parameters())
        self._require_element(g, params)
        with torch.no_grad():
            pi = self._reader_matrix(g, params, inputs, variant, check=True)
        return FrozenAction(self, g, pi)

    def _reader_matrix(
        self,
        g: Tensor,
        params: Mapping[str, Tensor],
        inputs: Inputs,
        variant: Variant | None,
        check: bool,
    ) -> Tensor:
        z, activation = self.hidden(params, inputs)
        variant = QR() if variant is None else variant
        return variant.reader(g.to(z), z, activation, check=check).matrix(z, self.width)

    def _moved(self, g: Tensor, pi: Tensor, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved = dict(params)
        weight, bias, read = f"{self.writer}.weight", f"{self.writer}.bias", f"{self.reader}.weight"
        moved[weight] = g.to(moved[weight]) @ moved[weight]
        if bias in moved:
            moved[bias] = g.to(moved[bias]) @ moved[bias]
        moved[read] = moved[read] @ pi.to(moved[read])
        return moved

    def _require_element(self, g: Tensor, params: Mapping[str, Tensor]) -> None:
        require_float("g", g)
        require_square(g, self.width, f"{self.writer!r} writes to R^{self.width}")
        if g.ndim != 2:
            raise ValueError(
                f"`g` must be one matrix [h, h]; got shape {list(g.shape)}. "
                "Use `torch.func.vmap` over several."
            )
        expected = dict(self.model.named_parameters())
        for name, own in expected.items():
            if name not in params or params[name].shape != own.shape:
                got = f"shape {list(params[name].shape)}" if name in params else "nothing"
                raise ValueError(
                    f"`params` must hold {name!r} with shape {list(own.shape)}; got {got}. "
                    "Pass `dict(model.named_parameters())`."
                )


@final
class FrozenAction(nn.Module):
    """A model moved by g, with π = c(g, Z_ref)⁻¹ of a reference batch (Appendix I).

    The model's parameters stay its own, and trainable; every forward run moves them by the buffers
    `g` and `pi`.

    Args:
        space: The hidden space.
        g: The matrix `[h, h]`.
        pi: What the reader is multiplied by, `[h, h]`.
    """

    g: Tensor
    pi: Tensor

    def __init__(self, space: HiddenSpace, g: Tensor, pi: Tensor) -> None:
        super().__init__()
        self.model = space.model
        self._space = space
        self.register_buffer("g", g.detach().clone().to(pi))
        self.register_buffer("pi", pi.detach().clone())

    def moved(self) -> dict[str, Tensor]:
        """The moved parameters, as a dict with the model's own names."""
        return self._space._moved(self.g, self.pi, dict(self.model.named_parameters()))

    def forward(self, *inputs: Any) -> Any:
        return torch.func.functional_call(self.model, self.moved(), inputs)


def hidden_space(model: nn.Module, writer: str, reader: str, inputs: Inputs) -> HiddenSpace:
    """The hidden space between two linear layers of a model, checked by running it.

    Args:
        model: Any module.
        writer: Name of an `nn.Linear`, as in `model.named_modules()`.
        reader: Name of the `nn.Linear` that reads its activation.
        inputs: A tuple of the model's arguments, for the check.

    Raises:
        ValueError: If a name is unknown; a layer is called more or less than once, shares its
            parameters, or has a size that does not fit; the reader reads something else too; the
            writer has another reader; or the model is random in its present mode.
        TypeError: If a layer is no `nn.Linear`: convolutions mix pixels and are not supported.
    """
    layers = [_linear(model, name, role) for name, role in ((writer, "writer"), (reader, "reader"))]
    if writer == reader:
        raise ValueError(f"`writer` and `reader` must be two layers; got {writer!r} for both.")
    if not isinstance(inputs, tuple):
        raise TypeError(
            f"`inputs` must be a tuple of the model's arguments; got {type(inputs).__name__}. "
            "Use `(x,)`."
        )
    front, back = layers
    if front.out_features != back.in_features:
        raise ValueError(
            f"`reader` {reader!r} must take the {front.out_features} coordinates that {writer!r} "
            f"writes, and nothing else; it takes {back.in_features}."
        )
    _require_untied(model, writer, reader)
    space = HiddenSpace(model, writer, reader, front.out_features)
    _require_alone(space, inputs)
    return space


def _linear(model: nn.Module, name: str, role: str) -> nn.Linear:
    modules = dict(model.named_modules())
    if name not in modules:
        close = difflib.get_close_matches(name, modules, 1)
        hint = f"Did you mean {close[0]!r}?" if close else "See `model.named_modules()`."
        raise ValueError(f"`{role}` names no module of the model: {name!r}. {hint}")
    module = modules[name]
    if type(module) is not nn.Linear:
        raise TypeError(
            f"`{role}` must name an nn.Linear, whose rows or columns are the hidden space; "
            f"{name!r} is {type(module).__name__}. Convolutions and others are not supported."
        )
    return module


def _require_untied(model: nn.Module, *names: str) -> None:
    owned = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    uses: dict[int, list[str]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        uses.setdefault(id(tensor), []).append(name)
    for tied in uses.values():
        if len(tied) > 1 and owned & set(tied):
            raise ValueError(
                f"{' and '.join(map(repr, tied))} are one tensor, so that moving one layer would "
                "move another. Untie them first."
            )


def _require_alone(space: HiddenSpace, inputs: Inputs) -> None:
    """Raise unless all that leaves the writer goes through the reader, and nothing else joins."""
    params = dict(space.model.named_parameters())
    with torch.no_grad():
        seen, again = _run(space, params, inputs), _run(space, params, inputs)
        if not _same(seen.out, again.out):
            raise ValueError(
                "`model` gives different outputs on the same inputs, so that nothing can be kept. "
                "Call `model.eval()` if it has dropout."
            )
        if seen.read.shape != seen.written.shape:
            raise ValueError(
                f"{space.reader!r} must read what {space.writer!r} writes, of shape "
                f"{list(seen.written.shape)}; it reads shape {list(seen.read.shape)}."
            )
        flipped = tree_map(lambda x: x.flip(*range(x.ndim)) if _is_data(x) else x, inputs)
        if not _same(_run(space, params, flipped, written=seen.written).read, seen.read):
            raise ValueError(
                f"{space.reader!r} reads something beside {space.writer!r} (a residual "
                "connection?), so that its input is no function of the hidden state."
            )
        is_read = False
        for written in (-seen.written, 1 - seen.written.flip(-1)):
            held = _run(space, params, inputs, written=written, result=seen.result)
            if not _same(held.out, seen.out):
                raise ValueError(
                    f"{space.writer!r} has readers beside {space.reader!r} (a residual "
                    "connection?), which the action would not compensate."
                )
            is_read |= not _same(held.read, seen.read)
        if not is_read:
            raise ValueError(
                f"{space.reader!r} does not read {space.writer!r}: its input stays the same when "
                "the writer's output changes."
            )


def _is_data(x: object) -> bool:
    return isinstance(x, Tensor) and x.ndim > 0


def _same(a: Any, b: Any) -> bool:
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


@final
@dataclass(frozen=True, eq=False)
class _Seen:
    """What one run saw: the writer's output, the reader's input and output, and the model's."""

    written: Tensor
    read: Tensor
    result: Tensor
    out: Any


def _run(
    space: HiddenSpace,
    params: Mapping[str, Tensor],
    inputs: Inputs,
    *,
    written: Tensor | None = None,
    result: Tensor | None = None,
) -> _Seen:
    """Run the model, if asked with another output of the writer or the reader."""
    seen: dict[str, list[Tensor]] = {"written": [], "read": [], "result": []}

    def at_writer(_: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        seen["written"].append(out if written is None else written)
        return seen["written"][-1]

    def at_reader(_: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        seen["read"].append(args[0])
        seen["result"].append(out if result is None else result)
        return seen["result"][-1]

    writer = space.model.get_submodule(space.writer)
    reader = space.model.get_submodule(space.reader)
    # Buffers are copied: batch norm in training mode would write its statistics into the model.
    state = {k: b.clone() for k, b in space.model.named_buffers()}
    with _hook(writer, at_writer), _hook(reader, at_reader):
        out = torch.func.functional_call(space.model, {**state, **params}, inputs)
    for name, kind in ((space.writer, "written"), (space.reader, "read")):
        if len(seen[kind]) != 1:
            raise ValueError(
                f"{name!r} must be called exactly once a run; it was called {len(seen[kind])} "
                "times. Its hidden space would have several activations, or none."
            )
    return _Seen(seen["written"][0], seen["read"][0], seen["result"][0], out)


@contextmanager
def _hook(module: nn.Module, hook: Callable[..., Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
