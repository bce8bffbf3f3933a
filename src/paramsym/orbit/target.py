"""Move a model to a chosen value of its conserved quantities, without changing what it computes."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor

from paramsym.conserved import conserved
from paramsym.element import GroupElement
from paramsym.family import Family
from paramsym.orbit.coupling import components, overlaps_itself
from paramsym.orbit.target_certificate import INSTEAD, require_joint
from paramsym.orbit.target_joint import (
    JointProblem,
    Letters,
    is_linear_space,
    is_scaling,
    scaling_target,
)
from paramsym.orbit.target_neurons import attainable
from paramsym.orbit.target_reading import Target, read_target
from paramsym.orbit.target_scalings import ScalingProblem, as_elements
from paramsym.orbit.target_spaces import linear_part, require_attainable
from paramsym.orbit.target_weights import unknowns
from paramsym.parameters import check_params
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]
Others = Literal["keep", "free"]

ACCEPTED = 1e4
"""Largest gap, in units of the parameters' eps and relative to the terms of Q, that counts as
reached: rounding of θ, amplified by the condition of the elements."""


def set_conserved(
    symmetry: Symmetry, params: Params, target: Target, *, others: Others = "keep"
) -> dict[str, Tensor]:
    """The parameters of the same function whose conserved quantities have chosen values.

    Q = VVᵀ + bbᵀ − αUᵀU is set by an element of the symmetry group: positive scalings in closed
    form, one neuron at a time; GL and Aff spaces in closed form for Q* = qI and by Newton's method
    for other symmetric Q*; families that share weights jointly (docs/derivations.md §17 and §24).
    For Aff spaces only the linear part moves.

    Args:
        symmetry: The model's symmetry.
        params: Parameter dict θ, moved in its own dtype and not changed itself.
        target: For some families by name Q*, of the shape that `symmetry.conserved` gives, or a
            number q, which stands for Q* = q for each neuron, and qI for matrices. A number alone
            stands for that q in every family with a law that is exact and has both writers and
            readers.
        others: What happens to families that are not named but share entries with one that is:
            `"keep"` moves them too, so that they keep their Q; `"free"` does not move them, so that
            it changes. Families that are exact as ε → 0 only, and shifts, move only if named.

    Returns:
        A new dict; parameters that nothing moves are the same tensors.

    Raises:
        ValueError: If a family is unknown or has no law, or a target has another shape, is not
            symmetric or finite, or is not attainable, alone or together with the others: the
            message says why.
        ArithmeticError: If coupled targets are attainable one by one, and nothing is found that
            excludes them together, but Newton's method does not reach them.
    """
    g = element_reaching(symmetry, params, target, others=others)
    return symmetry.act(g, params)


@torch.no_grad()
def element_reaching(
    symmetry: Symmetry, params: Params, target: Target, *, others: Others = "keep"
) -> GroupElement:
    """The group element by which `set_conserved` moves the parameters, in float64.

    Families whose actions commute have one letter each; others may have several.
    """
    wanted, kept = read_target(symmetry, params, target, others)
    letters: Letters = []
    for group in components([*wanted_families(symmetry, wanted), *kept]):
        if any(family.name in wanted for family in group):
            letters += _solve(symmetry, group, wanted, params)
    return as_word(letters)


def wanted_families(symmetry: Symmetry, names: Iterable[str]) -> list[Family]:
    """Families by name, in the symmetry's order."""
    names = set(names)
    return [family for family in symmetry if family.name in names]


def _solve(
    symmetry: Symmetry, families: list[Family], wanted: Mapping[str, Tensor], params: Params
) -> Letters:
    names = frozenset[str]().union(*(f.moves | f.reads for f in families))
    own = {k: _workable(params[k].detach()) for k in sorted(names)}
    scaled = all(is_scaling(family) for family in families)
    problem = ScalingProblem.at(families, own) if scaled else None
    if problem is None or not problem.is_finite:
        check_params(own, [p for p in symmetry.parameters if p.name in own], values=True)
    eps = max(torch.finfo(p.dtype).eps for p in own.values())
    present = conserved([f for f in families if f.name not in wanted], own)
    target = {**{k: Q.double().cpu() for k, Q in present.items()}, **wanted}
    for family in families:
        if is_linear_space(family) and not overlaps_itself(family):
            require_attainable(family, own, linear_part(family, target[family.name]), eps)

    def doubt() -> None:
        require_joint(families, target, own)

    if problem is not None:
        goal = scaling_target(families, target)
        _require_scales(families, problem, goal)
        u, gap = problem.solve(goal, eps, doubt=doubt)
        letters = as_elements(families, u)
    else:
        joint = JointProblem(families, target, own, eps)
        scalings = [family for family in families if is_scaling(family)]
        if scalings:
            part = ScalingProblem.at(scalings, own)
            _require_scales(scalings, part, scaling_target(scalings, target))
        gap = joint.solve(doubt)
        letters = joint.letters
    if not gap <= ACCEPTED * eps:
        doubt()
        raise ArithmeticError(
            f"`target` was not reached for {[f.name for f in families]}, which share weights: each "
            "target alone is attainable, no linear combination of them excludes them, but Newton's "
            f"method on all of them ends with Q off by {gap:.1e} relative to its terms. {INSTEAD}"
        )
    return letters


def _workable(p: Tensor) -> Tensor:
    return p.float() if p.dtype.itemsize < 4 else p


def _require_scales(families: list[Family], problem: ScalingProblem, goal: Tensor) -> None:
    """Raise where a neuron cannot reach its target whatever the others do."""
    squares = problem.by_degree(torch.zeros(problem.count, dtype=torch.float64), 0, problem.count)
    bad = ~attainable(squares, goal)
    if not bool(bad.any()):
        return
    start = 0
    for family in families:
        own = bad[start : (start := start + unknowns(family))]
        if bool(own.any()):
            first = int(own.nonzero()[0])
            k = start - len(own) + first
            up = any(d > 0 and bool(w[k] > 0) for d, w in squares.items())
            down = any(d < 0 and bool(w[k] > 0) for d, w in squares.items())
            held, reach = {
                (True, False): ("writers and no readers", "positive numbers"),
                (False, True): ("readers and no writers", "negative numbers"),
                (False, False): ("neither writers nor readers that are not zero", "0"),
            }[up, down]
            raise ValueError(
                f"`target[{family.name!r}]` is not attainable for {int(own.sum())} of {len(own)} "
                f"neurons: neuron {first} has {held}, so that its Q takes {reach} only; got "
                f"{float(goal[k]):g}. Choose such a target there, or leave the family out."
            )


def as_word(letters: Letters) -> GroupElement:
    """Letters as a group element."""
    return GroupElement(
        tuple(f.name for f, _ in letters),
        tuple(f.group for f, _ in letters),
        tuple(g for _, g in letters),
    )
