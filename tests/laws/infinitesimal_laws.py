"""The infinitesimal action and its adjoint, the moment map."""

import math

import torch
from torch import Tensor

import paramsym as ps
from tests.laws.measure import inner, largest, rounding
from tests.laws.subject import Subject, flatten, normal


def derivative(subject: Subject, rng: torch.Generator) -> float:
    """tangent(M) = d/dt act(exp(tM)) at 0, by forward differentiation through `act`."""
    M = subject.symmetry.sample_algebra(generator=rng)
    t = torch.zeros((), dtype=torch.float64)
    velocity = torch.func.jvp(
        lambda s: subject.symmetry.act(M.exp(s), subject.params), (t,), (t + 1,)
    )[1]
    field = subject.symmetry.tangent(M, subject.params)
    size = float(flatten(field, field).norm())
    gap = float((flatten(field, field) - flatten(velocity, field)).norm())
    return gap / (size * rounding(subject, subject.symmetry.identity()))


def adjoint(subject: Subject, rng: torch.Generator) -> float:
    """⟨c, M·θ⟩ = ⟨moment(c), M⟩ for any covector c."""
    covector = {k: normal(p.shape, rng) for k, p in subject.params.items()}
    M = subject.symmetry.sample_algebra(generator=rng)
    field = subject.symmetry.tangent(M, subject.params)
    left, bound = inner(covector, field)
    P = subject.symmetry.moment(subject.params, covector)
    right = sum(float((P[k] * M[k]).sum()) for k in P)
    shapes = all(P[f.name].shape == f.group.shape for f in subject.symmetry)
    return abs(left - right) / bound if shapes else math.inf


def pullback(subject: Subject, rng: torch.Generator) -> float:
    """The gradient of ⟨c, exp(M)·θ⟩ in M at M = 0, by backpropagation, is moment(c)."""
    covector = {k: normal(p.shape, rng) for k, p in subject.params.items()}
    zero = subject.symmetry.sample_algebra(generator=rng) * 0.0

    def pairing(M: ps.AlgebraElement) -> Tensor:
        moved = subject.symmetry.act(M.exp(), subject.params)
        return torch.stack([(covector[k] * moved[k]).sum() for k in moved]).sum()

    slopes = torch.func.grad(pairing)(zero)
    P = subject.symmetry.moment(subject.params, covector)
    worst = 0.0
    for family in subject.symmetry:
        slope = family.group.project(slopes[family.name])
        size = float(P[family.name].norm()) + 1e-12
        worst = largest(worst, float((slope - P[family.name]).norm()) / size)
    return worst / (16 * rounding(subject, subject.symmetry.identity()))
