"""The ends of the spectrum, from products of the Hessian with vectors alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from paramsym.landscape.coordinates import Coordinates
from paramsym.landscape.expansion import Expansion, Loss, expand
from paramsym.landscape.lanczos import lanczos

Which = Literal["largest", "smallest", "magnitude"]

_ENDS: dict[str, tuple[int, ...]] = {"largest": (1,), "smallest": (-1,), "magnitude": (1, -1)}

NORM_STEPS = 6
"""Products spent on the size of the Hessian, of which only the order of magnitude is used."""


@final
@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Some eigenvalues of a Hessian with their eigenvectors.

    Attributes:
        values: Eigenvalues, ascending, `[k]`, float64.
        vectors: Unit eigenvectors, `[k, d]`; `coordinates.unflatten` makes parameter dicts of them.
        residuals: ‖Hv − λv‖ of each, `[k]`. H has an eigenvalue at most that far from λ.
        coordinates: The order of the coordinates.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    coordinates: Coordinates


def hessian_operator(loss: Loss, params: Mapping[str, Tensor]) -> LinearOperator:
    """The Hessian at θ as an operator of SciPy, d×d, float64, symmetric, on NumPy vectors.

    For all that `scipy.sparse.linalg` can do with one: `eigsh`, `minres`, `expm_multiply`, …. The
    loss is evaluated once, now; a product costs about two evaluations of its gradient.

    Args:
        loss: As for `hessian`.
        params: As for `hessian`, of any size.

    Raises:
        TypeError: As `hessian`.
        ValueError: As `hessian`, but for the size. Products raise it if they are not finite.
    """
    return operator(expand(loss, params))


def operator(expansion: Expansion) -> LinearOperator:
    """The Hessian of an expansion as an operator of SciPy."""
    d = expansion.coordinates.dim

    def matmat(columns: Any) -> Any:
        vectors = torch.from_numpy(np.ascontiguousarray(columns.T, dtype=np.float64))
        return expansion.hessian_products(vectors).cpu().numpy().T

    def matvec(vector: Any) -> Any:
        return matmat(vector.reshape(d, 1))[:, 0]

    make: Any = LinearOperator
    return make((d, d), matvec=matvec, rmatvec=matvec, matmat=matmat, rmatmat=matmat, dtype=float)


def extreme_eigenvalues(
    loss: Loss,
    params: Mapping[str, Tensor],
    k: int = 1,
    *,
    which: Which = "largest",
    tolerance: float = 1e-8,
    max_restarts: int = 1000,
    generator: torch.Generator | None = None,
) -> Eigenpairs:
    """The k eigenvalues at an end of the Hessian's spectrum, by restarted Lanczos (ARPACK).

    The residuals are measured with a fresh product and certify that each value is close to an
    eigenvalue. That none further out was missed is likely, as the random start has a component
    along each, but not certain: of eigenvalues closer together than the tolerance, some may be
    missed in favour of the next ones.

    Args:
        loss: As for `hessian`.
        params: As for `hessian`, of any size.
        k: How many, fewer than d.
        which: `"largest"` or `"smallest"`, signs taken into account, or largest in `"magnitude"`.
        tolerance: Largest residual, relative to the norm of the Hessian.
        max_restarts: How many restarts to allow.
        generator: Source of the random start; a fixed one when absent.

    Raises:
        TypeError: As `hessian`.
        ValueError: As `hessian`, but for the size; if `k` or `which` is out of range; or if
            `tolerance` is not reached.
    """
    if which not in _ENDS:
        raise ValueError(f"`which` must be one of {', '.join(_ENDS)}; got {which!r}.")
    if not 0 < tolerance < 1:
        raise ValueError(f"`tolerance` must be between 0 and 1, as 1e-8; got {tolerance}.")
    expansion = expand(loss, params)
    return extremes(expansion, k, which, tolerance, max_restarts, generator)


def extremes(
    expansion: Expansion,
    k: int,
    which: Which,
    tolerance: float,
    max_restarts: int,
    generator: torch.Generator | None,
) -> Eigenpairs:
    """`extreme_eigenvalues` of an expansion.

    Raises:
        ValueError: If `k` is out of range, or `tolerance` is not reached.
    """
    d = expansion.coordinates.dim
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < d:
        raise ValueError(
            f"`k` must be a whole number from 1 to d − 1 = {d - 1}; got {k!r}. "
            "For all eigenvalues use `hessian_spectrum`."
        )
    start = random_start(1, d, generator)[0]
    norm = _norm(expansion, start)
    # At both ends, none of the d eigenvalues twice.
    counts = (k, min(k, d - k))
    ends = [
        _end(expansion, count, sign, norm, tolerance, max_restarts, start)
        for count, sign in zip(counts, _ENDS[which], strict=False)
    ]
    values, vectors = (torch.cat(parts) for parts in zip(*ends, strict=True))
    chosen = values.abs().argsort(descending=True)[:k] if len(ends) > 1 else slice(None)
    values, vectors = values[chosen], vectors[chosen]
    products = expansion.hessian_products(vectors).cpu()
    residuals = (products - values[:, None] * vectors).norm(dim=1)
    norm = max(norm, float(values.abs().max()))
    if float(residuals.max()) > tolerance * norm:
        raise ValueError(
            f"an eigenvalue has a residual of {float(residuals.max()):.1e}, more than `tolerance` "
            f"{tolerance:.1e} × norm {norm:.1e}. Rounding in the products of the Hessian is larger "
            "than that; raise `tolerance`."
        )
    order = values.argsort()
    return Eigenpairs(values[order], vectors[order], residuals[order], expansion.coordinates)


def random_start(k: int, d: int, generator: torch.Generator | None) -> Tensor:
    """Normal vectors, `[k, d]`; the same ones every time without a generator."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return torch.randn(k, d, generator=generator, dtype=torch.float64, device=generator.device)


