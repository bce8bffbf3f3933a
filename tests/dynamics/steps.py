"""Training with torch's optimisers, step by step, on the subjects of the laws."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tests.laws.subject import Params, Subject


@dataclass(frozen=True)
class Step:
    """Minibatch gradients, the parameters before and after, and torch's momentum buffer after."""

    grads: Params
    before: Params
    after: Params
    buffer: Params


def training(
    network: Subject,
    steps: int,
    rng: torch.Generator,
    *,
    optimiser: type[torch.optim.Optimizer] = torch.optim.SGD,
    rates: tuple[float, ...] | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Steps of an optimiser on random minibatches of a loss that depends on the outputs alone.

    Args:
        rates: A learning rate for each step, in turn, in place of `lr`.
    """
    params = {k: p.clone().requires_grad_() for k, p in network.params.items()}
    engine = optimiser(list(params.values()), **options)
    for step in range(steps):
        if rates is not None:
            for group in engine.param_groups:
                group["lr"] = rates[step % len(rates)]
        batch = torch.randperm(len(network.inputs), generator=rng)[: len(network.inputs) // 2 + 1]
        outputs = network.forward(params, network.inputs[batch])
        engine.zero_grad()
        (outputs - outputs.detach().cos()).square().mean().backward()
        grads = {k: p.grad.clone() for k, p in params.items() if p.grad is not None}
        before = _copied(params)
        engine.step()
        buffers = {k: engine.state[p].get("momentum_buffer") for k, p in params.items()}
        buffer = {k: b.clone() for k, b in buffers.items() if b is not None}
        yield Step(grads, before, _copied(params), buffer)


def _copied(params: Params) -> dict[str, torch.Tensor]:
    return {k: p.detach().clone() for k, p in params.items()}
