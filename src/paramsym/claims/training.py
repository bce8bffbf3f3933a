"""Appendix G.3: pairs of training runs that differ in Q alone, and sign tests on them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from scipy.stats import binom
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.convergence import INVERSE, Rows
from paramsym.claims.dynamics import ACTIVATIONS
from paramsym.claims.flow import gradient_flow, worst
from paramsym.claims.sampling import normal

PAIRS = 80
"""Pairs of runs for each activation."""

FALSE_ALARM = 1e-6
"""Probability that a sign test accepts a statement for which the signs are tosses of a coin."""

Sigma = Callable[[Tensor], Tensor]


def exceptions_allowed(pairs: int) -> int:
    """The most exceptions of so many pairs that chance gives with probability `FALSE_ALARM`."""
    return int(binom.ppf(FALSE_ALARM, pairs, 0.5)) - 1


def sign_test(exceptions: dict[str, int], what: str) -> Residual:
    """Exceptions to "more with the larger |Q|" for each activation, the most of which count."""
    name = max(exceptions, key=lambda key: exceptions[key])
    words = f"{what}, most of {PAIRS} pairs ({name}); chance keeps to the bound once in 10⁶"
    return Residual(exceptions[name], exceptions_allowed(PAIRS), words)


@final
@dataclass(frozen=True)
class Runs:
    """The ends of pairs of runs of gradient descent on ‖Y − Uσ(Vᵀ)‖².

    Both runs of a pair start from one function of the linear net, (cU, V/c) with two values of c.
    U and V have one norm, so Q = Tr[UᵀU − VVᵀ] has the sign of log c, the same in a pair, and grows
    with |log c|.

    Attributes:
        steps: Steps to the goal, `[2, PAIRS]`: smaller and larger |Q|.
        U: Where the last run reached the goal, `[2 PAIRS, m, h]`.
        V: The same, `[2 PAIRS, n, h]`.
        Y: Targets, `[2 PAIRS, m, n]`.
    """

    steps: Tensor
    U: Tensor
    V: Tensor
    Y: Tensor


def run_pairs(
    sigma: Sigma, rng: torch.Generator, shape: tuple[int, int, int], rate: float, goal: float
) -> Runs:
    """Descend from all starts until the loss is below the goal times ‖Y‖², or for 4000 steps."""
    m, h, n = shape
    Y, U, V = normal(rng, PAIRS, m, n), normal(rng, PAIRS, m, h), normal(rng, PAIRS, n, h)
    norms = [p.norm(dim=(1, 2), keepdim=True) for p in (U, V)]
    U, V = 3 * U / norms[0], 3 * V / norms[1]
    logs = 1.6 * torch.rand(2, PAIRS, generator=rng, dtype=Y.dtype).sort(dim=0).values
    logs[:, ::2] *= -1
    c = logs.exp()[:, :, None, None]
    U, V, Y = (c * U).flatten(0, 1), (V / c).flatten(0, 1), Y.repeat(2, 1, 1)
    steps = descend_all(sigma, U, V, Y, rate, goal)
    return Runs(steps.view(2, PAIRS), U, V, Y)


def descend_all(sigma: Sigma, U: Tensor, V: Tensor, Y: Tensor, rate: float, goal: float) -> Tensor:
    """Steps to the goal of every run; U and V are moved in place, 4000 steps at most."""
    needed = torch.full((len(Y),), 4000)
    target = goal * Y.square().sum((1, 2))
    for step in range(4000):
        leaves = (U.detach().requires_grad_(), V.detach().requires_grad_())
        losses = (leaves[0] @ sigma(leaves[1].mT) - Y).square().sum((1, 2))
        needed[(losses <= target) & (needed > step)] = step
        if bool((needed <= step).all()):
            break
        slope = torch.autograd.grad(losses.sum(), leaves)
        for p, g in zip((U, V), slope, strict=True):
            p -= rate * g
    return needed


@claim(
    "fig-6",
    "Appendix G.3, Figure 6",
    "The number of steps to near convergence is correlated with Q.",
    documented=Verdict.HOLDS,
)
def steps_and_imbalance(rng: torch.Generator) -> Evidence:
    """Whether a larger |Q| of the same sign is faster, in nets of the size of Figure 6."""
    exceptions: dict[str, int] = {}
    for name, sigma in ACTIVATIONS.items():
        less, more = run_pairs(sigma, rng, (5, 50, 10), 3e-3, 0.01).steps
        exceptions[name] = int((more >= less).sum())
    return Evidence(sign_test(exceptions, "starts with larger |Q| that are not faster"))


@claim(
    "fig-7",
    "Appendix G.3, Figure 7",
    "With h(r) = r^−2, convergence is faster when Q = Tr[UᵀU + VᵀV] is small.",
    documented=Verdict.HOLDS,
)
def small_is_fast(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(2):
        net = Rows(INVERSE, normal(rng, 3, 5))
        theta = (normal(rng, 3, 3), normal(rng, 5, 3))
        ends: list[float] = []
        for c in (1.0, 1.4, 2.0):
            # The same function at c² times the Q: by homogeneity everything takes c² as long.
            path = gradient_flow(net.loss, tuple(c * p for p in theta), 0.1)
            ends.append(float(net.loss(*path.thetas[-1])))
        pairs += [(a / b, 1.0) for a, b in pairwise(ends)]
    return Evidence(worst(pairs, "loss after a time at Q / at about 2Q, below 1; Q, 2Q, 4Q, twice"))
