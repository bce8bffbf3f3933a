"""Why targets exclude each other: a combination of Q with a sign that no weights can change.

Scalings of all families turn an entry x into x e^{(Du)}, so that Q = Dᵀ(x² e^{2Du}). If Dy ≤ 0 on
all entries that are not zero, then ⟨y, Q⟩ ≤ 0 wherever the families lead, and < 0 if some entry of
Dy is; targets with another sign are out of reach. Where there is no such y, targets of scalings are
attainable (docs/derivations.md §31).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, final

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine, PositiveScaling
from paramsym.orbit.coupling import all_commute
from paramsym.orbit.target_joint import is_linear_space, is_scaling, scaling_target
from paramsym.orbit.target_spaces import linear_part
from paramsym.orbit.target_weights import Side, Squares, squares, unknowns

LARGEST = 10**6
"""Rows of a linear program that are solved; more take minutes."""

SHOWN = 6
"""Terms of a combination that a message writes out."""

ROUNDING = 1e-9
"""Of ⟨y, Q*⟩ relative to its terms: targets that are kept are known to rounding only."""


INSTEAD = 'Name fewer families, or pass others="free", which keeps nothing.'


@final
@dataclass(frozen=True, eq=False)
class Exclusion:
    """A combination ⟨y, Q⟩ that is at most 0 on the orbit, and what the targets give.

    Attributes:
        weights: y, `[unknowns]`.
        names: What each unknown's Q is called.
        asked: ⟨y, Q*⟩, at least 0.
        vanishes: Whether ⟨y, Q⟩ is 0 everywhere; else it is negative everywhere.
        affine: Whether an Aff space takes part, whose translations could change that; targets are
            reached without them.
    """

    weights: Tensor
    names: Sequence[str]
    asked: float
    vanishes: bool
    affine: bool

    def __str__(self) -> str:
        used = self.weights.nonzero().flatten().tolist()
        terms = [f"{_factor(float(self.weights[i]))}{self.names[i]}" for i in used[:SHOWN]]
        more = f" and {len(used) - SHOWN} terms more" if len(used) > SHOWN else ""
        always = "0" if self.vanishes else "negative, minus a sum of squares of weights,"
        return (
            f"{' '.join(terms).removeprefix('+ ')}{more} is {always} wherever these families lead"
            f"{' without translations' * self.affine}, and the targets give {self.asked:.3g}"
        )


def require_joint(
    families: Sequence[Family], target: Mapping[str, Tensor], params: Mapping[str, Tensor]
) -> None:
    """Raise if a combination is found that excludes targets together; as for `exclusion`.

    Raises:
        ValueError: If it is.
    """
    reason = exclusion(families, target, params)
    if reason is not None:
        raise ValueError(
            f"`target` is not attainable for {[f.name for f in families]} together, which share "
            f"weights: {reason}. {INSTEAD}"
        )


def exclusion(
    families: Sequence[Family], target: Mapping[str, Tensor], params: Mapping[str, Tensor]
) -> Exclusion | None:
    """A reason why families cannot have their targets together; `None` where none is found.

    GL and Aff spaces take part with the trace of each copy. Without them `None` means that the
    targets are attainable, but for rounding and for programs that are too large.

    Args:
        families: Coupled families.
        target: Q* of each, of its group's shape, float64.
        params: Parameters that they hold.
    """
    if not all(is_scaling(f) or is_linear_space(f) for f in families):
        return None
    spaces = [f for f in families if is_linear_space(f)]
    # Otherwise a matrix could turn entries that are zero, as a class, into others that are not.
    if spaces and not all_commute(families):
        return None
    traced = [traces(f) if is_linear_space(f) else f for f in families]
    q = torch.cat(
        [
            linear_part(f, target[f.name]).diagonal(dim1=-2, dim2=-1).sum(-1)
            if is_linear_space(f)
            else scaling_target([f], target)
            for f in families
        ]
    )
    parts = squares(traced, params)
    if sum(_row_count(part) for part in parts) > LARGEST:
        return None
    y = _direction(parts, q)
    if y is None:
        return None
    largest, least = _range(parts, y)
    asked, size = float(y @ q), float((y * q).abs().sum())
    if largest > 0 or asked < -ROUNDING * size:
        return None
    vanishes = least == 0
    if vanishes and asked <= ROUNDING * size:
        return None
    asked = asked if asked > ROUNDING * size else 0.0
    affine = any(isinstance(f.group, Affine) for f in spaces)
    return Exclusion(y, _names(families), asked, vanishes, affine)


def traces(family: Family) -> Family:
    """The multiples of the unit in each copy of a linear space, as scalings."""
    copies = family.group.copies
    ports = tuple(replace(p, index=p.index.reshape(1, copies, -1)) for p in family.ports)
    return Family(family.name, PositiveScaling(copies), ports)


def _direction(parts: Sequence[Squares], q: Tensor) -> Tensor | None:
    """y in [−1, 1] with Dy ≤ 0 and ⟨y, Q*⟩ ≥ 0 that makes ⟨y, Q*⟩ − ΣDy largest, if not 0."""
    count, extra = len(q), sum(_is_full(part) for part in parts)
    blocks, total, helper = list[Any](), np.zeros(count), count
    for part in parts:
        rows, sums = _rows(part, count, helper, extra)
        blocks.append(rows)
        total += sums
        helper += _is_full(part)
    wanted = q.numpy() / max(float(q.abs().sum()), 1e-300)
    at_least = csr_array(np.concatenate([-wanted, np.zeros(extra)])[None])
    objective = np.concatenate([total / max(np.abs(total).sum(), 1.0) - wanted, np.zeros(extra)])
    matrix: Any = vstack([*blocks, at_least])
    bounds = [(-1.0, 1.0)] * count + [(None, None)] * extra
    found = linprog(objective, matrix, np.zeros(matrix.shape[0]), bounds=bounds, method="highs")
    if found.status != 0 or found.fun > -1e-9:
        return None
    # Vertices are simple fractions where degrees are; what rounding leaves is checked after.
    simple = [float(Fraction(float(v)).limit_denominator(64)) for v in found.x[:count]]
    y = torch.tensor(simple, dtype=torch.float64)
    least = y.abs()[y != 0]
    return y / least.min() if len(least) else None


def _is_full(part: Squares) -> bool:
    """Two sides without a zero, where one number between them replaces all pairs of rows."""
    return len(part.sides) == 2 and bool((part.sums > 0).all())


def _row_count(part: Squares) -> int:
    return sum(part.sums.shape) if _is_full(part) else int((part.sums > 0).sum())


def _rows(part: Squares, count: int, helper: int, extra: int) -> tuple[Any, np.ndarray]:
    """Dy ≤ 0 for all entries that are not zero, and ΣD over them.

    For a full part a_i + b_k ≤ 0 for all pairs if and only if a_i ≤ t ≤ −b_k for some t.
    """
    width = count + extra
    sides = [_matrix(side, width, count) for side in part.sides]
    sizes = [side.slots.shape[1] for side in part.sides]
    present = (part.sums > 0).numpy()
    if len(sides) == 1:
        rows = sides[0][np.flatnonzero(present)]
        return rows, np.asarray(rows.sum(0)).ravel()[:count]
    first, second = sides
    weights = [present.sum(1), present.sum(0)]
    total = weights[0] @ first + weights[1] @ second
    if _is_full(part):
        t = [
            csr_array(
                (np.full(size, sign), (np.arange(size), np.full(size, helper))), (size, width)
            )
            for sign, size in zip((-1.0, 1.0), sizes, strict=True)
        ]
        rows = vstack([first + t[0], second + t[1]])
    else:
        i, k = present.nonzero()
        rows = first[i] + second[k]
    return rows, np.asarray(total).ravel()[:count]


def _matrix(side: Side, width: int, count: int) -> csr_array:
    """The rows of D of each class of a side."""
    slots = side.slots.numpy()
    port, row = (slots < count).nonzero()
    entries = (side.degrees.numpy()[port], (row, slots[port, row]))
    return csr_array(entries, shape=(slots.shape[1], width))


def _range(parts: Sequence[Squares], y: Tensor) -> tuple[float, float]:
    """The largest and the least entry of Dy over entries that are not zero."""
    ends, largest, least = torch.cat([y, y.new_zeros(1)]), -torch.inf, torch.inf
    for part in parts:
        along = [side.spread(ends) for side in part.sides]
        moved = along[0] if len(along) == 1 else along[0][:, None] + along[1]
        moved = moved[part.sums > 0]
        if moved.numel():
            # Sums of degrees that are no binary fractions round.
            moved = torch.where(moved.abs() < 1e-12 * float(y.abs().max()), 0.0, moved)
            largest, least = max(largest, float(moved.max())), min(least, float(moved.min()))
    return largest, least


def _names(families: Sequence[Family]) -> list[str]:
    found = []
    for family in families:
        if is_linear_space(family):
            copies = family.group.copies
            found += [f"tr Q[{family.name!r}]" + f"[{i}]" * (copies > 1) for i in range(copies)]
        else:
            found += [f"Q[{family.name!r}][{i}]" for i in range(unknowns(family))]
    return found


def _factor(y: float) -> str:
    sign, size = "+ " if y > 0 else "− ", abs(y)
    return sign if size == 1 else f"{sign}{size:.4g} · "
