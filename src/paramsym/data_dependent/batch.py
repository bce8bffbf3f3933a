"""Cocycles of a batch of k samples in R^h (Lemma D.6, Appendix I).

| variant | unit | cocycle | equivariance | samples |
|---|---|---|---|---|
| `QR`, `Polar` | yes | yes | yes | k ≤ h |
| `Twisted` | yes | yes | yes | k ≤ h |
| `PseudoInverse` (the paper's) | no for k < h | for k ≤ h | yes | any k, exact for k ≤ h |
| `MinimalChange` | yes | no | yes | any k, exact for k ≤ h |

The cost is O(hk²) once and O(hk) a vector; `Twisted` adds one product with g.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.data_dependent.cocycle import Axioms, LinearMap, Point, Variant
from paramsym.data_dependent.reflectors import BlockReflector
from paramsym.data_dependent.requirements import require_rank


@final
@dataclass(frozen=True, eq=False)
class _Completion:
    """A(Y) = s Q diag(B, τI), an invertible h×h matrix whose first k columns are Y.

    QE are orthonormal, B is k×k, s is the largest entry of Y and τ = ‖Y/s‖_F/√k, so that A is about
    as well conditioned as Y. Without s, squares would over- or underflow.
    """

    rotation: BlockReflector
    block: Tensor
    rest: Tensor
    size: Tensor
    upper: bool

    def apply(self, w: Tensor) -> Tensor:
        """A w."""
        k = self.block.shape[-1]
        turned = self._join(w[..., :k] @ self.block.mT, w * self.rest)
        return self.rotation.apply(turned) * self.size

    def transpose(self, w: Tensor) -> Tensor:
        """Aᵀ w."""
        k = self.block.shape[-1]
        w = self.rotation.transpose(w) * self.size
        return self._join(w[..., :k] @ self.block, w * self.rest)

    def inverse(self, w: Tensor) -> Tensor:
        """A⁻¹ w."""
        k = self.block.shape[-1]
        w = self.rotation.transpose(w / self.size)
        return self._join(self._solve(self.block, w[..., :k], self.upper), w / self.rest)

    def inverse_transpose(self, w: Tensor) -> Tensor:
        """A⁻ᵀ w."""
        k = self.block.shape[-1]
        head = self._solve(self.block.mT, w[..., :k], False)
        return self.rotation.apply(self._join(head, w / self.rest)) / self.size

    def _solve(self, block: Tensor, w: Tensor, upper: bool) -> Tensor:
        if not self.upper:
            return torch.linalg.solve(block, w.mT).mT
        return torch.linalg.solve_triangular(block, w.mT, upper=upper).mT

    def _join(self, head: Tensor, rest: Tensor) -> Tensor:
        return torch.cat([head, rest[..., head.shape[-1] :]], -1)


def _columns(values: Tensor) -> tuple[Tensor, Tensor]:
    """Y/s and s. It is detached: A(Y) does not depend on it."""
    size = values.detach().abs().amax((-2, -1), keepdim=True)
    return (values / size).mT, size


def _mean_size(columns: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(columns, keepdim=True) / columns.shape[-1] ** 0.5


def _complete_by_qr(values: Tensor) -> _Completion:
    columns, size = _columns(values)
    q, r = torch.linalg.qr(columns)
    # LAPACK leaves a column alone that is zero below its diagonal. As a reflection it must change
    # sign, or the compact form of the product does not exist.
    factors = torch.geqrf(columns.detach())[1]
    signs = torch.where(factors == 0, -1.0, 1.0).to(values)
    q, r = q * signs[..., None, :], r * signs[..., :, None]
    return _Completion(BlockReflector(q), r, _mean_size(columns), size, upper=True)


def _complete_by_polar(values: Tensor) -> _Completion:
    columns, size = _columns(values)
    left, sizes, right = torch.linalg.svd(columns, full_matrices=False)
    block = (right.mT * sizes[..., None, :]) @ right
    # −A(Y) is completed: the turn from E to −W, which exists where I + EᵀW is invertible.
    rotation = BlockReflector(-left @ right)
    return _Completion(rotation, -block, -_mean_size(columns), size, upper=False)


def _between(end: _Completion, start: _Completion) -> LinearMap:
    return LinearMap(
        lambda w: end.apply(start.inverse(w)),
        lambda w: start.inverse_transpose(end.transpose(w)),
    )


@final
@dataclass(frozen=True)
class QR(Variant):
    """c(g, Z) = A(σ(gZ)) A(σ(Z))⁻¹ with A(Y) = Q diag(R, τI), from the QR decomposition of Y.

    Keeps all axioms, and always exists at full rank; the default for batches. For k = 1 it is a
    Householder frame up to sign. As that, it jumps where one of its k reflections changes sign, so
    that even a g near the identity may change U much; `Polar` and `Twisted` do not. Differentiable
    elsewhere.
    """

    axioms: ClassVar[Axioms] = Axioms()

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        return _between(_complete_by_qr(end.value), _complete_by_qr(start.value))


@final
@dataclass(frozen=True)
class Polar(Variant):
    """As `QR`, from the polar decomposition Y = WP: A(Y) turns the first k axes onto W.

    Keeps all axioms, but does not exist where I + EᵀW is singular (a −1 eigenvalue of the first k
    rows of W). For k = h the map is unique and `QR` gives it. Its derivative is that of a singular
    value decomposition, which is infinite where two singular values of σ(Z) agree.
    """

    axioms: ClassVar[Axioms] = Axioms()

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        if start.value.shape[-2] == start.value.shape[-1]:
            return QR().carry(start, end, move)
        return _between(_complete_by_polar(end.value), _complete_by_polar(start.value))

    def require_samples(self, point: Point, argument: str) -> None:
        require_rank(point.value, argument)
        if point.value.shape[-2] == point.value.shape[-1]:
            return
        columns = _complete_by_polar(point.value).rotation.columns
        k = columns.shape[-1]
        eye = torch.eye(k, dtype=columns.dtype, device=columns.device)
        least = torch.linalg.svdvals(eye - columns[..., :k, :])[..., -1]
        if not bool((least > columns.shape[-2] * torch.finfo(columns.dtype).eps).all()):
            raise ValueError(
                f"`Polar` does not exist at `{argument}`: the polar factor W has the eigenvalue −1 "
                "in its first k rows. Use `QR()`, or another order of the coordinates."
            )


def _pseudo_inverse(values: Tensor, w: Tensor) -> Tensor:
    """Y† w on rows `[..., r, h]`, for Y of columns `values` `[..., k, h]`; gives `[..., r, k]`."""
    if values.shape[-2] > values.shape[-1]:
        return w @ torch.linalg.pinv(values)
    q, r = torch.linalg.qr(values.mT)
    return torch.linalg.solve_triangular(r, (w @ q).mT, upper=True).mT


def _pseudo_inverse_transpose(values: Tensor, w: Tensor) -> Tensor:
    """(Y†)ᵀ w on rows `[..., r, k]`; gives `[..., r, h]`."""
    if values.shape[-2] > values.shape[-1]:
        return w @ torch.linalg.pinv(values).mT
    q, r = torch.linalg.qr(values.mT)
    return torch.linalg.solve_triangular(r.mT, w.mT, upper=False).mT @ q.mT


@final
@dataclass(frozen=True)
class Twisted(Variant):
    """c(g, Z) = D(gZ) g D(Z)⁻¹ with D(Z) = I + (σ(Z) − Z) Z†.

    Keeps all axioms, and c(g, Z) = g where σ is linear. Ill-conditioned for g far from the
    identity. Differentiable where Z and gZ have full rank and D is invertible, that is Z†σ(Z) is.
    """

    axioms: ClassVar[Axioms] = Axioms()

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        return LinearMap(
            lambda w: _twist(end, move.apply(_untwist(start, w))),
            lambda w: _untwist_transpose(start, move.transpose(_twist_transpose(end, w))),
        )

    def _require_value(self, value: object, z: Tensor) -> None:
        super()._require_value(value, z)
        assert isinstance(value, Tensor)
        if value.shape != z.shape:
            raise ValueError(
                "`Twisted` compares Z and σ(Z), so that `activation` must keep the number of "
                f"samples; it took {z.shape[-2]} to {value.shape[-2]}. Use `QR()`."
            )

    def require_samples(self, point: Point, argument: str) -> None:
        require_rank(point.z, argument.removeprefix("σ(").removesuffix(")"))
        require_rank(_twist_core(point), f"Z†{argument}")


def _twist_core(point: Point) -> Tensor:
    """Z†σ(Z), transposed, `[..., k, k]`."""
    return _pseudo_inverse(point.z, point.value)


def _twist(point: Point, w: Tensor) -> Tensor:
    return w + _pseudo_inverse(point.z, w) @ (point.value - point.z)


def _twist_transpose(point: Point, w: Tensor) -> Tensor:
    return w + _pseudo_inverse_transpose(point.z, w @ (point.value - point.z).mT)


def _untwist(point: Point, w: Tensor) -> Tensor:
    """D⁻¹ w = w − (σ(Z) − Z) (Z†σ(Z))⁻¹ Z† w."""
    inner = torch.linalg.solve(_twist_core(point).mT, _pseudo_inverse(point.z, w).mT).mT
    return w - inner @ (point.value - point.z)


def _untwist_transpose(point: Point, w: Tensor) -> Tensor:
    inner = torch.linalg.solve(_twist_core(point), (w @ (point.value - point.z).mT).mT).mT
    return w - _pseudo_inverse_transpose(point.z, inner)


@final
@dataclass(frozen=True)
class PseudoInverse(Variant):
    """π(g, Z) = σ(Z) σ(gZ)†, the paper's choice (Appendix I, eq. (112)).

    Not a group action: π has rank k at most, so that for k < h the unit fails and U loses rank.
    For k > h it is least squares, and the outputs at the samples change. Differentiable at full
    rank.
    """

    axioms: ClassVar[Axioms] = Axioms(unit=False)
    any_batch: ClassVar[bool] = True

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        return LinearMap(
            lambda w: _pseudo_inverse(start.value, w) @ end.value,
            lambda w: _pseudo_inverse_transpose(start.value, w @ end.value.mT),
        )


@final
@dataclass(frozen=True)
class MinimalChange(Variant):
    """π(g, Z) = I + (σ(Z) − σ(gZ)) σ(gZ)†: the smallest change of U that keeps the outputs.

    Not a group action: the cocycle law fails. For k > h it is `PseudoInverse`. Differentiable at
    full rank.
    """

    axioms: ClassVar[Axioms] = Axioms(cocycle=False)
    any_batch: ClassVar[bool] = True

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        change = end.value - start.value
        return LinearMap(
            lambda w: w + _pseudo_inverse(start.value, w) @ change,
            lambda w: w + _pseudo_inverse_transpose(start.value, w @ change.mT),
        )


VARIANTS: dict[str, Variant] = {
    "qr": QR(),
    "polar": Polar(),
    "twisted": Twisted(),
    "pinv": PseudoInverse(),
    "minimal": MinimalChange(),
}
"""The variants for batches, by name."""