def _norm(expansion: Expansion, start: Tensor) -> float:
    """The size of the Hessian: its largest eigenvalue in modulus, or somewhat less."""

    def product(vector: Tensor) -> Tensor:
        return expansion.hessian_products(vector[None])[0]

    steps = min(NORM_STEPS, len(start))
    diagonal, beside = lanczos(product, start.to(expansion.theta), steps)
    found: Any = eigvalsh_tridiagonal(diagonal.cpu().numpy(), beside.cpu().numpy())
    return float(np.abs(found).max())


def _end(
    expansion: Expansion,
    k: int,
    sign: int,
    norm: float,
    tolerance: float,
    max_restarts: int,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """The k largest eigenvalues (`sign` 1) or smallest ones (−1), and their vectors `[k, d]`."""
    d = len(start)
    if norm == 0:
        return torch.zeros(k, dtype=torch.float64), torch.eye(k, d, dtype=torch.float64)
    # ARPACK's tolerance is relative to each eigenvalue, and would never be met by one at zero, as
    # the smallest at a minimum is. So H/norm is shifted until all that are sought are of size one.
    base, shift = operator(expansion), 2 * sign
    # As `Any`: the stubs lack arguments that both take.
    make: Any = LinearOperator
    solve: Any = eigsh
    shifted = make((d, d), matvec=lambda v: base.matvec(v) / norm + shift * v, dtype=np.float64)
    try:
        found: Any = solve(
            shifted,
            k,
            which="LA" if sign > 0 else "SA",
            v0=start.cpu().numpy(),
            tol=tolerance / 6,  # shifted eigenvalues are up to about three
            maxiter=max_restarts,
        )
    except ArpackNoConvergence as error:
        raise ValueError(
            f"{len(error.eigenvalues)} of {k} eigenvalues converged to `tolerance` {tolerance:.1e} "
            f"in {max_restarts} restarts. Raise `tolerance` or `max_restarts`, or ask for fewer: "
            "eigenvalues that lie close together are hard to tell apart."
        ) from error
    values, vectors = found
    return torch.from_numpy((values - shift) * norm), torch.from_numpy(
        np.ascontiguousarray(vectors.T)
    )
