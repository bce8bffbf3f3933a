"""The flat directions at a critical point: those along the orbit of a symmetry, and the rest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.func import grad, vmap

from paramsym.action import tangent
from paramsym.landscape.coordinates import Coordinates
from paramsym.landscape.expansion import Expansion, Loss, expand
from paramsym.landscape.hessian import EPS, dense
from paramsym.moment_map import moment
from paramsym.orbit_dimension import DENSE_LIMIT
from paramsym.parameters import check_params
from paramsym.symmetry import Symmetry

ROUNDING = 2**7
"""Rounding errors of one entry of a Hessian, in units of eps: those of two passes forward and back
through a few layers of a few dozen terms."""

CLEAR_GAP = 1e3
"""Factor above the threshold within which an eigenvalue is not counted with confidence."""


@final
@dataclass(frozen=True, eq=False)
class NullSpace:
    """The numerical null space of a Hessian, split by a symmetry.

    Attributes:
        orbit: Orthonormal basis of the orbit's tangent space, `[orbit_dim, d]`.
        rest: Orthonormal basis of the null directions orthogonal to it, `[rest_dim, d]`.
        eigenvalues: All eigenvalues of the Hessian, ascending, `[d]`.
        threshold: Eigenvalues up to this modulus count as zero.
        kept: Smallest modulus above the threshold; infinite if there is none.
        dropped: Largest modulus that counts as zero; 0 if there is none.
        gradient: ‖∇L‖.
        curvature: ‖HZ‖ for the basis Z of the orbit's directions. It is what keeps them from being
            null where the gradient does not vanish, and rounding at a critical point.
        residual: ‖HZ + (∂ξ)ᵀ∇L‖ for their fields ξ, relative to the norm of H: rounding at any θ
            if the symmetry leaves this loss alone.
        coordinates: The order of the coordinates.
    """

    orbit: Tensor
    rest: Tensor
    eigenvalues: Tensor
    threshold: float
    kept: float
    dropped: float
    gradient: float
    curvature: float
    residual: float
    coordinates: Coordinates

    @property
    def orbit_dim(self) -> int:
        """Flat directions along the orbit."""
        return len(self.orbit)

    @property
    def rest_dim(self) -> int:
        """Flat directions that the symmetry does not explain."""
        return len(self.rest)

    @property
    def dim(self) -> int:
        """Flat directions in all."""
        return self.orbit_dim + self.rest_dim

    @property
    def gap(self) -> float:
        """Smallest eigenvalue that counts, over the largest that does not, in modulus."""
        return self.kept / self.dropped if self.dropped else math.inf

    @property
    def undecided(self) -> int:
        """Eigenvalues too close to the threshold for either side; 0 where the count is clear.

        All of them, if the threshold exceeds the whole Hessian.
        """
        if self.dropped and self.kept == math.inf:
            return len(self.eigenvalues)
        size = self.eigenvalues.abs()
        return int(((size > self.threshold) & (size <= CLEAR_GAP * self.threshold)).sum())


def split_null_space(
    loss: Loss, params: Mapping[str, Tensor], symmetry: Symmetry, *, strict: bool = True
) -> NullSpace:
    """Split the null space of the Hessian at θ into orbit directions and the rest.

    At a critical point every direction of the orbit is null. Elsewhere H ξ = −(∂ξ)ᵀ∇L for the field
    ξ of a generator, so that the Hessian has as many eigenvalues of modulus at most ‖HZ‖ as the
    orbit has dimensions (docs/derivations.md §18). An eigenvalue counts as zero up to

        ‖HZ‖ + ‖∇L‖/r + (ROUNDING·√d + d)·eps·λ,

    with λ the norm of H and r the root mean square of the parameters. The first term bounds what
    the gradient does to the orbit's directions; the second says what it does to other flat
    directions, if they bend no more sharply than the circle that one weight describes; the third is
    the rounding of the Hessian and of its eigenvalues.

    Args:
        loss: As for `hessian`; a function of the model's outputs alone, for the symmetry to hold.
        params: θ, all parameters of the symmetry; a minimum, as well converged as it can be had.
        symmetry: A symmetry of the model, discovered or written by hand.
        strict: Raise where the count is undecided; without it `undecided` says so.

    Raises:
        TypeError: As `hessian`; or if `symmetry` is none.
        ValueError: As `hessian`; if there are too many generators; if the parameters are not those
            of the symmetry; if the symmetry is none of this loss; or if `strict` and an eigenvalue
            is neither clearly zero nor clearly not.
    """
    if not isinstance(symmetry, Symmetry):
        raise TypeError(
            f"`symmetry` must be a Symmetry; got {type(symmetry).__name__}. "
            "`paramsym.discover(model, inputs)` finds one."
        )
    check_params(params, symmetry.parameters, values=True)
    total = sum(p.numel() for p in params.values())
    if symmetry.group_dim * total > DENSE_LIMIT:
        raise ValueError(
            f"the tangents of {symmetry.group_dim} generators in {total} parameters have more "
            f"than {DENSE_LIMIT:.0e} entries. Use `symmetry.select(…)` on fewer families."
        )
    for family in symmetry.families:
        family.require_gains(params)
    expansion = expand(loss, params)
    H, asymmetry = dense(expansion)
    values, vectors = torch.linalg.eigh(H)
    order, g, theta = expansion.coordinates, expansion.gradient, expansion.theta
    d, norm = order.dim, float(values.abs().max())
    rounding = max((ROUNDING * math.sqrt(d) + d) * EPS * norm, asymmetry)
    Z, pull, condition = _orbit(symmetry, expansion)
    HZ = Z @ H
    residual = _norm(HZ + pull)
    # The rounding of H·θ in the gradient enters through tangents that are as short as one weight.
    allowed = rounding * condition * (1 + math.sqrt(d))
    if residual > allowed:
        raise ValueError(
            f"`symmetry` does not leave this loss as it is: the derivative of ⟨∇L, ξ⟩ = 0 along "
            f"its directions is off by {residual / norm:.1e} relative to the Hessian, where "
            f"rounding explains {allowed / norm:.1e}. Weight decay and other terms in the weights "
            "break it, and so does a family that is exact only as eps → 0; leave such terms out, "
            "or such families, by `symmetry.select(…)`."
        )
    curvature, slope = _norm(HZ), _norm(g)
    threshold = curvature + slope / _scale(theta) + rounding
    size = values.abs()
    null = size <= threshold
    found = NullSpace(
        orbit=Z,
        rest=_rest(vectors[:, null].mT, Z),
        eigenvalues=values,
        threshold=threshold,
        kept=float(size[~null].min()) if not bool(null.all()) else math.inf,
        dropped=float(size[null].max()) if bool(null.any()) else 0.0,
        gradient=slope,
        curvature=curvature,
        residual=residual / norm if norm else 0.0,
        coordinates=order,
    )
    if strict and found.undecided:
        raise ValueError(
            f"the null space is undecided: {found.undecided} of {d} eigenvalues are neither "
            f"clearly zero nor clearly not. The norm of the Hessian is {norm:.1e}, the threshold "
            f"{threshold:.1e}: the gradient, {slope:.1e}, keeps the orbit's directions from being "
            f"null by {curvature:.1e}, and rounding accounts for {rounding:.1e}. Train on until "
            "the gradient vanishes, or pass `strict=False` to see the eigenvalues."
        )
    return found


def _orbit(symmetry: Symmetry, expansion: Expansion) -> tuple[Tensor, Tensor, float]:
    """An orthonormal basis Z of the tangents at θ `[k, d]`, (∂ξ)ᵀ∇L for its fields `[k, d]`, and
    the condition of the tangents that Z was made of."""
    order, theta, g = expansion.coordinates, expansion.theta, expansion.gradient
    fields = [theta.new_zeros(0, order.dim)]
    pulls = [theta.new_zeros(0, order.dim)]
    for family in symmetry.families:

        def field(M: Tensor, at: Tensor, family=family) -> Tensor:
            params = order.unflatten(at)
            moved = tangent([(family, M)], params)
            zeros = {k: torch.zeros_like(params[k]) for k in order.shapes}
            return order.flatten(zeros | moved)

        def pairing(at: Tensor, M: Tensor, family=family) -> Tensor:
            return (moment(family, order.unflatten(at), order.unflatten(g)) * M).sum()

        basis = family.group.basis().to(theta)
        fields.append(vmap(field, in_dims=(0, None))(basis, theta))
        pulls.append(vmap(grad(pairing), in_dims=(None, 0))(theta, basis))
    tangents, pull = torch.cat(fields), torch.cat(pulls)
    lengths = tangents.norm(dim=1, keepdim=True)
    lengths = torch.where(lengths > 0, lengths, 1)
    if not len(tangents):
        return tangents, pull, 1.0
    W, s, Zt = torch.linalg.svd(tangents / lengths, full_matrices=False)
    rank = int((s > max(tangents.shape) * EPS * s[0]).sum())
    if rank == 0:
        return tangents[:0], pull[:0], 1.0
    combine = (W[:, :rank] / s[:rank]).mT
    return Zt[:rank], combine @ (pull / lengths), float(s[0] / s[rank - 1])


def _rest(null: Tensor, Z: Tensor) -> Tensor:
    """What is left of a null space, `[k, d]`, orthogonal to the orbit's directions."""
    if not len(Z) or not len(null):
        return null
    # Coefficients of null directions that are orthogonal to the orbit: the kernel of Z·nullᵀ.
    _, _, coefficients = torch.linalg.svd(Z @ null.mT, full_matrices=True)
    return coefficients[len(Z) :] @ null


def _norm(matrix: Tensor) -> float:
    """The 2-norm of a vector or matrix, 0 of an empty one."""
    if not matrix.numel():
        return 0.0
    return float(matrix.norm() if matrix.ndim == 1 else torch.linalg.matrix_norm(matrix, 2))


def _scale(theta: Tensor) -> float:
    """The root mean square of the parameters."""
    return _norm(theta) / math.sqrt(len(theta)) or 1.0
