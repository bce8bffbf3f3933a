"""Whether probabilities are right: calibration, Brier score, log-likelihood."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Calibration:
    """How well probabilities fit the labels.

    The reliability curve is `accuracies` against `confidences`, each a mean over a bin.

    Attributes:
        accuracy: Share of samples whose most probable class is the label.
        error: Expected calibration error: the mean of |accuracy − confidence| over bins, weighted
            by how many samples they hold.
        brier: Mean of ‖p − e_label‖², between 0 and 2.
        negative_log_likelihood: Mean of −log p_label, in nats; infinite if one has probability 0.
        edges: Edges of the bins, `[bins + 1]`, from 0 to 1.
        counts: Samples in each bin, `[bins]`, int64.
        confidences: Mean confidence in each bin; NaN in empty ones.
        accuracies: Accuracy in each bin; NaN in empty ones.
    """

    accuracy: float
    error: float
    brier: float
    negative_log_likelihood: float
    edges: Tensor
    counts: Tensor
    confidences: Tensor
    accuracies: Tensor


@torch.no_grad()
def calibration(probabilities: Tensor, labels: Tensor, *, bins: int = 15) -> Calibration:
    """Calibration of probabilities at labelled samples, computed in float64.

    The confidence of a sample is its largest probability. Bins are of equal width; the i-th of B is
    ((i − 1)/B, i/B], and 0 is in the first.

    Args:
        probabilities: `[batch, classes]`, rows that add up to 1.
        labels: Classes, `[batch]`, integers.
        bins: B.

    Raises:
        ValueError: If a shape or value does not fit.
        TypeError: If the probabilities are not floating-point, or the labels no integers.
    """
    p = _require_probabilities(probabilities)
    _require_labels(labels, *p.shape)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"`bins` must be a positive integer; got {bins!r}.")
    labels = labels.long()
    confidence, chosen = p.max(-1)
    right = (chosen == labels).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=p.dtype, device=p.device)
    place = torch.bucketize(confidence, edges[1:-1])
    counts = torch.bincount(place, minlength=bins)
    confidences = torch.zeros_like(edges[1:]).index_add(0, place, confidence) / counts
    accuracies = torch.zeros_like(edges[1:]).index_add(0, place, right) / counts
    gaps = torch.where(counts > 0, (accuracies - confidences).abs(), 0.0)
    truth = torch.nn.functional.one_hot(labels, p.shape[1])
    return Calibration(
        accuracy=float(right.mean()),
        error=float((gaps * counts).sum() / len(p)),
        brier=float((p - truth).square().sum(-1).mean()),
        negative_log_likelihood=float(-p.gather(1, labels[:, None]).log().mean()),
        edges=edges,
        counts=counts,
        confidences=confidences,
        accuracies=accuracies,
    )


def _require_probabilities(p: Tensor) -> Tensor:
    if not isinstance(p, Tensor) or not p.is_floating_point():
        got = p.dtype if isinstance(p, Tensor) else type(p).__name__
        raise TypeError(f"`probabilities` must be a floating-point tensor; got {got}.")
    if p.ndim != 2 or 0 in p.shape:
        raise ValueError(
            f"`probabilities` must have shape [batch, classes]; got {list(p.shape)}. Of an "
            "ensemble's logits make them by `probabilities(logits)`."
        )
    sums, slack = p.double().sum(-1), 4 * p.shape[1] * torch.finfo(p.dtype).eps
    if not bool(((sums - 1).abs() <= slack).all() and (p >= 0).all()):
        raise ValueError(
            "`probabilities` must not be negative and add up to 1 in every row; they add up to "
            f"{float(sums.min()):g} to {float(sums.max()):g}. Logits become probabilities by "
            "`.softmax(-1)`."
        )
    return p.double()


def _require_labels(labels: Tensor, batch: int, classes: int) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"`labels` must be a tensor of integers; got {got}.")
    if labels.shape != (batch,):
        raise ValueError(f"`labels` must have shape [{batch}]; got {list(labels.shape)}.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"`labels` must be classes from 0 to {classes - 1}; they are from {low} to {high}."
        )
