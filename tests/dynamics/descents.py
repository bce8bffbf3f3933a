"""Two-layer networks for tests of gradient descent, and the plain loop they are held against."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda V: V,
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "radial": lambda V: V / V.square().sum(-1, keepdim=True),
}
"""As a user would write them, apart from ours."""

Params = dict[str, Tensor]


def start(
    rng: torch.Generator,
    runs: int,
    shape: tuple[int, int, int] = (3, 4, 5),
    std: float = 0.7,
    dtype: torch.dtype = torch.float64,
) -> tuple[Params, Tensor]:
    """U and V of (m, h, n) with entries N(0, std²), and targets N(0, 1) of each run."""
    m, h, n = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(runs, *size, generator=rng, dtype=torch.float64).to(dtype)

    return {"U": std * normal(m, h), "V": std * normal(h, n)}, normal(m, n)


def loss_of_one(activation: str, Y: Tensor, scale: float = 1.0) -> Callable[[Any], Tensor]:
    """s ‖Y − U σ(V)‖² of one run, as a user would write it."""

    def loss(params: Params) -> Tensor:
        return scale * (Y - params["U"] @ ACTIVATIONS[activation](params["V"])).square().sum()

    return loss


def plain_loop(
    activation: str, params: Params, Y: Tensor, rates: list[float], steps: int, **options: Any
) -> list[list[Params]]:
    """Every run by itself under torch.optim.SGD: the parameters after 0, 1, … steps, by run."""
    found = []
    for run, lr in enumerate(rates):
        own = {k: p[run].clone().requires_grad_() for k, p in params.items()}
        engine = torch.optim.SGD(list(own.values()), lr=lr, **options)
        path = [{k: p.detach().clone() for k, p in own.items()}]
        for _ in range(steps):
            engine.zero_grad()
            loss_of_one(activation, Y[run] if Y.ndim == 3 else Y)(own).backward()
            engine.step()
            path.append({k: p.detach().clone() for k, p in own.items()})
        found.append(path)
    return found
