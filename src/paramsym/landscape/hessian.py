"""The Hessian of a loss as a dense matrix, and all of its eigenvalues."""

import math
from collections.abc import Mapping
from typing import Any

import scipy.linalg
import torch
from torch import Tensor

from paramsym.landscape.expansion import Expansion, Loss, expand

ENTRY_LIMIT = 40_000_000
"""Largest Hessian, in entries (320 MB in float64), that is built."""

EPS = torch.finfo(torch.float64).eps


def hessian(loss: Loss, params: Mapping[str, Tensor]) -> Tensor:
    """The Hessian at θ, `[d, d]`, float64, exactly symmetric.

    Coordinates are the parameters in the order of the dict, each flattened in row-major order. It
    is computed in float64 also for parameters and data of lower precision, row by row in batches,
    and the mean of it and its transpose is returned.

    Args:
        loss: A function of a parameter dict that returns a scalar tensor.
        params: The parameters θ, as `dict(model.named_parameters())`; other tensors that the loss
            uses are constants.

    Raises:
        TypeError: If `loss` is not callable or returns no tensor of real numbers, or an entry of
            `params` is no tensor of real numbers.
        ValueError: If the matrix would have more than `ENTRY_LIMIT` entries; if the loss is no
            scalar, does not depend on `params`, or is not finite, or its derivatives are not; or
            if the rows do not make up a symmetric matrix.
    """
    return dense(expand(loss, params))[0]


def hessian_spectrum(loss: Loss, params: Mapping[str, Tensor]) -> Tensor:
    """All eigenvalues of the Hessian at θ, `[d]`, float64, ascending.

    Their error is of the size d·eps·λ with λ the largest in modulus: an eigenvalue that is zero
    shows as one of that size, of either sign.

    Args:
        loss: As for `hessian`.
        params: As for `hessian`.

    Raises:
        TypeError: As `hessian`.
        ValueError: As `hessian`.
    """
    return eigenvalues(hessian(loss, params))


def dense(expansion: Expansion) -> tuple[Tensor, float]:
    """The symmetric Hessian `[d, d]`, and the asymmetry that rounding left, in Frobenius norm.

    Raises:
        ValueError: If the matrix is too large, not finite or not symmetric.
    """
    d = expansion.coordinates.dim
    if d * d > ENTRY_LIMIT:
        raise ValueError(
            f"the Hessian in {d} parameters has more than {ENTRY_LIMIT:.0e} entries (d ≤ "
            f"{math.isqrt(ENTRY_LIMIT)}). Use `extreme_eigenvalues` or `spectral_density`, which "
            "need only its products with vectors, or pass fewer parameters and leave the others "
            "to the loss as constants."
        )
    basis = torch.eye(d, dtype=torch.float64, device=expansion.theta.device)
    rows = expansion.hessian_products(basis)
    asymmetry = float((rows - rows.mT).norm())
    # What rounding may be compared with: the terms of the expansion, should H itself cancel.
    length = float(expansion.theta.norm()) or 1.0
    scale = max(
        float(rows.norm()),
        float(expansion.gradient.norm()) / length,
        abs(float(expansion.value)) / length**2,
    )
    if asymmetry > math.sqrt(EPS) * scale:
        raise ValueError(
            f"the second derivatives of `loss` do not commute: its Hessian is asymmetric by "
            f"{asymmetry:.1e}, relative to {scale:.1e}. An op has a wrong or detached derivative; "
            "look for `.detach()`, `torch.no_grad()` or a hand-written backward inside the loss."
        )
    return (rows + rows.mT) / 2, asymmetry


def eigenvalues(matrix: Tensor) -> Tensor:
    """The eigenvalues of a symmetric matrix, ascending, `[d]`."""
    if matrix.device.type != "cpu":
        return torch.linalg.eigvalsh(matrix)
    # A third faster than the driver that torch calls.
    found: Any = scipy.linalg.eigvalsh(matrix.numpy(), driver="evr", check_finite=False)
    return torch.from_numpy(found)
