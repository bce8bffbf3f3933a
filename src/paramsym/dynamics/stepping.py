"""The update of gradient descent on all parameters of all runs at once.

All parameters lie in one flat tensor, one after another, each with its axis of runs first, so that
an update is one or two torch calls whatever the number of parameters, and every parameter is a
dense view.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from paramsym.dynamics.objectives import Calls, Objective, Params


@final
@dataclass(frozen=True)
class Rule:
    """The rule of torch.optim.SGD without dampening: b' = βb + g + λθ, θ' = θ − ηs.

    s is b', or g + λθ + βb' for Nesterov's kind. The buffer b starts at zero.

    Raises:
        ValueError: If β is not in [0, 1), λ is negative or not finite, or Nesterov's kind is asked
            for without momentum.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1; got {self.momentum}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"`weight_decay` must be finite and not negative; got {self.weight_decay}."
            )
        if self.nesterov and not self.momentum:
            raise ValueError(
                "`nesterov` needs a positive `momentum`; got momentum = 0. Pass one, such as 0.9."
            )


@final
class State:
    """Parameters and momentum buffers of all runs, which steps change in place.

    Attributes:
        theta: All parameters, flat.
        buffer: Momentum buffers in the same order; `None` without momentum.
        params: The parameters as views of theta, `[runs, …]`.
    """

    def __init__(self, params: Params, rule: Rule, transposed: Collection[str]) -> None:
        self._transposed = frozenset(transposed)
        # Sorted, so that a checkpoint does not depend on the order in which a dict was made.
        stored = {name: self._turn(name, params[name].detach()) for name in sorted(params)}
        self._shapes = {name: p.shape for name, p in stored.items()}
        self.theta = torch.cat([p.flatten() for p in stored.values()])
        self.buffer = torch.zeros_like(self.theta) if rule.momentum else None
        self.params = self._views(self.theta)

    def _turn(self, name: str, parameter: Tensor) -> Tensor:
        return parameter.mT if name in self._transposed else parameter

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parts of a flat tensor, in the parameters' shapes."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        return {
            name: self._turn(name, part.view(shape))
            for part, (name, shape) in zip(parts, self._shapes.items(), strict=True)
        }

    def stepper(self, objective: Objective, rule: Rule, lr: Tensor) -> Callable[[int], None]:
        """A function that takes a number of steps, with the learning rates `[runs]`."""
        theta, b = self.theta, self.buffer
        g = torch.zeros_like(theta)
        # Spelled out for each entry, which a product with few rows takes half the time of.
        minus_lr = torch.cat(
            [
                (-lr)[:, None].expand(-1, shape[1:].numel()).flatten()
                for shape in self._shapes.values()
            ]
        )
        write = objective.gradient(self.params, self._views(g))
        fused = isinstance(write, Calls)
        calls: list[Callable[[], Any]] = [*write] if fused else [write]
        if rule.weight_decay:
            calls.append(partial(g.add_, theta, alpha=rule.weight_decay))
        if b is None:
            calls.append(partial(theta.addcmul_, g, minus_lr))
        else:
            calls += [partial(b.mul_, rule.momentum), partial(b.add_, g)]
            if rule.nesterov:
                calls.append(partial(g.add_, b, alpha=rule.momentum))
            calls.append(partial(theta.addcmul_, g if rule.nesterov else b, minus_lr))

        def advance(steps: int) -> None:
            # Calls that never need autograd are cheaper by a fifteenth without its bookkeeping.
            with torch.inference_mode() if fused else torch.no_grad():
                for _ in range(steps):
                    for call in calls:
                        call()

        return advance
