"""One linear hidden space of a model: what it holds, and the element that reaches a target."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine
from paramsym.moment_map import moment
from paramsym.orbit.target_matrices import definite, newton, scalar_target
from paramsym.orbit.target_normal_form import construct
from paramsym.orbit.target_ranks import Ranks, inertia
from paramsym.sharded import whole

Params = Mapping[str, Tensor]

CONDITION = 1e4
"""Condition of an element from which, for weights of low rank, the construction is preferred."""


def grams(family: Family, params: Params) -> tuple[Tensor, Tensor]:
    """A = W Wᵀ and B = R Rᵀ of the family's writers and readers, `[copies, n, n]`, float64."""
    group, found = family.group, []
    for dual in (False, True):
        ports = tuple(port for port in family.ports if port.dual is dual)
        if not ports:
            found.append(torch.zeros(group.copies, group.n, group.n, dtype=torch.float64))
            continue
        gram = linear_part(family, moment(replace(family, ports=ports), params, params))
        found.append(-gram if dual else gram)
    return found[0], found[1]


def linear_part(family: Family, Q: Tensor) -> Tensor:
    """The linear part of Q or of an algebra element, `[copies, n, n]`, symmetric, float64."""
    linear = family.group.linear(Q.detach())
    assert linear is not None
    linear = linear.double().cpu()
    return (linear + linear.mT) / 2


def as_element(family: Family, linear: Tensor) -> Tensor:
    """The group element with a linear part `[copies, n, n]` and no translation."""
    group = family.group
    if not isinstance(group, Affine):
        return linear.reshape(group.shape)
    element = group.identity().reshape(group.copies, *group.entry_shape)
    element[:, : group.n, : group.n] = linear
    return element.reshape(group.shape)


def vectors(family: Family, params: Params, copy: int) -> tuple[Tensor, Tensor]:
    """Writers W and readers R of one copy, as columns, `[n, a]` and `[n, b]`, float64."""
    found = []
    for dual in (False, True):
        columns = [
            port.rows(whole(params[port.parameter].detach()))[copy].double().cpu()
            for port in family.ports
            if port.dual is dual
        ]
        empty = torch.zeros(family.group.n, 0, dtype=torch.float64)
        found.append(torch.cat(columns, 1) if columns else empty)
    return found[0], found[1]


def require_attainable(family: Family, params: Params, target: Tensor, eps: float) -> None:
    """Raise unless the orbit reaches the target, by ranks and inertia.

    Args:
        family: A GL or Aff family.
        params: Parameters.
        target: Q*, `[copies, n, n]`.
        eps: Relative accuracy of the parameters.

    Raises:
        ValueError: If it does not.
    """
    A, B = grams(family, params)
    for copy in (~(definite(A) & definite(B))).nonzero().flatten().tolist():
        ranks = Ranks.of(*vectors(family, params, copy), eps)
        plus, minus = inertia(target[copy])
        if not ranks.allow(plus, minus):
            of_copy = f" of copy {copy}" if family.group.copies > 1 else ""
            raise ValueError(
                f"`target[{family.name!r}]`{of_copy} is not attainable by any element of "
                f"{family.group}: {ranks.refusal(plus, minus)}. Choose a target with such an "
                "inertia, or leave the family out; for target zero of an uncoupled family "
                "`balance(..., replace=True)` gives the balanced factors that the orbit comes "
                "arbitrarily near to."
            )


def reach(family: Family, params: Params, target: Tensor, eps: float) -> Tensor:
    """The linear part of an element with Q = target, `[copies, n, n]`.

    In closed form for Q* = qI; by Newton's method from the unit otherwise; where that does not get
    there, as it need not where ranks are low, by construction. Targets must be attainable.

    Args:
        family: A GL or Aff family.
        params: Parameters.
        target: Q*, `[copies, n, n]`.
        eps: Relative accuracy of the parameters.
    """
    A, B = grams(family, params)
    q = target.diagonal(dim1=-2, dim2=-1).mean(-1)
    one = torch.eye(target.shape[-1], dtype=target.dtype)
    scalar = (target == q[:, None, None] * one).flatten(1).all(1)
    regular = definite(A) & definite(B)
    g = one.expand(A.shape).clone()
    # Near the target Newton's method is the more accurate: it solves for the gap alone.
    far = torch.linalg.matrix_norm(target - A + B) > 1e-3 * torch.linalg.matrix_norm(A + B)
    closed = scalar & regular & far
    if bool(closed.any()):
        g[closed] = scalar_target(A[closed], B[closed], q[closed])
    if bool((~closed).any()):
        g[~closed] = _general(family, params, target, eps, A, B, (~closed).nonzero().flatten())
    return g


def _general(
    family: Family, params: Params, target: Tensor, eps: float, A: Tensor, B: Tensor, copies: Tensor
) -> Tensor:
    g, gaps = newton(A[copies], B[copies], target[copies], 4 * torch.finfo(A.dtype).eps)
    regular = definite(A[copies]) & definite(B[copies])
    # Where weights are of low rank, the gap can close at infinity: g runs off to a singular matrix.
    runs_off = ~regular & ~(torch.linalg.cond(g) <= CONDITION)
    for i, copy in enumerate(copies.tolist()):
        if gaps[i] > max(1e-9, 64 * eps) or runs_off[i]:
            W, R = vectors(family, params, copy)
            g[i] = construct(W, R, target[copy], Ranks.of(W, R, eps), eps)
    return g
