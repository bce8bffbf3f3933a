"""Differentiable stand-ins for an ensemble's vote, through which the ensemble itself is attacked.

The mode of the members' classes has no gradient. An adaptive attack follows that of a smooth
function of the same members instead, and its examples are then put to the vote.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from paramsym.robustness.gradients import Predict

Members = Callable[[Tensor], Tensor]
"""From images `[batch, …]` to the members' logits `[members, batch, classes]`."""


def mean_probability(members: Members) -> Predict:
    """The logarithm of the members' mean probability, as logits `[batch, classes]`.

    Its cross-entropy is −log of the mean probability of the right class.

    Raises:
        ValueError: When it is called, if the members' logits have not three axes.
    """

    def predict(images: Tensor) -> Tensor:
        logits = _members(members, images)
        return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))

    return predict


def mean_logit(members: Members) -> Predict:
    """The members' mean logits `[batch, classes]`, which no member's certainty saturates.

    Raises:
        ValueError: As `mean_probability`.
    """
    return lambda images: _members(members, images).mean(0)


def _members(members: Members, images: Tensor) -> Tensor:
    logits = members(images)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 3 or len(logits) == 0:
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"`members` must give logits [members, batch, classes]; got {got}. "
            "A single model is attacked as it is."
        )
    return logits
