"""An objective along an orbit: its value, and its gradient in the Lie algebra.

At parameters θ the objective pulled back to the group is f(g) = F(g·θ). Its gradient at the unit is
the moment map of ∇F: ⟨∇F, M·θ⟩ = ⟨P, M⟩ for all M (docs/derivations.md §2 and §26).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paramsym.action import act
from paramsym.family import Family
from paramsym.landscape.precision import DoublePrecision
from paramsym.moment_map import moments

Params = dict[str, Tensor]
Objective = Callable[[Params], Tensor]
"""`objective(params)`, a scalar tensor that is differentiable in the parameters."""


@final
@dataclass(frozen=True, eq=False)
class Point:
    """A point of the orbit.

    Attributes:
        params: The parameters there.
        value: The objective, of the sign that is minimised; infinite where it is not a number.
        gradient: P of all families, `[n]`, float64; zeros where the value is infinite.
    """

    params: Params
    value: float
    gradient: Tensor


@final
@dataclass(frozen=True, eq=False)
class PulledBack:
    """An objective on the orbits of some families.

    Vectors `[n]` of the algebra hold the families' tensors side by side, each row-major.

    Attributes:
        objective: From a parameter dict to a scalar.
        families: What may move.
        sign: 1 to minimise, −1 to maximise.
        double: Whether the objective is run in float64, whatever dtype its data have.
    """

    objective: Objective
    families: tuple[Family, ...]
    sign: int
    double: bool

    @cached_property
    def _moved(self) -> frozenset[str]:
        return frozenset[str]().union(*(family.moves for family in self.families))

    @cached_property
    def _sizes(self) -> list[int]:
        return [math.prod(family.group.shape) for family in self.families]

    def split(self, vector: Tensor) -> list[Tensor]:
        """The families' tensors of a vector."""
        parts = vector.split(self._sizes)
        return [part.reshape(f.group.shape) for f, part in zip(self.families, parts, strict=True)]

    def letters(self, vector: Tensor) -> list[tuple[Family, Tensor]]:
        """The retraction: for each family the exponential of its part."""
        return [
            (family, family.group.exp(M))
            for family, M in zip(self.families, self.split(vector), strict=True)
        ]

    def moved(self, params: Params, vector: Tensor) -> Params:
        """The parameters moved by the retraction of a vector."""
        return act(self.letters(vector), params)

    def value(self, params: Params) -> float:
        """The objective alone, of the sign that is minimised."""
        value = self._evaluate({k: p.detach() for k, p in params.items()})
        return self.sign * float(value.detach())

    def start(self, params: Params) -> Point:
        """The point of the orbit where a descent begins.

        Raises:
            TypeError: If the objective returns no tensor of real numbers.
            ValueError: If it is no scalar, not finite, not differentiable, or gives another value
                at the same parameters.
        """
        value, slope = self._with_gradient(params)
        if not math.isfinite(float(value)):
            raise ValueError(f"`objective` must be finite at `params`; got {float(value)}.")
        bad = [k for k, part in slope.items() if not bool(torch.isfinite(part).all())]
        if bad:
            raise ValueError(
                f"the gradient of `objective` must be finite; in {bad[0]!r} it has NaN or infinite "
                "entries. Roots and norms have no derivative at 0, and maxima none at ties: use a "
                "smooth surrogate."
            )
        again = self.value(params)
        if again != self.sign * float(value):
            raise ValueError(
                f"`objective` must be a function of the parameters alone; at the same parameters "
                f"it was {float(value)} and then {self.sign * again}. Fix its batch and its random "
                "numbers, and put models with dropout in evaluation mode."
            )
        point = self._point(params, value, slope)
        if not any(bool(part.any()) for part in slope.values()):
            self._require_constant(point)
        return point

    def at(self, params: Params) -> Point:
        """Any other point: where the objective is not finite its value is infinite."""
        value, slope = self._with_gradient(params)
        return self._point(params, value, slope)

    def _point(self, params: Params, value: Tensor, slope: Mapping[str, Tensor]) -> Point:
        gradient = self.gradient(params, slope)
        if not (math.isfinite(float(value)) and bool(torch.isfinite(gradient).all())):
            return Point(params, math.inf, torch.zeros_like(gradient))
        return Point(params, self.sign * float(value), gradient)

    def gradient(self, params: Params, slope: Mapping[str, Tensor]) -> Tensor:
        """P of all families, from ∇F of the parameters that move."""
        found = moments(self.families, params, slope)
        device = next(iter(slope.values())).device
        parts = [found[f.name].reshape(-1).to(device, torch.float64) for f in self.families]
        return self.sign * torch.cat(parts)

    def _with_gradient(self, params: Params) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = {k: params[k].detach().clone().requires_grad_() for k in sorted(self._moved)}
        fixed = {k: p.detach() for k, p in params.items() if k not in leaves}
        value = self._evaluate({k: leaves[k] if k in leaves else fixed[k] for k in params})
        if not value.requires_grad:
            raise ValueError(
                "`objective` does not depend on the parameters that the families move, or not by "
                "differentiable operations. Use the dict that it is given, as in "
                "`torch.func.functional_call(model, params, …)`, without `.item()`, `.detach()`, "
                "`torch.no_grad()` or `argmax`; replace what has no derivative by a smooth "
                "surrogate."
            )
        try:
            parts = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
        except RuntimeError as error:
            raise ValueError(f"`objective` must be differentiable; torch says: {error}") from error
        return value.detach(), dict(zip(leaves, parts, strict=True))

    def _evaluate(self, params: Params) -> Tensor:
        # The fused kernels of attention have no second derivative, which objectives of the Hessian
        # and of the gradient need.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            if self.double:
                with DoublePrecision():
                    value = self.objective(params)
            else:
                value = self.objective(params)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"`objective` must return a scalar tensor of real numbers; got {got}.")
        if value.ndim:
            raise ValueError(
                "`objective` must return a scalar, a tensor of shape (); got shape "
                f"{tuple(value.shape)}. Reduce it with `.mean()` or `.sum()`."
            )
        return value

    def _require_constant(self, point: Point) -> None:
        """Raise if the gradient is zero in every entry and the objective changes all the same."""
        generator = torch.Generator().manual_seed(0)
        parts = [f.group.sample_algebra(0.5, generator=generator) for f in self.families]
        draw = torch.cat([part.reshape(-1) for part in parts]).to(point.gradient)
        if self.value(self.moved(point.params, draw)) != point.value:
            raise ValueError(
                "`objective` must be differentiable; its gradient is zero in every entry, and yet "
                "it changes along the orbit, as what is rounded or counted does. Replace it by a "
                "smooth surrogate."
            )
