"""A few rows of a Jacobian, which show its scales and its rounding errors."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.certification.generic import nudged
from paramsym.certification.jacobian import Jacobian
from paramsym.certification.null_space import CLEAR_GAP

EPS = torch.finfo(torch.float64).eps

PILOT = 128
"""Rows that scales and noise are measured on, and the families tested."""

SAFETY = 4.0
"""What the noise that a sample of rows shows is multiplied by."""


@final
@dataclass(frozen=True)
class Pilot:
    """A few rows, by which scales and noise are known before the others are computed.

    Attributes:
        rows: With columns divided by their norms and rows by theirs, `[PILOT, d]`.
        error: What rounding does to them: their change when θ changes by rounding.
        scale: What columns were multiplied by.
        alive: Columns that are not zero.
    """

    rows: Tensor
    error: Tensor
    scale: Tensor
    alive: Tensor

    @classmethod
    def of(cls, jacobian: Jacobian, params: dict[str, Tensor], seed: int) -> "Pilot":
        generator = torch.Generator().manual_seed(seed)
        rows = jacobian.rows(params, PILOT, seed)
        error = jacobian.rows(nudged(params, generator), PILOT, seed) - rows
        alive = (rows != 0).any(0) | (error != 0).any(0)
        scale = column_scales(rows.norm(dim=0), error.norm(dim=0))
        lengths = (rows * scale).norm(dim=1, keepdim=True)
        lengths = torch.where(lengths > 0, lengths, 1.0)
        return cls(rows * scale / lengths, error * scale / lengths, scale, alive)

    @property
    def tolerance(self) -> float:
        """What rounding explains of a cosine."""
        return CLEAR_GAP * max(float(self.error.norm(dim=1).amax()), EPS)

    def cosines(self, fields: Tensor) -> Tensor:
        """Largest cosine of each field with a row, in scaled coordinates."""
        scaled = fields / self.scale
        lengths = scaled.norm(dim=1)
        return (scaled @ self.rows.mT).abs().amax(1) / torch.where(lengths > 0, lengths, 1.0)


def column_scales(norms: Tensor, errors: Tensor) -> Tensor:
    """Factors that give columns length 1, or less where that would blow up their noise.

    A column of rounding errors (the gradient of a bias that softmax ignores) must stay small.
    """
    live = norms > 0
    if not bool(live.any()):
        return torch.ones_like(norms)
    relative = torch.where(live, errors / torch.where(live, norms, 1.0), 0.0)
    usual = max(SAFETY * float(relative[live].median()), EPS)
    scale = 1 / torch.where(live, norms, norms[live].median())
    return scale * torch.where(relative > usual, usual / relative.clamp_min(EPS), 1.0)
