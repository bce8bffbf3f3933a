"""Differentiable stand-ins for an ensemble's vote, through which the ensemble itself is attacked.

The mode of the members' classes has no gradient. An adaptive attack follows that of a smooth
function of the same members instead, and its examples are then put to the vote. No surrogate is the
vote: a single step along its gradient can do less than an example of the single model does. Take
several steps (`pgd`), and count an image as robust only if it withstands both.
"""

from collections.abc import Callable

from torch import Tensor

from paramsym.ensembling import log_probabilities
from paramsym.robustness.gradients import Predict

Members = Callable[[Tensor], Tensor]
"""From images `[batch, …]` to the members' logits `[members, batch, classes]`."""


def mean_probability(members: Members) -> Predict:
    """The logarithm of the members' mean probability, as logits `[batch, classes]`.

    Its cross-entropy is −log of the mean probability of the right class.

    Raises:
        ValueError: When it is called, if the members' logits have not three axes or are not finite.
        TypeError: When it is called, if they are no floating-point tensor.
    """
    return lambda images: log_probabilities(members(images))


def mean_logit(members: Members) -> Predict:
    """The members' mean logits `[batch, classes]`, but for a number an image, so that they are
    log-probabilities.

    A member counts by the size of its logits. Where these differ much, as in ill-conditioned
    ensembles, a few members decide, and `mean_probability` is the nearer to the vote.

    Raises:
        ValueError: As `mean_probability`.
        TypeError: As `mean_probability`.
    """
    return lambda images: log_probabilities(members(images), "logit")
