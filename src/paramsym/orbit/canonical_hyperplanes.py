"""Canonical readers of a LayerNorm without biases of their own (docs/derivations.md §30).

Matrices I + w1ᵀ act on the LayerNorm's bias, seen through its gain, and dually on its readers. A
bias b that does not have mean zero can be taken to 1, and then nothing is left. One of mean zero
stays, and the sums of the readers over coordinates move instead.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.family import Family
from paramsym.groups import Orthogonal
from paramsym.orbit.canonical_gains import framed_rows, unframed
from paramsym.orbit.canonical_rotations import contrasts, fixed_directions
from paramsym.orbit.canonical_shifts import own_term
from paramsym.ports import Port

Params = Mapping[str, Tensor]
AnyFamily = Family | DiscreteFamily


def bias_to_one(family: Family, params: Params, quiet: float) -> Tensor | None:
    """The element that takes a bias to 1: (I + w1ᵀ)b = b + w(1ᵀb), so that w = (1 − b)/(1ᵀb).

    `None` where 1ᵀb is zero, relative to its terms, or there is no bias.
    """
    for port in family.ports:
        if port.dual or port.width != 1:
            continue
        b = framed_rows(port, params)
        total = b.sum(1, keepdim=True)
        if bool((total.abs() > quiet * b.abs().sum(1, keepdim=True)).all()):
            return _element(family, (1 - b) / total)
    return None


def leaves_writers(family: Family, params: Params, quiet: float) -> bool:
    """Whether all that is not a reader has mean zero, so that the family does not move it."""
    for port in family.ports:
        rows = framed_rows(port, params)
        if not port.dual and bool((rows.sum(1).abs() > quiet * rows.abs().sum(1)).any()):
            return False
    return True


def writers_to_rest(
    family: Family, others: Iterable[AnyFamily], params: Params, quiet: float
) -> Tensor | None:
    """For maps along the mean of a stream: the element after which the sums of what writes to it,
    as embeddings do, are as in `readers_to_rest`, which they are the readers of here.

    Only those take part whose columns nothing moves, and whose rows nothing but rotations that fix
    the mean and permutations. `None` where these do not determine the element.
    """
    others = [other for other in others if other is not family]
    chosen = [
        port
        for port in _readers(family)
        if all(_keeps_sums(other, port) for other in others if port.parameter in other.moves)
    ]
    if not chosen:
        return None
    rows = torch.cat([framed_rows(port, params) for port in chosen], -1)
    rest = contrasts(family.group.n).mT @ rows
    values = torch.linalg.svdvals(rest)
    if rest.shape[-1] < rest.shape[-2] or bool((values[:, -1] <= quiet * values[:, 0]).any()):
        return None
    w, alive, clear = _to_rest(family, rows, quiet, fixed_directions(rows.shape[-1:]))
    return _element(family, w) if bool((alive & clear).all()) else None


def _keeps_sums(other: AnyFamily, port: Port) -> bool:
    if isinstance(other, Family):
        turns = isinstance(other.group, Orthogonal) and other.group.fixes_mean and not other.terms
    else:
        turns = isinstance(other.group, Permutations)
    return turns and all(
        (own.view, own.axes, own.frame) == (port.view, port.axes, port.frame)
        for own in other.ports
        if own.parameter == port.parameter
    )


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
    rows = torch.cat([_own(port, shifts, params) for port in _readers(family)], -1)
    if toward is None:
        fixed = fixed_directions(rows.shape[-1:])
    else:
        fixed = torch.cat([_own(port, shifts, toward) for port in _readers(family)], -1).sum(1)
    w, alive, clear = _to_rest(family, rows, quiet, fixed)
    ties = []
    if bool((alive & ~clear).any()):
        ties.append(f"{family.name!r}: signs that nothing fixes")
    return _element(family, w), ties


def _to_rest(
    family: Family, rows: Tensor, quiet: float, fixed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The w of `readers_to_rest` for vectors `[copies, n, width]`; whether sums are left, and
    whether their sign along fixed directions is clear."""
    n = family.group.n
    basis = contrasts(n)
    m, rest = rows.sum(1), basis.mT @ rows
    y = torch.linalg.pinv(rest.mT, rtol=quiet) @ (m / n)[..., None]
    left = m - n * (rest.mT @ y)[..., 0]
    size = left.norm(dim=-1)
    alive = size > quiet * (rows.flatten(1).norm(dim=1) * n**0.5)
    total = (left * fixed).sum(-1)
    clear = total.abs() > quiet * size
    scale = torch.where(alive, size * torch.where(total < 0, -1.0, 1.0), 1.0)
    return basis @ y + ((scale - 1) / n)[:, None, None], alive, clear


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
