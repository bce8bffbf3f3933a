"""Biases in front of normalisations with fixed statistics."""

from collections.abc import Mapping

import numpy as np

from paramsym.discovery.shifting.values import Value
from paramsym.discovery.shifting.walk import Run


def biases_in_front(run: Run) -> Mapping[str, tuple[str, float]]:
    """Where a bias is added to what such a normalisation alone reads, an entry a channel: that bias
    and its sign there, by the normalisation's own.

    If the other summands are scaled by a, it can give the sum the same mean as before: b ↦ a b +
    (1 − a) μ (docs/derivations.md §27).
    """
    found: dict[str, tuple[str, float]] = {}
    for step in run.steps:
        own, mean = step.call.get("bias"), step.call.get("running_mean")
        if not isinstance(own, Value) or not isinstance(mean, Value) or own.view is None:
            continue
        value = step.call["input"]
        pivot = value.pivot
        if pivot is None or value.reads != 1:
            continue
        channels = np.arange(own.shape[0])
        stands = pivot.labels.shape[1] == len(channels)
        in_order = (np.array_equal(x.ravel(), channels) for x in (pivot.labels, pivot.places))
        if stands and all(in_order):
            found[own.view.parameter] = pivot.parameter, pivot.sign
    return found
