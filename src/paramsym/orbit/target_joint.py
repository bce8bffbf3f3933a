"""Coupled families brought to their targets together: sweeps over the families, then Newton.

Families that share entries change each other's conserved quantities. A sweep solves for each kind
as if the others stood still; where sweeps converge slowly Newton's method takes over, whose linear
equations, with the Gram matrix of the generators, conjugate gradients solve without forming it
(docs/derivations.md §24).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from paramsym.action import act, moment, moments, tangent
from paramsym.conserved import conserved
from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear
from paramsym.orbit.coupling import all_commute, overlaps_itself
from paramsym.orbit.target_matrices import lyapunov, symmetric_exp
from paramsym.orbit.target_scalings import ScalingProblem, as_elements
from paramsym.orbit.target_spaces import as_element, grams, linear_part, reach

Letters = list[tuple[Family, Tensor]]
Field = dict[str, Tensor]

SWEEPS = 6
NEWTON_STEPS = 60
LARGEST_STEP = 2.0


@final
@dataclass(eq=False)
class JointProblem:
    """Coupled families, their targets, and the parameters as moved so far.

    Attributes:
        families: Families with a law, of any kind.
        target: Q* of each, of its group's shape, float64.
        params: Parameters that the families move or read; replaced as they move.
        eps: Relative accuracy of the parameters.
        letters: What moved them, in order.
    """

    families: Sequence[Family]
    target: Mapping[str, Tensor]
    params: dict[str, Tensor]
    eps: float
    letters: Letters = field(default_factory=list)
    _start: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if all_commute(self.families):
            self._start = self.params

    def solve(self) -> float:
        """Move the parameters; the largest gap that is left, relative to the terms of Q."""
        gap, goal = self.gap(), 8 * self.eps
        for _ in range(SWEEPS):
            if gap <= goal:
                return gap
            before = gap
            self._sweep()
            gap = self.gap()
            if gap > before / 16:  # Newton is faster
                break
        if len(self.families) == 1 and not overlaps_itself(self.families[0]):
            return gap
        for _ in range(NEWTON_STEPS):
            if gap <= goal:
                break
            before = gap
            step = self._newton(list(self.families), accuracy=min(0.1, gap**0.5) / 4)
            if not self._advance(step):
                break
            gap = self.gap()
            if gap > before / 2 and before <= 256 * self.eps:
                break
        return gap

    def gap(self) -> float:
        """The largest distance to a target, relative to the size of the terms of Q."""
        found, worst = conserved(self.families, self.params), 0.0
        for family in self.families:
            gap = (self.target[family.name] - found[family.name].double().cpu()).abs()
            size = self._size(family)
            worst = max(worst, float((gap / torch.where(size > 0, size, 1.0)).max()))
        return worst

    def _size(self, family: Family) -> Tensor:
        """The sum of the sizes of the terms of Q; for matrices the largest, of the trace."""
        if not family.ports:
            held = [self.params[term.target.parameter].double().norm() for term in family.terms]
            return torch.stack(held).sum().cpu()
        if family.group.diagonal:
            return self._scale_squares(family, 1)
        A, B = grams(family, self.params)
        return (A + B).diagonal(dim1=-2, dim2=-1).sum(-1).max()

    def _scale_squares(self, family: Family, power: int) -> Tensor:
        """Σ |d|^power w of every coordinate of a scaling."""
        total = torch.zeros(family.group.shape, dtype=torch.float64)
        for port in family.ports:
            alone = Family(family.name, family.group, (port,))
            share = moment(alone, self.params, self.params).double().cpu().abs()
            total = total + share * abs(port.degree) ** (power - 1)
        return total

    # -- sweeps ------------------------------------------------------------------------------

    def _sweep(self) -> None:
        scalings = [f for f in self.families if is_scaling(f)]
        if scalings:
            problem = ScalingProblem.at(scalings, self.params)
            u, _ = problem.solve(scaling_target(scalings, self.target), self.eps)
            self._move(as_elements(scalings, u))
        for family in self.families:
            if is_scaling(family):
                continue
            if not family.ports or overlaps_itself(family):
                self._advance(self._newton([family], accuracy=self.eps))
                continue
            linear = reach(
                family, self.params, linear_part(family, self.target[family.name]), self.eps
            )
            self._move([(family, as_element(family, linear))])

    def _move(self, letters: Letters) -> None:
        """Follow the letters. Where families commute the start is moved anew by the products, so
        that the gaps are those of the one element that is returned, with its rounding."""
        if self._start is None:
            self.params = act(letters, self.params)
            self.letters += letters
        else:
            self.letters = joined(self.letters + letters)
            self.params = act(self.letters, self._start)

    # -- Newton's method -----------------------------------------------------------------------

    def _gaps(self, families: Sequence[Family], params: Mapping[str, Tensor]) -> Field:
        found = conserved(families, params)
        return {f.name: self.target[f.name] - found[f.name].double().cpu() for f in families}

    def _newton(self, families: list[Family], accuracy: float) -> Field:
        """Symmetric generators x along which Q changes by the gaps, to first order.

        For laws quadratic in θ, dQ = 2Gx with the Gram matrix G; for linear ones Gx.
        """
        gaps = self._gaps(families, self.params)
        right = {f.name: gaps[f.name] / (2 if f.ports else 1) for f in families}
        precondition = self._preconditioner(families)

        def product(x: Field) -> Field:
            moved = tangent([(f, x[f.name]) for f in families], self.params)
            covector = {
                k: moved[k] if k in moved else torch.zeros_like(p) for k, p in self.params.items()
            }
            found = moments(families, self.params, covector)
            return {f.name: f.group.symmetric(found[f.name]).double().cpu() for f in families}

        x = {k: torch.zeros_like(v) for k, v in right.items()}
        residual = right
        z = precondition(residual)
        direction, now = z, _dot(residual, z)
        goal = accuracy**2 * now
        for _ in range(200):
            if now <= goal or now <= 0:
                break
            image = product(direction)
            curvature = _dot(direction, image)
            if curvature <= 0:
                break
            x = _sum(x, direction, now / curvature)
            residual = _sum(residual, image, -now / curvature)
            z = precondition(residual)
            following = _dot(residual, z)
            direction = _sum(z, direction, following / now)
            now = following
        return x

    def _preconditioner(self, families: Sequence[Family]):
        inverses = {family.name: self._inverse(family) for family in families}
        return lambda r: {name: inverses[name](value) for name, value in r.items()}

    def _inverse(self, family: Family):
        """The family's own block of the Gram matrix, inverted."""
        group = family.group
        if group.diagonal or not family.ports:
            if family.ports:
                diagonal = self._scale_squares(family, 2)
            else:
                ones = torch.ones(group.shape, dtype=torch.float64)
                moved = tangent([(family, ones)], self.params)
                covector = {k: moved.get(k, torch.zeros_like(p)) for k, p in self.params.items()}
                diagonal = moment(family, self.params, covector).double().cpu().abs()
            safe = torch.where(diagonal > 0, 1 / torch.where(diagonal > 0, diagonal, 1.0), 0.0)
            return lambda r: safe * r
        A, B = grams(family, self.params)

        def solve(r: Tensor) -> Tensor:
            M = lyapunov(A + B, 2 * linear_part(family, r))
            padded = group.from_parts(M, M.new_zeros(M.shape[:2]) if group.translates else None)
            return group.symmetric(group.project(padded))

        return solve

    def _advance(self, step: Field) -> bool:
        """Go along the step as far as the gaps fall; whether they did."""
        chosen = [f for f in self.families if f.name in step]
        largest = max((_spectral(f, step[f.name]) for f in chosen), default=0.0)
        if largest == 0:
            return False
        before = _norm(self._gaps(chosen, self.params))
        t = min(1.0, LARGEST_STEP / largest)
        while t > 1e-4:
            letters = [(f, _exponential(f, t * step[f.name])) for f in chosen]
            tried = act(letters, self.params)
            if _norm(self._gaps(chosen, tried)) <= (1 - t / 4) * before:
                self._move(letters)
                return True
            t /= 2
        return False


