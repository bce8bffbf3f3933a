"""Slow twins: one member, one sample, one class at a time, from the formulas."""

import math
from collections import Counter

import torch
from torch import Tensor, nn

from paramsym import Ensemble


def loop(ensemble: Ensemble, x: Tensor) -> Tensor:
    """Every member's whole model, one after the other."""
    model = ensemble.model
    with torch.no_grad():
        each = [
            torch.func.functional_call(model, ensemble.member(i), (x,))
            for i in range(ensemble.members)
        ]
    return torch.stack(each)


def two_layers(
    V: nn.Linear, sigma: nn.Module, U: nn.Linear, writer: Tensor, reader: Tensor, x: Tensor
) -> Tensor:
    """U·reader·σ(writer·(Vx + b)) + c, by columns as the paper has it."""
    hidden = writer @ (V.weight @ x.mT + V.bias[:, None])
    return (U.weight @ reader @ sigma(hidden) + U.bias[:, None]).mT


def mode(logits: Tensor) -> list[int]:
    """By mean probability where votes are equal, then by the lowest class."""
    K, batch, classes = logits.shape
    chosen = []
    for b in range(batch):
        ballots = Counter()
        mean = [0.0] * classes
        for i in range(K):
            row = logits[i, b].tolist()
            ballots[row.index(max(row))] += 1
            total = sum(math.exp(v) for v in row)
            mean = [m + math.exp(v) / total / K for m, v in zip(mean, row, strict=True)]
        most = max(ballots.values())
        chosen.append(max((c for c in ballots if ballots[c] == most), key=lambda c: (mean[c], -c)))
    return chosen


def entropy(p: list[float]) -> float:
    return -sum(v * math.log(v) for v in p if v > 0)


def calibration_error(p: list[list[float]], labels: list[int], bins: int) -> float:
    """Σ_bins n_b/n |accuracy − confidence|, the i-th bin ((i−1)/B, i/B]."""
    members: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(p, labels, strict=True):
        confidence = max(row)
        place = next(b for b in range(bins) if confidence <= (b + 1) / bins or b == bins - 1)
        members.setdefault(place, []).append((confidence, row.index(confidence) == label))
    gaps = [
        abs(sum(c for c, _ in held) - sum(right for _, right in held)) for held in members.values()
    ]
    return sum(gaps) / len(p)
