"""A canonical point on each orbit: what is left of a model once every choice of gauge is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.element import GroupElement
from paramsym.orbit.canonical_fixing import fixed
from paramsym.parameters import check_params
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]


@final
@dataclass(frozen=True, eq=False)
class Canonical:
    """The canonical point of an orbit.

    Attributes:
        params: The parameters there, in float64; they compute the same function.
        element: What moved them there.
        ties: Choices that are not determined by the model: equal singular values, units that no
            key tells apart, signs that nothing fixes. With one, another point of the same
            orbit may get another canonical point.
        unfixed: Families whose gauge is not fixed, because no rule here covers them.
        condition: By how much it magnifies a relative error of the parameters at most, up to a
            small factor: the condition of the element, over the smallest gap of eigenvalues.
    """

    params: dict[str, Tensor]
    element: GroupElement
    ties: tuple[str, ...] = ()
    unfixed: tuple[str, ...] = ()
    condition: float = 1.0

    @property
    def is_unique(self) -> bool:
        """Whether all points of the orbit have this canonical point, up to rounding."""
        return not self.ties and not self.unfixed


@torch.no_grad()
def canonical(symmetry: Symmetry, params: Params) -> Canonical:
    """Fix the gauge: gains, shifts, scales, rotations, the order of units, signs.

    1. Gains that other families read are made ±1. Rotations through them and shifts along 1/γ act
       linearly and along constant directions then.
    2. Of every shift, the parameter that it shifts first is made orthogonal to its directions: a
       bias that is shifted freely becomes zero, the mean of a writer in front of a LayerNorm too.
    3. Q = 0 (docs/derivations.md §24), or ±1 for units with writers or readers only.
       A linear space without balanced point gets the normal form of §17 if it has no neighbours,
       and else RRᵀ = I or WWᵀ = I for a side of full rank that it shares.
    4. Rotations that are left make WWᵀ (with RRᵀ, for O(n)) diagonal, descending: a singular value
       decomposition of the map that the space passes on.
    5. Units that may change places are halved by sums of squares and other powers of their weights,
       and the halves again, by another combination each time.
    6. Of every sign that may change, a fixed combination of the weights it multiplies is positive.

    Each step is O(h³) a family at most (docs/derivations.md §25, §30 and §34). Families that are
    exact as ε → 0 only are left alone.

    Args:
        symmetry: The model's symmetry.
        params: Parameter dict.

    Returns:
        The point, the element, and what was left to chance.

    Raises:
        ValueError: If names, shapes or values of `params` do not fit.
        ArithmeticError: If coupled families are not balanced together.
    """
    check_params(params, symmetry.parameters, values=True)
    point = fixed(symmetry, params)
    point.sums()
    element, unfixed = point.element, tuple(dict.fromkeys(point.unfixed))
    condition = element.condition() / point.gap
    return Canonical(point.now, element, tuple(point.ties), unfixed, condition)
