"""The level set of the conserved quantities, and the way back to it along the orbit.

An integrator leaves the level set {Q = Q₀} by its error. Moving the parameters by group elements
exp(M) with symmetric M brings them back and changes neither the function nor the loss, so that only
Q moves. It is also the shortest way to first order, because M·θ is normal to the level set
(docs/derivations.md §19).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.action import act, tangent
from paramsym.conserved import conserved
from paramsym.family import Family
from paramsym.orbit_dimension import symmetric_basis
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]

LAWS_LIMIT = 500
"""Most conserved quantities, counted before redundant ones are left out, that are projected on."""

NORMALS_LIMIT = 40_000_000
"""Most entries (320 MB) of the dense matrix of normals, laws × parameters."""

NEWTON_STEPS = 20
EPS = torch.finfo(torch.float64).eps

REACHED = 4 * EPS
"""Newton's method ends where Q is right to this, relative to the sum of the sizes of its terms."""

ACCEPTED = 64 * EPS
"""What still counts as right where Newton's method makes no progress: the rounding of θ itself."""

DEPENDENT = 1e-12
"""Singular values of the Gram matrix below this, relative to the largest, are dependent laws."""

INVARIANCE = 1e-9
"""Largest part of ∇L along the orbit: far above rounding, far below that of a broken symmetry."""


