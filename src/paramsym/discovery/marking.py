"""Marks in an exported graph where a hand-written `backward` takes part.

The exporter records what `torch.autograd.Function.forward` computes, and forgets that its gradient
is somebody's own: that of a straight-through estimator is not the derivative of a sign.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.nn.modules._functions import BackwardHookFunction


@torch.library.custom_op("paramsym::own_backward", mutates_args=())
def _own_backward(x: Tensor, author: str) -> Tensor:
    """The same tensor; it says that `author` computes its gradient."""
    return x.clone()


_own_backward.register_fake(lambda x, author: torch.empty_like(x))
_own_backward.register_autograd(lambda ctx, gradient: (gradient, None))

MARK: Any = torch.ops.paramsym.own_backward.default


@contextmanager
def marking_own_backwards() -> Iterator[list[bool]]:
    """Results of autograd functions that are not torch's own are marked while this lasts.

    Yields:
        Whether gradients were on where each of the functions that run now was called: inside them
        they are off.
    """
    function = torch.autograd.Function
    original = function.__dict__["apply"]
    callers: list[bool] = []

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        callers.append(torch.is_grad_enabled())
        try:
            result = original.__get__(None, cls)(*args, **kwargs)
        finally:
            callers.pop()
        if cls.__module__.startswith("torch.") and cls is not BackwardHookFunction:
            return result

        def mark(leaf: Any) -> Any:
            differentiable = isinstance(leaf, Tensor) and leaf.is_floating_point()
            return MARK(leaf, cls.__name__) if differentiable else leaf

        return pytree.tree_map(mark, result)

    function.apply = classmethod(apply)  # type: ignore[method-assign,assignment]
    try:
        yield callers
    finally:
        function.apply = original  # type: ignore[method-assign]


@contextmanager
def refusing_hooks() -> Iterator[None]:
    """Hooks on tensors raise while this lasts: a graph has no place for them, a watched run has."""
    original = Tensor.register_hook

    def refuse(*_: Any) -> None:
        raise RuntimeError("a hook on a tensor changes its gradient, which a graph does not show")

    Tensor.register_hook = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Tensor.register_hook = original  # type: ignore[method-assign]


def hooked(tensor: Tensor) -> bool:
    """Whether a hook may change the tensor's gradient."""
    return bool(tensor._backward_hooks)


HOOK = "a hook on the tensor may change its gradient"
