"""A canonical point on each orbit: what is left of a model once every choice of gauge is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.element import GroupElement
from paramsym.family import Family
from paramsym.orbit.balancing import can_balance
from paramsym.orbit.canonical_balance import canonical_target, zeroing_shifts
from paramsym.orbit.canonical_normal_form import normal_form
from paramsym.orbit.canonical_rotations import phases, rotations
from paramsym.orbit.canonical_signs import contained, order, signs
from paramsym.orbit.coupling import overlaps_itself
from paramsym.orbit.target import element_reaching
from paramsym.orbit.target_joint import is_linear_space
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
            invariant tells apart, signs that nothing fixes. With one, another point of the same
            orbit may get another canonical point.
        unfixed: Families whose gauge is not fixed, because no rule here covers them.
    """

    params: dict[str, Tensor]
    element: GroupElement
    ties: tuple[str, ...] = ()
    unfixed: tuple[str, ...] = ()

    @property
    def is_unique(self) -> bool:
        """Whether all points of the orbit have this canonical point, up to rounding."""
        return not self.ties and not self.unfixed


@torch.no_grad()
def canonical(symmetry: Symmetry, params: Params) -> Canonical:
    """Fix the gauge: shifts, then scales, then rotations, then the order of units, then signs.

    1. A shift that a bias can absorb makes that bias zero.
    2. Q = 0 (docs/derivations.md §24), or ±1 for units with writers or readers only.
       A linear space without balanced point, and without neighbours, gets the normal form of §17.
    3. Rotations that are left make WWᵀ (with RRᵀ, for O(n)) diagonal, descending: a singular value
       decomposition of the map that the space passes on. Phases of complex pairs are made 0.
    4. Units that may change places are sorted by their sum of squares, descending.
    5. Of every sign that may change, a fixed combination of the weights it multiplies is positive.

    Each step is O(h³) a family at most (docs/derivations.md §25). Families that are exact as ε → 0
    only are left alone.

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
    now = {k: p.detach().double() if p.is_floating_point() else p for k, p in params.items()}
    exact = [f for f in symmetry if not f.exactness.as_eps_vanishes]
    word: list[GroupElement] = []
    ties: list[str] = []

    def move(family: Family | DiscreteFamily, g: Tensor) -> None:
        nonlocal now
        now = act([(family, g)], now)
        word.append(GroupElement((family.name,), (family.group,), (g,)))

    shifts = zeroing_shifts(exact)
    for _ in range(2):
        for family, shift in shifts.items():
            move(family, shift(now))
    target, unfixed = canonical_target(symmetry, exact, now, set(shifts))
    settled: set[str] = set()
    for family in (f for f in exact if is_linear_space(f) and f.name in target):
        if overlaps_itself(family) or can_balance(family, now):
            continue
        del target[family.name]
        others = [f for f in (*exact, *symmetry.discrete) if f is not family]
        if any(family.moves & other.moves for other in others):
            unfixed.append(family.name)
        else:
            g, found = normal_form(family, now)
            ties += found
            settled.add(family.name)
            move(family, g)
    step = element_reaching(symmetry, now, target, others="free")
    now = symmetry.act(step, now)
    word.append(step)
    for find in (rotations, phases):
        for family in (f for f in exact if f.name not in settled and f.name not in unfixed):
            g, found = find(family, now)
            ties += found
            if g is not None:
                move(family, g)
    discrete = [family for family in symmetry.discrete if not contained(family, exact)]
    for family in discrete:
        g, found = order(family, now)
        ties += found
        if g is not None:
            move(family, g)
    turned = [f for f in exact if f.name not in settled and f.name not in unfixed]
    found_signs, found = signs(turned, discrete, now)
    ties += found
    for family, g in found_signs:
        move(family, g)
    element = reduce(lambda before, step: step @ before, word)
    return Canonical(now, element, tuple(ties), tuple(unfixed))
