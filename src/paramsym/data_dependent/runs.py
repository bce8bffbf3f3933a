"""Runs of a model in which what one layer writes, and what others read, is seen or replaced."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

Inputs = tuple[Any, ...]
"""Positional arguments of a model."""


@final
@dataclass(frozen=True, eq=False)
class Run:
    """What one run saw.

    Attributes:
        written: What the writer gave.
        read: What each reader took, by name.
        results: What each reader gave.
        out: What the model gave.
    """

    written: Tensor
    read: dict[str, Tensor]
    results: dict[str, Tensor]
    out: Any


def run(
    model: nn.Module,
    writer: str,
    readers: Sequence[str],
    params: Mapping[str, Tensor],
    inputs: Inputs,
    *,
    written: Tensor | None = None,
    results: Mapping[str, Tensor] | None = None,
) -> Run:
    """Run the model with these parameters; it is not changed.

    Args:
        model: The model.
        writer: Name of the layer that writes.
        readers: Names of the layers that read.
        params: Its parameters.
        inputs: Its arguments.
        written: What the writer gives instead.
        results: What the readers give instead.

    Raises:
        ValueError: If a layer is not called exactly once.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in (writer, *readers)}

    def watch(name: str, instead: Tensor | None) -> Callable[..., Tensor]:
        # Copies, because an in-place op behind the layer may write into what is passed on.
        def hook(_: nn.Module, args: Inputs, kwargs: dict[str, Tensor], out: Tensor) -> Tensor:
            result = out if instead is None else instead
            taken = args[0] if args else kwargs["input"]
            seen[name].append((taken.clone(), result))
            return result.clone()

        return hook

    # Buffers are copied: batch norm in training mode would write its statistics into the model.
    state = {k: b.clone() for k, b in model.named_buffers()}
    with ExitStack() as hooks:
        hooks.enter_context(_hook(model.get_submodule(writer), watch(writer, written)))
        for name in readers:
            instead = None if results is None else results[name]
            hooks.enter_context(_hook(model.get_submodule(name), watch(name, instead)))
        out = torch.func.functional_call(model, {**state, **params}, inputs)
    for name, calls in seen.items():
        if len(calls) != 1:
            raise ValueError(
                f"{name!r} must be called exactly once a run; it was called {len(calls)} times. "
                "Its hidden space would have several activations, or none."
            )
    taken, given = (
        {name: calls[0][i] for name, calls in seen.items() if name != writer} for i in (0, 1)
    )
    return Run(seen[writer][0][1], taken, given, out)


@contextmanager
def _hook(module: nn.Module, hook: Callable[..., Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
