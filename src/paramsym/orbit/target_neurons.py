"""Conserved quantities of single neurons, brought to targets by one scale each, in closed form.

A neuron scaled by c = e^t has Q(t) = Σ d w e^{2dt}, a sum over the degrees d of its ports (1 for
writers, −α for readers) with w ≥ 0 the sum of squares of what they hold. Q increases with t
(docs/derivations.md §17).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

STEPS = 200
"""More than bisection needs between the largest and the smallest float64."""


def attainable(squares: Mapping[float, Tensor], target: Tensor) -> Tensor:
    """Where a scale exists that reaches the target.

    A neuron with writers and readers reaches every number, one without readers the positive ones,
    one without writers the negative ones, one without either 0 alone.

    Args:
        squares: For every degree d the w of each neuron, `[n]`.
        target: Q*, `[n]`.
    """
    nothing = torch.zeros(target.shape, dtype=torch.bool, device=target.device)
    up, down = nothing, nothing
    for degree, w in squares.items():
        if degree > 0:
            up = up | (w > 0)
        elif degree < 0:
            down = down | (w > 0)
    return (up & down) | (up & (target > 0)) | (down & (target < 0)) | (~up & ~down & (target == 0))


def log_scales(squares: Mapping[float, Tensor], target: Tensor) -> Tensor:
    """The t of each neuron with Q(t) = Q*, `[n]`; 0 where nothing changes.

    Degrees 1 and −1 have a closed form without cancellation; others Newton's method, kept inside
    a bracket. Targets must be `attainable`.

    Args:
        squares: For every degree d the w of each neuron, `[n]`, float64.
        target: Q*, `[n]`, float64.
    """
    squares = {d: w for d, w in squares.items() if d != 0}
    if set(squares) <= {1.0, -1.0}:
        zero = torch.zeros_like(target)
        return _degree_one(squares.get(1.0, zero), squares.get(-1.0, zero), target)
    return _bracketed(squares, target)


def _degree_one(a: Tensor, b: Tensor, q: Tensor) -> Tensor:
    root = torch.hypot(q, 2 * a.sqrt() * b.sqrt())
    up = q >= 0
    # Whichever of the two forms adds numbers of one sign.
    above, below = torch.where(up, root + q, 2 * b), torch.where(up, 2 * a, root - q)
    moves = (above > 0) & (below > 0)
    ratio = torch.where(moves, above, 1.0).log() - torch.where(moves, below, 1.0).log()
    return ratio / 2


def _bracketed(squares: Mapping[float, Tensor], target: Tensor) -> Tensor:
    logs = {
        d: torch.where(w > 0, torch.where(w > 0, w, 1.0).log(), -torch.inf)
        for d, w in squares.items()
    }

    def gap(t: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = -target, torch.zeros_like(target)
        for d, log_w in logs.items():
            term = (log_w + 2 * d * t).clamp(max=700.0).exp()
            value, slope = value + d * term, slope + 2 * d * d * term
        return value, slope

    moves = sum((w > 0 for w in squares.values()), torch.zeros_like(target)) > 0
    t = torch.zeros_like(target)
    low, high = t.clone(), t.clone()
    width = torch.ones_like(t)
    for _ in range(60):  # doubles: e^(2·2^60·d) is beyond every number
        too_high, too_low = moves & (gap(low)[0] > 0), moves & (gap(high)[0] < 0)
        if not bool((too_high | too_low).any()):
            break
        low = torch.where(too_high, low - width, low)
        high = torch.where(too_low, high + width, high)
        width = 2 * width
    t = (low + high) / 2
    for _ in range(STEPS):
        value, slope = gap(t)
        low, high = torch.where(value <= 0, t, low), torch.where(value >= 0, t, high)
        newton = t - value / torch.where(slope > 0, slope, 1.0)
        inside = (newton > low) & (newton < high)
        following = torch.where(inside, newton, (low + high) / 2)
        done = (following - t).abs() <= torch.finfo(t.dtype).eps * t.abs()
        t = torch.where(moves, following, 0.0)
        if bool((done | ~moves).all()):
            break
    return t
