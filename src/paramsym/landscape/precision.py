"""Running a loss in float64, whatever dtype its data, its buffers and its casts have."""

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.overrides import TorchFunctionMode

_NARROWING: tuple[Callable[..., Any], ...] = (Tensor.float, Tensor.half, Tensor.bfloat16)


@final
class DoublePrecision(TorchFunctionMode):
    """While it is active every torch function sees float64 for narrower floating dtypes.

    So a model whose parameters were converted runs on the float32 data that its loss holds, and no
    `.float()` inside rounds what the Hessian is made of. Narrow tensors are replaced by wide
    copies, which last as long as the mode: what is written into a buffer is read from it again, and
    the buffer itself stays as it was.

    Attributes:
        largest: Entries of the largest tensor that a function returned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        # With each copy its original, so that no other tensor gets that id.
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _NARROWING:
            func = Tensor.double
        lifted = func(
            *pytree.tree_map(self._lift, args), **pytree.tree_map(self._lift, kwargs or {})
        )
        if isinstance(lifted, torch.Size):  # which would come out as a plain tuple
            return lifted
        found = pytree.tree_map(self._lift, lifted)
        for leaf in pytree.tree_leaves(found):
            if isinstance(leaf, Tensor):
                self.largest = max(self.largest, leaf.numel())
        return found

    def _lift(self, value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return _wide(value)
        if not isinstance(value, Tensor) or _wide(value.dtype) == value.dtype:
            return value
        if id(value) not in self._copies:
            self._copies[id(value)] = (value, value.to(_wide(value.dtype)))
        return self._copies[id(value)][1]


def _wide(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_floating_point:
        return torch.float64
    return torch.complex128 if dtype.is_complex else dtype
