"""How laws measure: a residual in units of its rounding bound.

A law returns residual / bound, so that "holds" reads `law(subject, rng) <= 1` for every law, and a
planted fault shows as a ratio of many orders of magnitude. Bounds are of the form
`c · eps · size`, where `size` counts the roundings in sequence, and the residual is relative to the
magnitude of what is compared.
"""

import math
from collections.abc import Callable

import torch

import paramsym as ps
from tests.laws.subject import Params, Subject, flatten

EPS = torch.finfo(torch.float64).eps

Law = Callable[[Subject, torch.Generator], float]


def distance(a: Params, b: Params) -> float:
    """Largest relative difference of two dicts, entry by entry of the dict."""
    assert a.keys() == b.keys()
    return max(
        (
            float((a[k] - b[k]).abs().max() / b[k].abs().max().clamp_min(1e-300))
            for k in b
            if b[k].numel()
        ),
        default=0.0,
    )


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
    return float(x @ y), 16 * EPS * math.sqrt(len(x)) * float(x.norm() * y.norm()) + 1e-300
