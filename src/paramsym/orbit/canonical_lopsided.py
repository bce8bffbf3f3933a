"""Canonical scales of linear spaces that share weights and have no balanced point.

If one side of such a space, its readers say, has full rank n, RRᵀ = I fixes it up to rotations, and
is the Q of the space without its writers. Where nothing else that is open moves the writers, it can
be reached together with the Q of neighbours, as any target (docs/derivations.md §30).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import GeneralLinear, Orthogonal
from paramsym.orbit.canonical_rotations import fixed_directions
from paramsym.orbit.coupling import overlap
from paramsym.orbit.target_matrices import definite
from paramsym.orbit.target_spaces import grams

Params = Mapping[str, Tensor]


def one_side(
    family: Family, others: Sequence[Family], taken: Sequence[Family], params: Params
) -> tuple[Family, Tensor] | None:
    """The family as it acts on a side of full rank, and the Q of that side that is ±I.

    Args:
        family: A space without balanced point.
        others: Other families that are open.
        taken: Those of them of which one side was taken before.
        params: Parameter dict.

    Returns:
        `None` where no side has full rank, others move the other side, or this side is that of a
        family before, whose Q may exclude this one.
    """
    if not isinstance(family.group, GeneralLinear):
        return None
    # Rotations change no Q.
    others = [f for f in others if not isinstance(f.group, Orthogonal)]
    for dual, gram in zip((False, True), grams(family, params), strict=True):
        rest = [port for port in family.ports if port.dual is not dual]
        if not bool(definite(gram).all()):
            continue
        if any(overlap(port, other) for port in rest for f in others for other in f.ports):
            continue
        kept = tuple(port for port in family.ports if port.dual is dual)
        if any(overlap(port, other) for port in kept for f in taken for other in f.ports):
            continue
        one = family.group.identity()
        return replace(family, ports=kept), -one if dual else one
    return None


def unlike(family: Family, turned: Sequence[Family]) -> tuple[Tensor, list[bool]]:
    """How to weigh what a side with RRᵀ = I holds, so that eigenvalues differ.

    Returns:
        For every port a weight, and whether each of its vectors may be weighed by its own size
        too: where no other space turns the vectors into one another.
    """
    weights = 1 + fixed_directions((len(family.ports),)).abs()
    others = [port for f in turned if f is not family for port in f.ports]
    alone = [not any(overlap(port, other) for other in others) for port in family.ports]
    return weights / torch.linalg.vector_norm(weights), alone
