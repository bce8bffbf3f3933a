"""Gradient descent of many runs at once, beside the loop that a user would write for each.

The loop is autograd and torch.optim.SGD on one run after another, on the settings of Figures 3 and
7 of the paper: all activations, learning rates and starts, a fixed share of the steps of both. A
step costs the same all along, so the ratio is that of the whole figure.

The last lines hold a step against its arithmetic: the floating-point operations of its three matrix
products, done as one large product at the rate that this core reaches in the same run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import paramsym as ps
from benchmarks.timing import Comparison, compare
from paramsym.dynamics.two_layer import TwoLayer

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda V: V,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "radial": lambda V: V / V.square().sum(-1, keepdim=True),
}
SHARE = 160
"""One step of so many of the paper's is taken."""

SIDE = 512
"""Of the large matrix product."""


@dataclass(frozen=True)
class Runs:
    """Runs with one activation: parameters at the start, a target, a learning rate for each."""

    activation: str
    params: dict[str, Tensor]
    Y: Tensor
    lr: Tensor
    steps: int

    def loss(self, params: Mapping[str, Tensor], Y: Tensor) -> Tensor:
        """The mean of squares of one run, as the public code has it."""
        return (Y - params["U"] @ ACTIVATIONS[self.activation](params["V"])).square().mean()

    def fused(self) -> None:
        """All runs at once, with the analytic gradients."""
        objective = TwoLayer(self.activation, self.Y, 1 / self.Y[0].numel())
        self._descend(objective)

    def functional(self) -> None:
        """All runs at once, any loss: the runs of one target, since a loss of one run has one."""
        self._descend(lambda params: self.loss(params, self.Y[0]))

    def plain(self) -> None:
        """Each run by itself."""
        for run, lr in enumerate(self.lr.tolist()):
            params = {k: p[run].clone().requires_grad_() for k, p in self.params.items()}
            engine = torch.optim.SGD(list(params.values()), lr=lr)
            for _ in range(self.steps):
                engine.zero_grad()
                self.loss(params, self.Y[run]).backward()
                engine.step()

    def _descend(self, loss: Callable[[Mapping[str, Tensor]], Tensor] | TwoLayer) -> None:
        ps.gradient_descent(
            loss, self.params, lr=self.lr, steps=self.steps, runs=len(self.lr), at=[0, self.steps]
        )


def figure_3(seeds: int, share: int, rng: torch.Generator) -> list[Runs]:
    """(m, n, h) = (5, 10, 50), three learning rates, 400,000 steps; sigmoid twice as many."""
    rates = torch.tensor([0.1, 0.01, 0.001], dtype=torch.float64)
    normal = partial(torch.randn, generator=rng, dtype=torch.float64)
    found = []
    for activation in ("identity", "relu", "tanh", "sigmoid"):
        params = {"U": 0.1 * normal(seeds, 5, 50), "V": 0.1 * normal(seeds, 50, 10)}
        Y = normal(seeds, 5, 10)
        steps = 400_000 * (2 if activation == "sigmoid" else 1) // share
        each = {k: p.repeat_interleave(len(rates), 0) for k, p in params.items()}
        Y = Y.repeat_interleave(len(rates), 0)
        found.append(Runs(activation, each, Y, rates.repeat(seeds), steps))
    return found


def figure_7(share: int, rng: torch.Generator) -> list[Runs]:
    """U 5×5 and V 5×10, diagonal with entries N(s, s²), four s, a million steps."""
    normal = partial(torch.randn, generator=rng, dtype=torch.float64)
    scales = torch.tensor([0.01, 0.1, 1.0, 10.0], dtype=torch.float64)
    U, V = (torch.diag_embed(scales[:, None] * (1 + normal(4, 5))) for _ in range(2))
    V = torch.cat([V, torch.zeros(4, 5, 5, dtype=torch.float64)], 2)
    rates = torch.full((4,), 1e-5, dtype=torch.float64)
    return [Runs("radial", {"U": U, "V": V}, normal(4, 5, 10), rates, 1_000_000 // share)]


def run() -> Iterator[Comparison]:
    """Time one step in so many of Figures 3 and 7, and steps of Figure 3 against arithmetic."""
    rng = torch.Generator().manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        three, seeds = figure_3(1, SHARE, rng), figure_3(5, 5 * SHARE, rng)
        seven = figure_7(SHARE, rng)
        for name, runs, ours, pairs, limit in (
            ("Figure 3 / a loop for each run", three, Runs.fused, 3, 1 / 15),
            ("Figure 3, five seeds / a loop for each run", seeds, Runs.fused, 3, 1 / 15),
            ("Figure 3 by any loss / a loop for each run", three, Runs.functional, 3, None),
            ("Figure 7 / a loop for each run", seven, Runs.fused, 3, 1 / 10),
        ):
            yield compare(
                name,
                lambda runs=runs, ours=ours: [ours(r) for r in runs],
                lambda runs=runs: [r.plain() for r in runs],
                pairs=pairs,
                limit=limit,
            )
        for count, runs in ((3, three), (15, seeds)):
            for own in runs:
                yield _against_arithmetic(f"{own.activation}, {count} runs", own)
    finally:
        torch.set_num_threads(threads)


def _against_arithmetic(name: str, runs: Runs) -> Comparison:
    """As many steps as have the operations of two large products."""
    U, V = runs.params["U"], runs.params["V"]
    operations = 3 * 2 * U.numel() * V.shape[2]
    steps = round(2 * 2 * SIDE**3 / operations)
    own = Runs(runs.activation, runs.params, runs.Y, torch.full_like(runs.lr, 1e-3), steps)
    matrix = torch.ones(SIDE, SIDE, dtype=torch.float64)
    out = torch.empty_like(matrix)
    return compare(
        f"{name}: {steps} steps / their arithmetic in a large product",
        own.fused,
        lambda: [torch.mm(matrix, matrix, out=out) for _ in range(2)],
        pairs=7,
        limit=None,
    )
