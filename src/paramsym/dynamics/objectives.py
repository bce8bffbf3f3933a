"""Losses of many runs at once, and their gradients: what gradient descent needs to know.

Every parameter has a leading axis of runs, and the loss is one number a run. Runs do not see one
another, so the gradient of the summed loss holds the gradient of each.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

Params = Mapping[str, Tensor]
Loss = Callable[[Params], Tensor]


@final
class Calls(tuple[Callable[[], Any], ...]):
    """Functions without arguments, as one that calls them in order.

    A step on small networks is little more than its calls, so that gradient descent makes those of
    the gradient one by one, without a function around them, and in torch's inference mode: none
    may use autograd.
    """

    __slots__ = ()

    def __call__(self) -> None:
        for call in self:
            call()


@runtime_checkable
class Objective(Protocol):
    """A loss of many runs at once with a gradient of its own.

    `TwoLayer` is one; any class with these members is another.
    """

    @property
    def transposed(self) -> Collection[str]:
        """Parameters whose last two axes are to be the other way round in memory, for speed."""
        ...

    def losses(self, params: Params) -> Tensor:
        """The loss of each run, `[runs]`.

        Args:
            params: Parameter dict, every entry with a leading axis of runs.

        Raises:
            ValueError: If a parameter does not fit.
        """
        ...

    def gradient(self, params: Params, into: Params) -> Callable[[], object]:
        """A function of no arguments, best `Calls`, that writes ∇L at `params` into `into`.

        Both are contiguous, but for `transposed`, and keep their memory: each call reads the values
        that `params` have then. It is made under `torch.no_grad`, or as `Calls` says.
        """
        ...

    def settings(self) -> Mapping[str, Tensor | str]:
        """All that determines the loss, so that a checkpoint of another is told apart."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Functional:
    """Any loss of one run's parameter dict, for many runs by `torch.func.vmap`.

    Attributes:
        loss: A pure function of one run's parameter dict that gives a number; deterministic, so
            that a resumed descent is the same descent.
    """

    loss: Loss

    def losses(self, params: Params) -> Tensor:
        """The loss of each run, `[runs]`.

        Raises:
            TypeError: If the loss is no floating-point tensor.
            ValueError: If it is not one number a run.
        """
        found = for_each_run(self.loss, params)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            got = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"`loss` must return a floating-point tensor; got {got}.")
        if found.ndim != 1:
            raise ValueError(
                f"`loss` must return one number, a tensor of shape (), for one run's parameters; "
                f"got shape {tuple(found.shape[1:])}. Take the mean or the sum."
            )
        return found

    @property
    def transposed(self) -> Collection[str]:
        """None."""
        return ()

    def gradient(self, params: Params, into: Params) -> Callable[[], None]:
        """A function that writes ∇L at `params` into `into`; see `Objective`.

        The backward pass is one of plain batched operations: only the forward pass meets `vmap`.
        """
        names = tuple(params)

        def write() -> None:
            leaves = [params[name].detach().requires_grad_() for name in names]
            with torch.enable_grad():
                total = for_each_run(self.loss, dict(zip(names, leaves, strict=True))).sum()
                if not total.requires_grad:
                    raise ValueError(
                        "`loss` must depend on the parameters in a way that torch can "
                        "differentiate; it detaches them, or does not use them."
                    )
                # A loss may leave parameters out; their gradient is zero, as torch.func has it.
                found = torch.autograd.grad(total, leaves, materialize_grads=True)
            for name, gradient in zip(names, found, strict=True):
                into[name].copy_(gradient)

        return write

    def settings(self) -> Mapping[str, Tensor | str]:
        """The name of the loss. Its code and its data cannot be told from those of another."""
        return {"loss": getattr(self.loss, "__qualname__", type(self.loss).__qualname__)}


def for_each_run(function: Loss, params: Params) -> Tensor:
    """A function of one run's parameters, of every run: results stacked along a leading axis.

    A single run goes without `vmap`, so that any code will do.
    """
    if all(len(p) == 1 for p in params.values()):
        found = function({name: p[0] for name, p in params.items()})
        return found[None] if isinstance(found, Tensor) else found
    return torch.func.vmap(function)(dict(params))
