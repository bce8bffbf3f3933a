"""How sharp a minimum is: for any loss by products, for two-layer linear nets in closed form.

Along an orbit the function stays and the sharpness does not. For ‖Y − UV‖² the closed forms say
how it depends on Q = VVᵀ − UᵀU, which training conserves.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from paramsym.landscape.expansion import Loss, expand
from paramsym.landscape.extremes import extremes
from paramsym.landscape.hessian import dense, eigenvalues

DENSE_UP_TO = 256
"""Number of parameters up to which all eigenvalues are computed: they are sooner had."""


def sharpness(
    loss: Loss,
    params: Mapping[str, Tensor],
    *,
    tolerance: float = 1e-8,
    generator: torch.Generator | None = None,
) -> float:
    """The largest eigenvalue of the Hessian at θ, of a model of any size.

    Args:
        loss: As for `hessian`.
        params: As for `hessian`, of any size.
        tolerance: Largest error, relative to the norm of the Hessian.
        generator: Source of the random start where products are used; a fixed one when absent.

    Raises:
        TypeError: As `hessian`.
        ValueError: As `extreme_eigenvalues`.
    """
    expansion = expand(loss, params)
    if expansion.coordinates.dim <= DENSE_UP_TO:
        return float(eigenvalues(dense(expansion)[0])[-1])
    found = extremes(expansion, 1, "largest", tolerance, 1000, generator)
    return float(found.values[0])


def linear_net_spectrum(U: Tensor, V: Tensor, *, scale: float = 1.0) -> Tensor:
    """The non-zero Hessian eigenvalues of a two-layer linear net at a minimum of zero loss.

    The loss is scale·‖Y − UV‖² (‖Y − UVX‖² is the same for XXᵀ = I). They are
    2·scale·(s_i(V)² + s_j(U)²) over the n singular values of V and the m of U, those beyond the
    width h being 0 (docs/derivations.md §18). Where h < n and h < m, (n − h)(m − h) of them are 0
    too. All other eigenvalues are 0.

    Args:
        U: `[m, h]`.
        V: `[h, n]`.
        scale: What the sum of squares is multiplied with: ½, or 1/(mn) for the mean.

    Returns:
        `[n·m]`, float64, ascending.

    Raises:
        ValueError: If the shapes do not fit, or `scale` is not positive.
    """
    _require_scale(scale)
    if U.ndim != 2 or V.ndim != 2 or U.shape[1] != V.shape[0]:
        raise ValueError(
            "`U` and `V` must have shapes [m, h] and [h, n]; "
            f"got {tuple(U.shape)} and {tuple(V.shape)}."
        )
    reads, writes = (_padded(U, U.shape[0]), _padded(V, V.shape[1]))
    return (2 * scale * (reads[:, None] ** 2 + writes**2)).flatten().sort().values


def least_sharpness(W: Tensor, Q: Tensor | None = None, *, scale: float = 1.0) -> float:
    """A lower bound on the sharpness of all minima of scale·‖W − UV‖² of zero loss.

    It is 2·scale·max(2 s₁(W), ‖Q‖₂), where Q = VVᵀ − UᵀU is what training conserves. The balanced
    minimum, Q = 0, attains it (docs/derivations.md §18).

    Args:
        W: The product, `[m, n]`.
        Q: Its symmetric h×h matrix, as `symmetry.conserved` gives it; without it, over all Q.
        scale: What the sum of squares is multiplied with.

    Raises:
        ValueError: If `W` or `Q` is no matrix, `Q` is not symmetric, or `scale` is not positive.
    """
    _require_scale(scale)
    if W.ndim != 2:
        raise ValueError(f"`W` must be a matrix [m, n]; got shape {tuple(W.shape)}.")
    bound = 2 * float(torch.linalg.matrix_norm(W.double(), 2))
    if Q is not None:
        if Q.ndim != 2 or Q.shape[0] != Q.shape[1] or not torch.allclose(Q, Q.mT):
            raise ValueError(
                f"`Q` must be a symmetric matrix [h, h]; got shape {tuple(Q.shape)}"
                f"{'' if Q.ndim != 2 or Q.shape[0] != Q.shape[1] else ', which is not symmetric'}."
            )
        bound = max(bound, float(torch.linalg.matrix_norm(Q.double(), 2)))
    return 2 * scale * bound


def scalar_sharpness(Q: float, X: float = 1.0, Y: float = 1.0, *, scale: float = 0.5) -> float:
    """The sharpness at the minimum of scale·(Y − UVX)² with V² − U² = Q.

    It is 2·scale·X²√(Q² + 4Y²/X²), for Q of either sign; eq. (111), which prints twice the root for
    X = Y = 1, corrected (docs/corrections.md). The other eigenvalue is 0.

    Raises:
        ValueError: If `X` is 0 or `scale` is not positive.
    """
    _require_scale(scale)
    if X == 0:
        raise ValueError("`X` must not be 0: the loss would not depend on the weights.")
    return 2 * scale * X * X * math.hypot(Q, 2 * Y / X)


def _padded(matrix: Tensor, count: int) -> Tensor:
    values = torch.linalg.svdvals(matrix.double())
    return torch.cat([values, values.new_zeros(count - len(values))])


def _require_scale(scale: float) -> None:
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"`scale` must be a positive number; got {scale}.")