@final
@dataclass(frozen=True, eq=False)
class LevelSet:
    """All parameters whose conserved quantities have given values.

    Attributes:
        families: Families with a law.
        bases: For each, an orthonormal basis of its symmetric generators, `[laws, *group.shape]`.
        target: Q₀ in these bases, `[laws of all families]`.
    """

    families: tuple[Family, ...]
    bases: tuple[Tensor, ...]
    target: Tensor

    @classmethod
    def through(cls, symmetry: Symmetry, params: Params) -> "LevelSet":
        """The level set through these parameters (float64).

        Raises:
            TypeError: If `symmetry` is no symmetry.
            ValueError: If it has no law, or too many, or the names and shapes do not fit.
        """
        if not isinstance(symmetry, Symmetry):
            raise TypeError(
                "`conserve` must be a symmetry, as `discover` returns it; "
                f"got {type(symmetry).__name__}."
            )
        families = tuple(symmetry[name] for name in symmetry.conserved(params))
        laws = sum(family.group.symmetric_dim for family in families)
        if laws == 0:
            raise ValueError(
                "`conserve` must have a conservation law; this symmetry has none, because its "
                "generators are antisymmetric or it has no families. Leave `conserve` out."
            )
        moved = frozenset[str]().union(*(family.moves for family in families))
        entries = laws * sum(params[name].numel() for name in moved)
        if laws > LAWS_LIMIT or entries > NORMALS_LIMIT:
            raise ValueError(
                f"`conserve` must have at most {LAWS_LIMIT} laws, and laws × parameters at most "
                f"{NORMALS_LIMIT:.0e}, because the projection is dense; got {laws} laws and "
                f"{entries:.1e}. Choose families with `symmetry.select(...)`, or leave `conserve` "
                "out and lower `rtol`."
            )
        bases = tuple(symmetric_basis(family.group) for family in families)
        found = cls(families, bases, torch.zeros(laws, dtype=torch.float64))
        return cls(families, bases, found.values(params))

    def values(self, params: Params) -> Tensor:
        """Q in the bases, `[laws of all families]`."""
        return self._in_bases(conserved(self.families, params))

    def require_invariance(self, params: Params, slope: Params) -> None:
        """Raise if the gradient of the loss has a part along the orbit (Proposition 3.4).

        Args:
            params: Parameters.
            slope: ∇L there.

        Raises:
            ValueError: If it has: the loss has not this symmetry, and Q is not conserved.
        """
        normals, _ = self._normals(params)
        joint = torch.cat([slope[name].reshape(-1) for name in self._moved])
        along = (normals @ joint).abs()
        worst = int((along - INVARIANCE * normals.norm(dim=1) * joint.norm()).argmax())
        if along[worst] <= INVARIANCE * normals[worst].norm() * joint.norm():
            return
        sizes = torch.tensor([len(basis) for basis in self.bases]).cumsum(0)
        family = self.families[int((sizes <= worst).sum())]
        raise ValueError(
            f"`conserve` must be a symmetry of the loss; along the orbit of {family.name!r} the "
            f"loss changes, with a slope of {float(along[worst]):.1e}, so that gradient flow does "
            "not conserve its Q. Weight decay breaks symmetries, and so does the ε of a "
            "normalisation. Choose other families with `symmetry.select(...)`."
        )

    def project(self, params: Params) -> dict[str, Tensor]:
        """The parameters moved along the orbit until Q = Q₀, by Newton's method.

        Raises:
            ArithmeticError: If that does not succeed: the parameters are too far from the level
                set, or at a singular point of it.
        """
        moved, last = dict(params), float("inf")
        for _ in range(NEWTON_STEPS):
            normals, sizes = self._normals(moved)
            gap = self.target - self.values(moved)
            error = float((gap.abs() / torch.where(sizes > 0, sizes, 1.0)).max())
            if error <= REACHED or (error <= ACCEPTED and error >= last / 2):
                return moved
            last = error
            step = self._newton(normals, gap)
            moved = act(self._exponentials(step), moved)
        raise ArithmeticError(
            "the parameters could not be moved along the orbit to the level set of `conserve`: Q "
            f"is still off by {last:.1e} relative to its terms. Lower `rtol`, so that steps stay "
            "near the level set, or leave `conserve` out."
        )

    def _newton(self, normals: Tensor, gap: Tensor) -> Tensor:
        """The generator, in the bases, along which Q changes by `gap` to first order."""
        gram = self._degrees[:, None] * (normals @ normals.T)
        # Least squares by an SVD, because the laws of a wide space are dependent.
        found = torch.linalg.lstsq(gram, gap[:, None], rcond=DEPENDENT, driver="gelsd")
        step = found.solution[:, 0]
        return step / max(1.0, float(step.abs().max()))

    @property
    def _degrees(self) -> Tensor:
        """2 for laws that are quadratic in θ, 1 for those of translations, which are linear."""
        degrees = [
            torch.full((len(basis),), 2.0 if family.ports else 1.0, dtype=torch.float64)
            for family, basis in zip(self.families, self.bases, strict=True)
        ]
        return torch.cat(degrees)

    @property
    def _moved(self) -> list[str]:
        return sorted(frozenset[str]().union(*(family.moves for family in self.families)))

    def _normals(self, params: Params) -> tuple[Tensor, Tensor]:
        """M·θ of all generators, `[laws, parameters moved]`, and the sizes of the terms of Q."""
        names = self._moved
        rows = []
        for family, basis in zip(self.families, self.bases, strict=True):

            def field(M: Tensor, family: Family = family) -> dict[str, Tensor]:
                return tangent([(family, M)], params)

            fields = torch.vmap(field)(basis)
            parts = [
                fields[name].reshape(len(basis), -1)
                if name in fields
                else params[name].new_zeros(len(basis), params[name].numel())
                for name in names
            ]
            rows.append(torch.cat(parts, 1))
        normals = torch.cat(rows)
        theta = torch.cat([params[name].reshape(-1) for name in names])
        return normals, normals.abs() @ theta.abs()

    def _exponentials(self, step: Tensor) -> list[tuple[Family, Tensor]]:
        parts = step.split([len(basis) for basis in self.bases])
        return [
            (family, family.group.exp(torch.tensordot(part, basis, 1)))
            for family, basis, part in zip(self.families, self.bases, parts, strict=True)
        ]

    def _in_bases(self, found: Mapping[str, Tensor]) -> Tensor:
        return torch.cat(
            [
                torch.tensordot(basis.flatten(1), found[family.name].reshape(-1), 1)
                for family, basis in zip(self.families, self.bases, strict=True)
            ]
        )
