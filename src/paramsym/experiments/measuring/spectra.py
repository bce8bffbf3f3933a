"""Spectra of the Hessian where training ends, and null spaces at minima of small nets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from paramsym.dynamics.two_layer import TwoLayer
from paramsym.experiments.experiment import (
    Arrays,
    Finished,
)
from paramsym.experiments.measuring.convergence import rank_correlation
from paramsym.experiments.measuring.two_layer_runs import Plan, descend, start

NEAR_ZERO = 1e-6
"""An eigenvalue of at most this share of the largest is near zero."""

PAPER_NEAR_ZERO = 1e-3
"""The paper's own threshold, absolute."""


def spectra(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Train, and take the spectrum of the sum of squares at the end.

    Returns:
        `eigenvalues` `[runs, d]`, ascending; `Q` `[runs]`, ½‖U‖² − ΣΦ(V) at the end; `sizes`
        `[runs, 2]`, ‖U‖² and ‖V‖²; `loss` `[runs]`, the sum of squares.
    """
    plan = Plan.from_settings(settings)
    arrays = descend(settings, scratch)
    U, V = arrays["U"], arrays["V"]
    objective = TwoLayer(plan.activation, start(plan)[0].Y)
    hessians = objective.hessian({"U": U, "V": V})
    return {
        "eigenvalues": torch.linalg.eigvalsh(hessians),
        "Q": arrays["readers"][-1] - arrays["writers"][-1],
        "sizes": torch.stack([U.square().sum((1, 2)), V.square().sum((1, 2))], 1),
        "loss": objective.losses({"U": U, "V": V}),
    }


@final
@dataclass(frozen=True, eq=False)
class Spectra:
    """What one activation gives; runs are split into seeds and standard deviations.

    Attributes:
        activation: Its name.
        seeds: Of the repetitions.
        eigenvalues: Ascending, `[seeds, stds, d]`.
        Q: ½‖U‖² − ΣΦ(V), `[seeds, stds]`.
        loss: ‖Y − Uσ(V)‖², `[seeds, stds]`.
    """

    activation: str
    seeds: tuple[int, ...]
    eigenvalues: Tensor
    Q: Tensor
    loss: Tensor

    def near_zero(self) -> Tensor:
        """Number of eigenvalues near zero, `[seeds, stds]`."""
        size = self.eigenvalues.abs()
        return (size <= NEAR_ZERO * size.amax(-1, keepdim=True)).sum(-1)

    def centers(self) -> Tensor:
        """Mean of the eigenvalues above the paper's threshold, `[seeds, stds]`."""
        large = self.eigenvalues.abs() > PAPER_NEAR_ZERO
        return (self.eigenvalues * large).sum(-1) / large.sum(-1)

    def correlations(self) -> Tensor:
        """Rank correlation of the center with Q over standard deviations, `[seeds]`."""
        pairs = zip(self.Q, self.centers(), strict=True)
        return torch.tensor([rank_correlation(q, c) for q, c in pairs], dtype=torch.float64)


def spectra_of(finished: Finished) -> Spectra:
    """Read the arrays of a spectral task."""
    plan = Plan.from_settings(finished.task.settings)
    split = (len(plan.seeds), len(plan.stds))
    return Spectra(
        plan.activation,
        tuple(plan.seeds),
        finished["eigenvalues"].reshape(*split, -1),
        finished["Q"].reshape(split),
        finished["loss"].reshape(split),
    )
