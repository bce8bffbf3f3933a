"""Canonical points of linear spaces that have no balanced point (docs/derivations.md §25)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.orbit.canonical_gains import DEGENERATE
from paramsym.orbit.canonical_rotations import fixed_directions
from paramsym.orbit.target_normal_form import NormalForm
from paramsym.orbit.target_ranks import Ranks
from paramsym.orbit.target_spaces import as_element, vectors

Params = Mapping[str, Tensor]
EPS = torch.finfo(torch.float64).eps


def normal_form(family: Family, params: Params) -> tuple[Tensor, list[str]]:
    """The element to WWᵀ = diag(Σ, 1, 0, 0), RRᵀ = diag(Σ, 0, 1, 0), with every freedom fixed.

    Σ is left with signs, the two blocks of ones with rotations; these make the block the nearest
    to fixed directions that it can be.
    """
    found, ties = [], []
    for copy in range(family.group.copies):
        W, R = vectors(family, params, copy)
        ranks = Ranks.of(W, R, EPS)
        form = NormalForm.of(W, R, ranks, EPS)
        sigma, r = form.sigma, ranks.passed
        if bool((sigma[:-1] - sigma[1:] <= DEGENERATE * sigma[:1]).any()):
            ties.append(f"{family.name!r}: equal singular values")
        g = form.g
        W, R = g @ W, torch.linalg.solve(g.mT, R)
        turn = torch.eye(ranks.h, dtype=W.dtype)
        if r:
            seen = W[:r] @ fixed_directions(W.shape[1:])
            if bool((seen.abs() <= DEGENERATE * sigma.sqrt()).any()):
                ties.append(f"{family.name!r}: signs that nothing fixes")
            turn[:r, :r] = torch.where(seen < 0, -1.0, 1.0).double().diag()
        unread = slice(r, ranks.writers)
        unwritten = slice(ranks.writers, ranks.writers + ranks.readers - r)
        for rows, part in ((W, unread), (R, unwritten)):
            block = rows[part]
            if not len(block):
                continue
            # The rotation k that makes k·block the nearest to a fixed frame: a polar factor.
            U, values, Vh = torch.linalg.svd(fixed_directions(tuple(block.shape)) @ block.mT)
            if bool(values[-1] <= DEGENERATE * values[0]):
                ties.append(f"{family.name!r}: rotations that nothing fixes")
            turn[part, part] = U @ Vh
        found.append(turn @ g)
    return as_element(family, torch.stack(found)), ties
