"""The function stays, and with it the loss."""

import torch

from tests.laws.measure import EPS, inner, largest, relative, rounding, sample
from tests.laws.subject import Subject, flatten


def invariance(subject: Subject, rng: torch.Generator) -> float:
    """F(gθ) = F(θ), eq. (3), for a joint element of all families, at several scales."""
    before = subject.forward(subject.params, subject.inputs)
    worst = 0.0
    for scale in (1e-3, 0.1, 0.5):
        g = sample(subject, rng, scale)
        after = subject.forward(subject.symmetry.act(g, subject.params), subject.inputs)
        residual = relative(after - before, before)
        # Each layer amplifies what the parameters' own rounding has done.
        worst = largest(worst, residual / (8 * subject.depth * rounding(subject, g)))
    return worst


def noether(subject: Subject, rng: torch.Generator) -> float:
    """⟨∇L, M·θ⟩ = 0, Proposition 3.4."""
    M = subject.symmetry.sample_algebra(generator=rng)
    field = subject.symmetry.tangent(M, subject.params)
    value, bound = inner(subject.gradient(), field)
    return abs(value) / (subject.depth * bound)


def noether_by_moment(subject: Subject, rng: torch.Generator) -> float:
    """The moment of ∇L vanishes for all generators at once."""
    gradient = subject.gradient()
    worst = 0.0
    for name, P in subject.symmetry.moment(subject.params, gradient).items():
        for M in subject.symmetry[name].group.basis():
            field = subject.symmetry.select(name).tangent({name: M}, subject.params)
            _, bound = inner(gradient, field)
            whole = EPS * float(flatten(gradient, gradient).norm() * flatten(field, field).norm())
            worst = largest(
                worst, float((P * M).sum().abs()) / (subject.depth * (bound + 64 * whole))
            )
    return worst
