"""Residuals: how far an output is from another, and several of them in one."""

import math

import torch
from torch import Tensor


def largest(*values: float) -> float:
    """The largest value; NaN if one of them is, which `max` drops or keeps as the order has it."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def relative_change(output: Tensor, reference: Tensor) -> float:
    """Largest difference of two outputs, relative to the largest entry of the reference.

    Integers and truth values must be equal: 1 if one is not. The difference itself where the
    reference is zero; infinite where that is not finite.
    """
    if _is_number(reference):
        return relative_size(output - reference, reference)
    return float((output != reference).any())


def relative_size(change: Tensor, reference: Tensor) -> float:
    """As `relative_change`, of a change that is known."""
    if not _is_number(reference):
        return float((change != 0).any())
    if reference.numel() == 0:
        return 0.0
    size = reference.abs().max()
    if not bool(torch.isfinite(size)):
        return math.inf
    return float(change.abs().max() / size) if size > 0 else float(change.abs().max())


def _is_number(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()
