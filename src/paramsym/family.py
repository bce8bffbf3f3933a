"""A family: what one hidden space of a model may do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from paramsym.groups import (
    Affine,
    ComplexScaling,
    GeneralLinear,
    Group,
    HyperplaneFixing,
    Orthogonal,
    PositiveScaling,
)
from paramsym.ports import Port
from paramsym.sharded import whole
from paramsym.terms import Term


@final
@dataclass(frozen=True)
class Exactness:
    """How exactly a family leaves the function unchanged.

    Attributes:
        as_eps_vanishes: The symmetry is exact only in the limit of a vanishing normalisation ε.
        defect: Relative change of the output, measured at the model's own ε for an element of
            scale 0.1; `None` where nothing was measured.
    """

    as_eps_vanishes: bool = False
    defect: float | None = None

    def __str__(self) -> str:
        if not self.as_eps_vanishes:
            return "exact"
        measured = f" (defect {self.defect:.0e})" if self.defect is not None else ""
        return f"exact as eps→0{measured}"


EXACT = Exactness()


@final
@dataclass(frozen=True)
class Family:
    """A Lie group and its action on the parameters.

    The action runs in two steps: the group's linear part acts on the `ports`, then its translation
    part runs the `terms` in order, each reading the parameters as they are at that moment.

    Attributes:
        name: Where it lives, writers → readers (`fc1 → fc2`).
        group: The group.
        ports: Linear part of the action.
        terms: Translation part of the action.
        exactness: Exact, or exact as the ε of a normalisation vanishes.
        verified: Whether the invariance was checked numerically.
    """

    name: str
    group: Group
    ports: tuple[Port, ...] = ()
    terms: tuple[Term, ...] = ()
    exactness: Exactness = EXACT
    verified: bool = False

    def __post_init__(self) -> None:
        for port in self.ports:
            expected = (self.group.copies, self.group.n)
            if tuple(port.index.shape[:2]) != expected:
                raise ValueError(
                    f"family {self.name!r}: the port on {port.parameter!r} must index "
                    f"[copies, n] = {list(expected)} coordinates of {self.group}; "
                    f"got {list(port.index.shape[:2])}."
                )
            if port.degree != 1 and not self.group.diagonal:
                raise ValueError(
                    f"family {self.name!r}: the port on {port.parameter!r} has degree "
                    f"{port.degree}, but π(g) = g^α is a representation of scalings only; "
                    f"got {self.group}."
                )
            if port.frame is not None and self.group.diagonal:
                raise ValueError(
                    f"family {self.name!r}: the port on {port.parameter!r} has a frame, which "
                    "commutes with scalings and does nothing; leave it out."
                )
        if self.terms and not self.group.translates:
            raise ValueError(
                f"family {self.name!r} has terms, but {self.group} has no translations."
            )

    @cached_property
    def moves(self) -> frozenset[str]:
        """Names of the parameters that the family changes."""
        targets = {term.target.parameter for term in self.terms}
        return frozenset(targets | {port.parameter for port in self.ports})

    @cached_property
    def reads(self) -> frozenset[str]:
        """Names of the parameters that the action depends on beside those it scales linearly."""
        frames = {port.frame.parameter for port in self.ports if port.frame is not None}
        return frozenset(frames.union(*(term.reads for term in self.terms)))

    @property
    def is_linear(self) -> bool:
        """Whether the action is linear in the parameters, by constant matrices."""
        return not self.terms and not any(port.frame for port in self.ports)

    @property
    def has_law(self) -> bool:
        """Whether generators of the group's symmetric part give conserved quantities.

        A generator gives one where the Jacobian of its vector field is symmetric: linear families,
        and translations along constant directions. The linear part of an affine family qualifies
        whatever its translations do.
        """
        if self.group.symmetric_dim == 0 or any(port.frame for port in self.ports):
            return False
        return bool(self.ports) or not any(term.reads for term in self.terms)

    @cached_property
    def dim(self) -> int:
        """Dimension of the family's own orbit at generic parameters, in closed form.

        GL: h² − (h−a)₊(h−b)₊ for writers of total width a and readers b; O(h): C(h,2) − C((h−a−b)₊,
        2); scalings h (docs/derivations.md §4, corrected from Theorem 3.3 and Corollary C.4).
        """
        group, writers, readers = self.group, self._width(dual=False), self._width(dual=True)
        if isinstance(group, GeneralLinear):
            lost = max(0, group.n - writers) * max(0, group.n - readers)
            return (group.n**2 - lost) * group.copies
        if isinstance(group, Affine):  # the shift is free; it is fixed by the bias, one writer
            lost = max(0, group.n - writers + 1) * max(0, group.n - readers)
            return (group.n + group.n**2 - lost) * group.copies
        if isinstance(group, Orthogonal):
            free = group.n - group.fixes_mean
            stabilized = max(0, free - writers - readers)
            return (math.comb(free, 2) - math.comb(stabilized, 2)) * group.copies
        return group.dim

    @cached_property
    def law_dim(self) -> int:
        """Number of independent conserved quantities at generic parameters.

        GL: Tri(h) − Tri((h−a−b)₊) (docs/derivations.md §5, corrected from Section 5 of the paper).
        """
        if not self.has_law:
            return 0
        group = self.group
        one_each = PositiveScaling | ComplexScaling | HyperplaneFixing
        if isinstance(group, one_each) or not self.ports:
            return group.symmetric_dim
        kept = max(0, group.n - self._width(dual=False) - self._width(dual=True))
        return group.symmetric_dim - kept * (kept + 1) // 2 * group.copies

    def _width(self, *, dual: bool) -> int:
        return sum(port.width for port in self.ports if port.dual is dual)

    def require_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise unless the parameters that the family names exist with fitting sizes.

        Raises:
            ValueError: If a parameter is missing, or the size of a view, frame or operand differs.
        """
        for name in self.moves | self.reads:
            if name not in shapes:
                raise ValueError(
                    f"family {self.name!r} needs parameter {name!r}, which is missing."
                )
        group = self.group
        for port in self.ports:
            if math.prod(port.view) != math.prod(shapes[port.parameter]):
                raise ValueError(
                    f"family {self.name!r} views {port.parameter!r} as {port.view}; "
                    f"got shape {shapes[port.parameter]}."
                )
            if port.frame is None:
                continue
            gain = shapes[port.frame.parameter]
            if math.prod(gain) not in (group.n, group.n * group.copies):
                raise ValueError(
                    f"family {self.name!r}: the frame {port.frame.parameter!r} must have n = "
                    f"{group.n} entries, or as many for each of {group.copies} copies; "
                    f"got shape {gain}."
                )
        for term in self.terms:
            term.require_shapes(group.translation_shape, shapes)

    def require_constants(self, buffers: Mapping[str, Tensor]) -> None:
        """Raise if a model has other constants than those that the action reads.

        Args:
            buffers: The model's buffers; other constants are taken as they are.

        Raises:
            ValueError: If it has. The action would change the function.
        """
        for source in (source for term in self.terms for source in term.sources):
            name, own = source.slot.parameter, buffers.get(source.slot.parameter)
            if not source.values or own is None or own.device.type == "meta":
                continue
            known = torch.tensor(source.values, dtype=torch.float64).to(own)
            if not torch.equal(known, own.flatten()):
                raise ValueError(
                    f"family {self.name!r} reads the buffer {name!r} as it was at discovery, and "
                    "that of `model` has other values, as after more training. Discover the "
                    "symmetry anew, or leave the family out with `symmetry.select(...)`."
                )

    def require_gains(self, params: Mapping[str, Tensor]) -> None:
        """Raise if the action divides by a zero: a gain in a frame, or a source to the power −1.

        Raises:
            ValueError: If it does. The family's action does not exist at these parameters.
        """
        divisors = [(port.frame.parameter, port.frame.offset) for port in self.ports if port.frame]
        divisors += [
            (source.slot.parameter, source.offset)
            for term in self.terms
            for source in term.sources
            if source.power < 0 and not source.is_constant
        ]
        for name, offset in dict.fromkeys(divisors):
            zeros = int((whole(params[name]) + offset == 0).sum())
            if zeros:
                shifted = f" plus {offset}" if offset else ""
                raise ValueError(
                    f"family {self.name!r} divides by {name!r}{shifted}, in which {zeros} entries "
                    "are zero, so that its action does not exist there. Leave the family out with "
                    "`symmetry.select(...)`, or move the parameters away from zero."
                )
