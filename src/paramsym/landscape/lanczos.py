"""Lanczos' recurrence: a small tridiagonal matrix in place of a large symmetric one."""

from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""Multiplies a vector `[d]` by a symmetric matrix H."""

EPS = torch.finfo(torch.float64).eps


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The tridiagonal BᵀHB, where the orthonormal columns of B span {v, Hv, H²v, …}.

    All vectors are kept, and each new one is made orthogonal to them twice, so that rounding finds
    no eigenvalue a second time.

    Args:
        product: Multiplies by H.
        start: The vector v, `[d]`, not zero.
        steps: Number of products, at most d.

    Returns:
        The diagonal `[steps]` and what stands beside it `[steps − 1]`. Once the span is invariant
        the rest is zero, and decoupled from what came before.
    """
    d = len(start)
    diagonal, beside = start.new_zeros(steps), start.new_zeros(steps - 1)
    basis = start.new_zeros(steps, d)
    basis[0] = start / start.norm()
    size = 0.0
    for j in range(steps):
        found = product(basis[j])
        size = max(size, float(found.norm()))
        diagonal[j] = basis[j] @ found
        if j + 1 == steps:
            break
        made = basis[: j + 1]
        for _ in range(2):
            found = found - (made @ found) @ made
        length = float(found.norm())
        if length <= d * EPS * size:  # the rounding of the product, and no direction
            break
        beside[j] = length
        basis[j + 1] = found / length
    return diagonal, beside
