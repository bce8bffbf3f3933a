"""Counting conservation laws, beside published times of the same counts by computer algebra.

The other times are the CPU seconds published with SageMath notebooks for networks of these widths,
on another machine. They could not be run again here, so that the ratio says no more than the order
of magnitude, and nothing is promised of it. Ours are CPU seconds for a linear network.
"""

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.timing import Comparison
from paramsym.certification import count_conservation_laws

PUBLISHED = {(2, 3, 3, 3, 2): 7.4, (5, 10, 5): 77.0}
"""CPU seconds, by the widths of the network."""

REPETITIONS = 5


def _product(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """A linear network without biases."""
    for weight in params.values():
        x = weight @ x
    return x


def run() -> Iterator[Comparison]:
    """Time `count_conservation_laws`, which draws its own random parameters."""
    for widths, published in PUBLISHED.items():
        params = {f"W{i}": torch.zeros(m, n) for i, (n, m) in enumerate(pairwise(widths))}
        x = torch.zeros(widths[0])
        laws = count_conservation_laws(_product, x, params).laws  # also warms up
        times: list[float] = []
        for seed in range(REPETITIONS):
            start = time.process_time()
            count_conservation_laws(_product, x, params, seed=seed)
            times.append(time.process_time() - start)
        name = f"{laws} laws of linear {list(widths)} / published CPU time"
        yield Comparison(name, tuple(times), (published,) * REPETITIONS, limit=None)
