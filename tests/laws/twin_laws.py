"""The fast paths (fused scalings, moments without a basis) agree with slow dense twins."""

import math

import torch

from tests.laws import dense
from tests.laws.measure import EPS, distance, largest, rounding, sample
from tests.laws.subject import Subject, flatten, normal


def dense_action(subject: Subject, rng: torch.Generator) -> float:
    """`act` is the product of dense matrices on all entries of each parameter."""
    g = sample(subject, rng) @ sample(subject, rng)
    fast = subject.symmetry.act(g, subject.params)
    return distance(dense.act(subject.symmetry, g, subject.params), fast) / rounding(subject, g, g)


def dense_tangent(subject: Subject, rng: torch.Generator) -> float:
    """`tangent` is the sum of dense generators."""
    M = subject.symmetry.sample_algebra(generator=rng)
    fast = subject.symmetry.tangent(M, subject.params)
    slow = dense.tangent(subject.symmetry, M, subject.params)
    gap = (flatten(fast, fast) - flatten(slow, fast)).norm()
    return float(gap / flatten(fast, fast).norm()) / rounding(subject, subject.symmetry.identity())


def dense_moment(subject: Subject, rng: torch.Generator) -> float:
    """`moment` is the pairing with every generator of a basis."""
    covector = {k: normal(tuple(p.shape), rng) for k, p in subject.params.items()}
    fast = subject.symmetry.moment(subject.params, covector)
    slow = dense.moment(subject.symmetry, subject.params, covector)
    size = flatten(subject.params, covector).norm() * flatten(covector, covector).norm()
    bound = 16 * EPS * math.sqrt(sum(p.numel() for p in covector.values())) * float(size)
    return largest(*(float((fast[k] - slow[k]).abs().max()) / bound for k in fast))
