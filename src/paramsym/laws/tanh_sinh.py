"""Integrals by the tanh–sinh rule, in torch: one pass, all entries at once.

The substitution t = ½ + ½ tanh(½π sinh u) makes the integrand fall off doubly exponentially at both
ends, where the points crowd; so kinks and near singularities at an end do no harm, and for
integrands analytic inside, doubling the points squares the error.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

STEP, REACH = 1 / 32, 104
"""Spacing in u, and number of points to either side: up to u = 3.25, 1 − t = 1e-17."""


def integral(
    f: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, *, every: int = 1
) -> Tensor:
    """∫ f from each entry of `start` to that of `end`; a tensor of their shape.

    Args:
        f: Acts on each entry of a tensor.
        start: Lower ends.
        end: Upper ends.
        every: Take every second, third, … point only; the difference estimates the error.
    """
    k = torch.arange(-REACH // every * every, REACH + 1, every).to(end)
    bend = math.pi * torch.sinh(k * STEP)
    weight = every * STEP * math.pi * torch.cosh(k * STEP) * bend.sigmoid() * (-bend).sigmoid()
    length = (end - start)[..., None]
    # Counted from the nearer end, so that points beside an end keep their distance to it.
    from_start, from_end = start[..., None] + length * bend.sigmoid(), length * (-bend).sigmoid()
    points = torch.where(k < 0, from_start, end[..., None] - from_end)
    return (f(points) * weight).sum(-1) * length[..., 0]
