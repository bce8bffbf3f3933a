"""A target for a linear hidden space of any ranks, by construction (docs/derivations.md §17).

In a suitable basis W Wᵀ = diag(Σ, 1, 0, 0) and R Rᵀ = diag(Σ, 0, 1, 0), with Σ the singular values
of RᵀW. From there single coordinates, and planes, are scaled to the eigenvalues of the target.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.orbit.target_ranks import Ranks, span


@final
@dataclass(frozen=True, eq=False)
class NormalForm:
    """g with gWWᵀgᵀ = diag(Σ, 1, 0, 0) and g⁻ᵀRRᵀg⁻¹ = diag(Σ, 0, 1, 0).

    Attributes:
        g: The element, `[h, h]`.
        sigma: Singular values of RᵀW that are not 0, descending.
        ranks: Sizes of the blocks: r, rk W − r, rk R − r, and the rest.
    """

    g: Tensor
    sigma: Tensor
    ranks: Ranks

    @classmethod
    def of(cls, W: Tensor, R: Tensor, ranks: Ranks, eps: float) -> "NormalForm":
        """The normal form of `[h, a]` writers and `[h, b]` readers."""
        W, R, r = _independent(W, eps), _independent(R, eps), ranks.passed
        X, values, Yt = torch.linalg.svd(R.mT @ W)
        sigma, scale = values[:r], values[:r].rsqrt()
        columns = [W @ Yt[:r].mT * scale, W @ Yt[r:].mT]
        rows = torch.cat([scale[:, None] * (R @ X[:, :r]).mT, (R @ X[:, r:]).mT])
        columns.append(torch.linalg.pinv(rows)[:, r:] if len(rows) else W.new_zeros(len(W), 0))
        taken = torch.cat([rows, columns[1].mT])
        if len(taken):
            columns.append(torch.linalg.svd(taken, full_matrices=True).Vh[len(taken) :].mT)
        else:
            columns.append(torch.eye(len(W), dtype=W.dtype))
        return cls(torch.linalg.inv(torch.cat(columns, 1)), sigma, ranks)


def _independent(W: Tensor, eps: float) -> Tensor:
    """Columns with the same W Wᵀ that are linearly independent."""
    basis = span(W, eps)
    return basis @ torch.linalg.qr((basis.mT @ W).mT).R.mT if basis.numel() else basis


def construct(W: Tensor, R: Tensor, target: Tensor, ranks: Ranks, eps: float) -> Tensor:
    """An element with Q = target, which the ranks must allow, `[h, h]`.

    Args:
        W: Writers, `[h, a]`.
        R: Readers, `[h, b]`.
        target: Symmetric, `[h, h]`.
        ranks: Of W and R.
        eps: Relative accuracy of W and R.
    """
    form = NormalForm.of(W, R, ranks, eps)
    values, vectors = torch.linalg.eigh(target)
    zero = 8 * len(target) * torch.finfo(target.dtype).eps * values.abs().max()
    plus, minus = values[values > zero], -values[values < -zero]
    inner, found = _placed(form, plus.flip(0), minus)
    # Its Q is the diagonal `found`, the target's eigenvalues in another order.
    order = torch.empty(len(found), dtype=torch.int64)
    order[values.argsort(stable=True)] = found.argsort(stable=True)
    return vectors @ inner[order] @ form.g


def _placed(form: NormalForm, plus: Tensor, minus: Tensor) -> tuple[Tensor, Tensor]:
    """An element in the coordinates of the normal form, and its diagonal Q.

    Args:
        form: The normal form.
        plus: Positive eigenvalues λ, descending.
        minus: The μ > 0 of negative ones −μ, descending.
    """
    ranks = form.ranks
    r, unread, unwritten = ranks.passed, ranks.writers - ranks.passed, ranks.readers - ranks.passed
    ups, downs = list(plus), list(minus)
    g = torch.eye(ranks.h, dtype=plus.dtype)
    Q = torch.zeros(ranks.h, dtype=plus.dtype)
    for i in range(r, r + unread):
        Q[i] = ups.pop()
        g[i, i] = Q[i].sqrt()
    for i in range(r + unread, r + unread + unwritten):
        Q[i] = -downs.pop()
        g[i, i] = (-Q[i]).rsqrt()
    planes = max(0, len(ups) + len(downs) - r)
    free = r + unread + unwritten
    for i in range(r):
        s = form.sigma[i]
        if i < planes:
            j, up, down = free + i, ups.pop(0), downs.pop(0)
            t = torch.asinh(2 * s / (up + down)) / 2
            Q[i], Q[j] = up, -down
            g[i, i], g[j, i] = up.sqrt() * t.cosh() / s.sqrt(), down.sqrt() * t.sinh() / s.sqrt()
            u = torch.stack([up.sqrt() * t.sinh(), down.sqrt() * t.cosh()])
            # The second column is any with ⟨u, column⟩ = 0 and determinant of order 1.
            g[i, j], g[j, j] = -u[1], u[0]
        elif ups or downs:
            Q[i] = ups.pop(0) if ups else -downs.pop(0)
            q, root = Q[i], torch.hypot(Q[i], 2 * s)
            g[i, i] = ((root + q) / (2 * s) if q > 0 else 2 * s / (root - q)).sqrt()
    assert not ups
    assert not downs
    return g, Q
