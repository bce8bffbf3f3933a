"""Gradient flows of small networks, as subjects that claim no symmetry."""

from collections.abc import Callable

import torch
from torch import Tensor

import paramsym as ps
from tests.laws.flow import RELATIVE, gradient_flow
from tests.laws.subject import Params, Subject, flatten

GLOBAL = 1e2 * RELATIVE
"""Global error of the flow: the steps' errors add, amplified by at most e^(curvature × time)."""

SEEN = 1e6
"""By how much more a wrong quantity must drift."""


def path(
    forward: Callable[[Params, Tensor], Tensor],
    params: dict[str, Tensor],
    inputs: Tensor,
    time: float = 1.0,
) -> list[dict[str, Tensor]]:
    """Parameters at three times of the flow, which must move them by a hundredth."""
    start = Subject(ps.Symmetry.of([], params), params, forward, inputs)
    points = gradient_flow(start, (0.0, time / 3, time))
    theta = flatten(params, params)
    assert (flatten(points[-1], params) - theta).norm() > 0.01 * theta.norm(), "hardly moves"
    return points


def drift(quantity: Callable[[Params], Tensor], points: list[dict[str, Tensor]]) -> float:
    """Largest change of any entry relative to 1 + |Q| + ‖θ‖², the size of what Q sums."""
    start, *later = [quantity(p) for p in points]
    size = 1 + float(start.abs().max()) + max(float(flatten(p, p).square().sum()) for p in points)
    return max(float((Q - start).abs().max()) for Q in later) / size


def assert_kept(
    right: Callable[[Params], Tensor],
    wrong: Callable[[Params], Tensor],
    points: list[dict[str, Tensor]],
) -> None:
    """The right quantity stays to the flow's error, and the wrong one moves visibly."""
    assert drift(right, points) <= GLOBAL
    assert drift(wrong, points) > SEEN * GLOBAL
    assert drift(wrong, points) > SEEN * drift(right, points)


def orthonormal(n: int, k: int, rng: torch.Generator) -> Tensor:
    """k orthonormal columns in R^n."""
    return torch.linalg.qr(torch.randn(n, k, generator=rng, dtype=torch.float64)).Q
