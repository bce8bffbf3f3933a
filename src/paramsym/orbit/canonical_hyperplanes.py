"""Canonical readers of a LayerNorm without biases of their own (docs/derivations.md §30).

Matrices I + w1ᵀ act on the LayerNorm's bias, seen through its gain, and dually on its readers. A
bias b that does not have mean zero can be taken to 1, and then nothing is left. One of mean zero
stays, and the sums of the readers over coordinates move instead.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.orbit.canonical_gains import framed_rows, unframed
from paramsym.orbit.canonical_rotations import contrasts, fixed_directions
from paramsym.orbit.canonical_shifts import own_term
from paramsym.ports import Port

Params = Mapping[str, Tensor]


def bias_to_one(family: Family, params: Params, quiet: float) -> Tensor | None:
    """The element that takes the bias to 1: (I + w1ᵀ)b = b + w(1ᵀb), so that w = (1 − b)/(1ᵀb).

    `None` where 1ᵀb is zero, relative to its terms, or there is no bias.
    """
    biases = [port for port in family.ports if not port.dual]
    if len(biases) != 1 or biases[0].width != 1:
        return None
    b = framed_rows(biases[0], params)
    total = b.sum(1, keepdim=True)
    if bool((total.abs() <= quiet * b.abs().sum(1, keepdim=True)).any()):
        return None
    return _element(family, (1 - b) / total)


def without_sums(family: Family, params: Params) -> dict[str, Tensor]:
    """The parameters with readers of mean zero, which is what the family leaves alone if the bias
    has mean zero."""
    found = dict(params)
    for port in _readers(family):
        rows = framed_rows(port, found)
        rows = unframed(port, found, rows - rows.mean(1, keepdim=True))
        found[port.parameter] = port.put(found[port.parameter], rows)
    return found


def readers_to_rest(
    family: Family,
    shifts: Sequence[Family],
    params: Params,
    quiet: float,
    toward: Params | None = None,
) -> tuple[Tensor, list[str]]:
    """The element after which the readers' sums m are orthogonal to what their parts of mean zero
    span, have norm 1, and a positive fixed combination (or, with `toward`, product with the sums
    there); and what is not determined.

    With w = v + (σ/n)1 and 1ᵀv = 0, m becomes (m − nR⊥ᵀv)/(1 + σ). Readers whose sums a family of
    shifts removes are left out.
    """
    n = family.group.n
    basis = contrasts(n)
    rows = torch.cat([_own(port, shifts, params) for port in _readers(family)], -1)
    m, rest = rows.sum(1), basis.mT @ rows
    y = torch.linalg.pinv(rest.mT, rtol=quiet) @ (m / n)[..., None]
    left = m - n * (rest.mT @ y)[..., 0]
    size = left.norm(dim=-1)
    alive = size > quiet * (rows.flatten(1).norm(dim=1) * n**0.5)
    if toward is None:
        total = left @ fixed_directions(left.shape[-1:])
    else:
        there = torch.cat([_own(port, shifts, toward) for port in _readers(family)], -1)
        total = (left * there.sum(1)).sum(-1)
    ties = []
    if bool((alive & (total.abs() <= quiet * size)).any()):
        ties.append(f"{family.name!r}: signs that nothing fixes")
    scale = torch.where(alive, size * torch.where(total < 0, -1.0, 1.0), 1.0)
    w = basis @ y + ((scale - 1) / n)[:, None, None]
    return _element(family, w), ties


def _readers(family: Family) -> list[Port]:
    return [port for port in family.ports if port.dual]


def _own(port: Port, shifts: Sequence[Family], params: Params) -> Tensor:
    """The vectors that a reader holds, zero where a family of shifts moves them too."""
    rows = framed_rows(port, params)
    removed = torch.zeros_like(params[port.parameter].double())
    for family in shifts:
        term = own_term(family)
        if term is not None and term.target.parameter == port.parameter:
            removed = term.target.add(removed, torch.ones_like(term.target.read(params)).double())
    kept = (port.rows(removed) == 0).all(1, keepdim=True)
    return rows * kept


def _element(family: Family, w: Tensor) -> Tensor:
    n = family.group.n
    return (torch.eye(n, dtype=w.dtype) + w.expand(-1, n, n)).reshape(family.group.shape)