def joined(letters: Letters) -> Letters:
    """One letter a family, the product of its own; for families that commute."""
    products: dict[str, tuple[Family, Tensor]] = {}
    for family, g in letters:
        before = products.get(family.name)
        product = g if before is None else family.group.compose(g, before[1])
        products[family.name] = (family, product)
    return list(products.values())


def is_scaling(family: Family) -> bool:
    """Whether Q moves by positive scales alone: T₊, and the absolute values of complex scalings."""
    return bool(family.ports) and (
        family.group.diagonal or isinstance(family.group, ComplexScaling)
    )


def is_linear_space(family: Family) -> bool:
    """Whether the family is GL or Aff of a hidden space."""
    return isinstance(family.group, GeneralLinear | Affine)


def scaling_target(families: Sequence[Family], target: Mapping[str, Tensor]) -> Tensor:
    """Targets of scalings, one number an unknown; for complex ones the trace, a sum of squares."""
    parts = [
        target[f.name].diagonal(dim1=-2, dim2=-1).sum(-1).reshape(-1)
        if isinstance(f.group, ComplexScaling)
        else target[f.name].reshape(-1)
        for f in families
    ]
    return torch.cat(parts)


def _exponential(family: Family, M: Tensor) -> Tensor:
    if family.group.diagonal or not family.ports:
        return family.group.exp(M)
    return as_element(family, symmetric_exp(linear_part(family, M)))


def _spectral(family: Family, M: Tensor) -> float:
    if not family.ports:  # translations are linear: no step is too long
        return 1e-300 if bool(M.any()) else 0.0
    if family.group.diagonal:
        return float(M.abs().max())
    return float(torch.linalg.matrix_norm(linear_part(family, M), 2).max())


def _dot(a: Field, b: Field) -> float:
    return sum(float((a[k] * b[k]).sum()) for k in a)


def _sum(a: Field, b: Field, factor: float) -> Field:
    return {k: a[k] + factor * b[k] for k in a}


def _norm(a: Field) -> float:
    return _dot(a, a) ** 0.5
