"""How laws measure: a residual in units of its rounding bound.

A law returns residual / bound, so that "holds" reads `law(subject, rng) <= 1` for every law, and a
planted fault shows as a ratio of many orders of magnitude. Bounds are of the form
`c · eps · size`, where `size` counts the roundings in sequence, and the residual is relative to the
magnitude of what is compared.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

import paramsym as ps
from tests.laws.subject import Params, Subject, flatten

EPS = torch.finfo(torch.float64).eps

TINY = 1e-300
"""Keeps 0 / 0, of a network without any gradient, at 0."""

Law = Callable[[Subject, torch.Generator], float]


def largest(*ratios: float) -> float:
    """The largest of some ratios, 0 for none; NaN if any is NaN, so that no fault is lost."""
    return math.nan if any(math.isnan(r) for r in ratios) else max(ratios, default=0.0)


def relative(residual: Tensor, size: Tensor) -> float:
    """Largest entry of a residual in units of the largest entry of what was compared."""
    if not residual.numel():
        return 0.0
    return float(residual.abs().max()) / (float(size.abs().max()) + TINY)


def distance(a: Params, b: Params) -> float:
    """Largest relative difference of two dicts, entry by entry of the dict."""
    assert a.keys() == b.keys()
    return largest(*(relative(a[k] - b[k], b[k]) for k in b))


def rounding(subject: Subject, *elements: ps.GroupElement) -> float:
    """Bound for parameters moved by elements: each factor's inner products round at most
    (widest axis)·eps relative to their terms, and terms exceed results by the condition number."""
    longest = max(max(p.shape, default=1) for p in subject.params.values())
    factors = 1 + sum(len(g.names) for g in elements)
    condition = math.prod(g.condition() ** 2 for g in elements)
    return 4 * EPS * longest * factors * condition


def sample(subject: Subject, rng: torch.Generator, scale: float = 0.2) -> ps.GroupElement:
    return subject.symmetry.sample(scale, generator=rng, discrete=True)


def inner(a: Params, b: Params) -> tuple[float, float]:
    """⟨a, b⟩ and the bound on its rounding, ‖a‖‖b‖·eps·√d up to a constant."""
    x, y = flatten(a, b), flatten(b, b)
    return float(x @ y), 16 * EPS * math.sqrt(len(x)) * float(x.norm() * y.norm()) + TINY
