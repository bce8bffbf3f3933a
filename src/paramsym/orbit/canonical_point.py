"""A canonical point on each orbit: what is left of a model once every choice of gauge is made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import final

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.element import GroupElement
from paramsym.family import Family
from paramsym.groups import HyperplaneFixing, Translation
from paramsym.orbit.balancing import can_balance
from paramsym.orbit.canonical_balance import canonical_target
from paramsym.orbit.canonical_gains import HeldGain, held_gains, hyperplane
from paramsym.orbit.canonical_normal_form import normal_form
from paramsym.orbit.canonical_order import contained, order
from paramsym.orbit.canonical_residual import Residual, residual
from paramsym.orbit.canonical_rotations import rotations, turning
from paramsym.orbit.canonical_shifts import orthogonal_shifts, shifting
from paramsym.orbit.canonical_signs import signs
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
    """Fix the gauge: gains, shifts, scales, rotations, the order of units, signs.

    1. Gains that other families read are made ±1. Rotations through them and shifts along 1/γ act
       linearly and along constant directions then.
    2. Of every shift, the parameter that it shifts first is made orthogonal to its directions: a
       bias that is shifted freely becomes zero, the mean of a writer in front of a LayerNorm too.
    3. Q = 0 (docs/derivations.md §24), or ±1 for units with writers or readers only.
       A linear space without balanced point, and without neighbours, gets the normal form of §17.
    4. Rotations that are left make WWᵀ (with RRᵀ, for O(n)) diagonal, descending: a singular value
       decomposition of the map that the space passes on.
    5. Units that may change places are sorted by their sum of squares, descending.
    6. Of every sign that may change, a fixed combination of the weights it multiplies is positive.

    Each step is O(h³) a family at most (docs/derivations.md §25 and §30). Families that are exact
    as ε → 0 only are left alone.

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
    unfixed: list[str] = []

    def move(family: Family | DiscreteFamily, g: Tensor) -> None:
        nonlocal now
        now = act([(family, g)], now)
        word.append(GroupElement((family.name,), (family.group,), (g,)))

    settled: set[str] = set()
    held: list[HeldGain] = []
    for gain in held_gains(exact):
        g = gain.to_one(now)
        if g is None:
            unfixed.append(gain.family.name)
        else:
            held.append(gain)
            settled.add(gain.family.name)
            move(gain.family, g)
    ones = {gain.port.parameter for gain in held}
    for family in (f for f in exact if isinstance(f.group, HyperplaneFixing)):
        g = hyperplane(family, now)
        if g is None:
            unfixed.append(family.name)
        else:
            settled.add(family.name)
            move(family, g)
    shifts = [family for family in exact if shifting(family)]

    def shift() -> None:
        letters, restless = orthogonal_shifts(shifts, now)
        unfixed.extend(restless)
        for family, g in letters:
            move(family, g)

    shift()
    settled |= {family.name for family in shifts if isinstance(family.group, Translation)}

    still_open: list[Family] = []
    led: dict[str, Residual] = {}
    for family in (f for f in exact if f.name not in settled and f.name not in unfixed):
        left = residual(family, held) if family.moves & ones else None
        if left is not None:
            led[family.name] = left
        still_open.append(left.action if left else family)
    target, found = canonical_target(still_open, ones, now)
    unfixed += found
    for family in (f for f in still_open if is_linear_space(f) and f.name in target):
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
    balanced = element_reaching(_open(symmetry, still_open), now, target, others="free")
    for name, g in zip(balanced.names, balanced.tensors, strict=True):
        for family, letter in led[name].letters(g) if name in led else [(symmetry[name], g)]:
            move(family, letter)
    if led:
        shift()

    turned = [f for f in exact if turning(f) and f.name not in settled and f.name not in unfixed]
    for family in turned:
        g, found = rotations(family, now)
        ties += found
        move(family, g)
    for family in (f for f in symmetry.discrete if isinstance(f.group, Permutations)):
        if contained(family, exact, ones):
            continue
        if _turns_its_frame(family, turned):
            unfixed.append(family.name)
            continue
        g, found = order(family, now)
        ties += found
        move(family, g)
    found_signs, found = signs(turned, symmetry.discrete, now)
    ties += found
    for family, g in found_signs:
        move(family, g)
    element = reduce(lambda before, step: step @ before, word, GroupElement((), (), ()))
    return Canonical(now, element, tuple(ties), tuple(dict.fromkeys(unfixed)))


def _open(symmetry: Symmetry, families: list[Family]) -> Symmetry:
    """The symmetry of some families, as if all parameters were trained: what is frozen can be moved
    all the same."""
    parameters = tuple(replace(parameter, trainable=True) for parameter in symmetry.parameters)
    return replace(symmetry, families=tuple(families), parameters=parameters, discrete=())


def _turns_its_frame(family: DiscreteFamily, turned: list[Family]) -> bool:
    """Whether permutations move a gain through which a rotation acts."""
    frames = {port.frame.parameter for f in turned for port in f.ports if port.frame is not None}
    return bool(family.moves & frames)
