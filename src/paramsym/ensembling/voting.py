"""What an ensemble predicts, from the logits of its members."""

import math

import torch
from torch import Tensor

VOTES = ("mode", "probability", "logit")
"""The class most members name; the mean of their probabilities; the mean of their logits."""


def vote(logits: Tensor, by: str = "mode") -> Tensor:
    """The class that the members choose for every sample, `[batch]`, int64.

    - `"mode"`: the class that most members give the largest logit (the paper's). Of classes with as
      many votes that with the largest mean probability is taken.
    - `"probability"`: the largest mean of the members' probabilities.
    - `"logit"`: the largest mean of their logits.

    What is still equal goes to the lowest class, within a member too, so that the same logits
    always give the same class.

    Args:
        logits: `[members, batch, classes]`.
        by: One of `VOTES`.

    Raises:
        ValueError: If the logits have another shape or a member's have no softmax (NaN, +∞), or
            `by` is unknown.
        TypeError: If they are no floating-point tensor.
    """
    mean = probabilities(logits, "logit" if by == "logit" else "probability")
    if by != "mode":
        _require_vote(by)
        return mean.argmax(-1)
    shares = _shares(logits)
    return torch.where(shares == shares.amax(-1, keepdim=True), mean, -1.0).argmax(-1)


def probabilities(logits: Tensor, by: str = "probability") -> Tensor:
    """The ensemble's probability of every class, `[batch, classes]`.

    For `"mode"` it is the share of the members that vote for the class.

    Args:
        logits: `[members, batch, classes]`.
        by: One of `VOTES`.

    Raises:
        ValueError: As `vote`.
        TypeError: As `vote`.
    """
    if by == "mode":
        require_logits(logits)
        return _shares(logits)
    return log_probabilities(logits, by).exp()


def log_probabilities(logits: Tensor, by: str = "probability") -> Tensor:
    """The logarithms of the ensemble's probabilities, `[batch, classes]`, differentiable.

    They are logits of the ensemble as one classifier: of the mean probability, or the normalised
    mean logits. An attack on the ensemble follows their gradient.

    Args:
        logits: `[members, batch, classes]`.
        by: `"probability"` or `"logit"`.

    Raises:
        ValueError: As `vote`; also for `"mode"`, which has no gradient.
        TypeError: As `vote`.
    """
    _require_vote(by)
    if by == "mode":
        raise ValueError(
            "`by` must be 'probability' or 'logit': votes by 'mode' are steps, without a gradient."
        )
    each = require_logits(logits)
    if by == "logit":
        return logits.mean(0).log_softmax(-1)
    return each.logsumexp(0) - math.log(len(logits))


def votes(logits: Tensor) -> Tensor:
    """The number of members that vote for every class, `[batch, classes]`, int64."""
    chosen = logits.argmax(-1)
    counts = torch.zeros(logits.shape[1:], dtype=torch.int64, device=logits.device)
    return counts.scatter_add(-1, chosen.mT, torch.ones_like(chosen.mT))


def require_logits(logits: object) -> Tensor:
    """Log-probabilities of every member, `[members, batch, classes]`, where they exist.

    Raises:
        ValueError: If the shape is another, or a member's logits have no softmax; it names them.
        TypeError: If they are no floating-point tensor.
    """
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"`logits` must be a floating-point tensor; got {got}.")
    if logits.ndim != 3 or 0 in (logits.shape[0], logits.shape[2]):
        raise ValueError(
            "`logits` must have shape [members, batch, classes], as an ensemble gives them; got "
            f"{list(logits.shape)}. Use `logits[None]` for one member."
        )
    each = logits.log_softmax(-1)
    bad = each.detach().isnan().any(-1)
    if bool(bad.any()):
        names = bad.any(-1).nonzero().flatten().tolist()
        shown = ", ".join(map(str, names[:10])) + (", …" if len(names) > 10 else "")
        raise ValueError(
            f"`logits` must be finite; those of {len(names)} of {len(logits)} members are NaN or "
            f"infinite at {int(bad.any(0).sum())} of {bad.shape[1]} samples (members {shown}). "
            "See `ensemble.condition`, and make the ensemble with a smaller `scale`."
        )
    return each


def _shares(logits: Tensor) -> Tensor:
    return votes(logits).to(logits.dtype) / len(logits)


def _require_vote(by: object) -> None:
    if by not in VOTES:
        raise ValueError(f"`by` must be one of {list(VOTES)}; got {by!r}.")
