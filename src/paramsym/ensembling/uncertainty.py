"""How sure an ensemble is, and how much its members differ."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.ensembling.voting import require_logits, vote, votes


@final
@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Measures of every sample, `[batch]`; entropies in nats.

    Attributes:
        disagreement: Share of the members that do not vote for the class of the mode.
        entropy: Entropy of the mean probability: total uncertainty.
        expected_entropy: Mean entropy of the members: what each of them is unsure of.
        mutual_information: Their difference, between member and class: what they differ in. It is
            not negative, and 0 only where all members have one distribution.
    """

    disagreement: Tensor
    entropy: Tensor
    expected_entropy: Tensor
    mutual_information: Tensor


def uncertainty(logits: Tensor) -> Uncertainty:
    """Uncertainty of an ensemble at every sample.

    Args:
        logits: `[members, batch, classes]`.

    Raises:
        ValueError: If the logits have another shape, or a member's are NaN or infinite.
        TypeError: If they are no floating-point tensor.
    """
    each = require_logits(logits).exp()
    named = logits.argmax(-1)
    entropy = torch.special.entr(each.mean(0)).sum(-1)
    expected = torch.special.entr(each).sum(-1).mean(0)
    return Uncertainty(
        (named != vote(logits)).to(logits.dtype).mean(0),
        entropy,
        expected,
        (entropy - expected).clamp(min=0),  # rounding
    )


def pairwise_disagreement(logits: Tensor) -> Tensor:
    """The share of pairs of different members that name different classes, `[batch]`.

    Its mean over samples is a usual measure of diversity: 0 for members that compute one function.

    Args:
        logits: `[members, batch, classes]`, of two members or more.

    Raises:
        ValueError: As `uncertainty`; also if there is one member.
        TypeError: As `uncertainty`.
    """
    require_logits(logits)
    K = len(logits)
    if K < 2:
        raise ValueError(f"`logits` must be of at least two members, to compare; got {K}.")
    counts = votes(logits)
    return 1 - (counts * (counts - 1)).sum(-1).to(logits.dtype) / (K * (K - 1))
