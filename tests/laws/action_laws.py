"""The action is a group action."""

import math

import torch

from tests.laws.measure import distance, largest, rounding, sample
from tests.laws.subject import Subject


def unit(subject: Subject, rng: torch.Generator) -> float:
    """e·θ = θ."""
    e = subject.symmetry.identity()
    return distance(subject.symmetry.act(e, subject.params), subject.params) / rounding(subject, e)


def product(subject: Subject, rng: torch.Generator) -> float:
    """(gh)·θ = g·(h·θ) for words: the right letter acts first."""
    g, h = sample(subject, rng), sample(subject, rng)
    act = subject.symmetry.act
    together = act(g @ h, subject.params)
    return distance(together, act(g, act(h, subject.params))) / rounding(subject, g, h)


def representation(subject: Subject, rng: torch.Generator) -> float:
    """The product of a family's group acts as the word of its letters does."""
    worst = 0.0
    for family in subject.symmetry:
        part = subject.symmetry.select(family.name)
        g = part.sample(0.2, generator=rng, discrete=True)
        h = part.sample(0.2, generator=rng, discrete=True)
        gh = {family.name: family.group.compose(g[family.name], h[family.name])}
        residual = distance(part.act(gh, subject.params), part.act(g @ h, subject.params))
        worst = largest(worst, residual / rounding(subject, g, h))
        merged = (g @ h)[family.name] - gh[family.name]
        worst = largest(worst, float(merged.abs().max()) / rounding(subject, g, h))
    return worst


def inverse(subject: Subject, rng: torch.Generator) -> float:
    """g⁻¹·(g·θ) = θ."""
    g = sample(subject, rng)
    act = subject.symmetry.act
    back = act(g.inverse(), act(g, subject.params))
    return distance(back, subject.params) / rounding(subject, g, g)


def pure(subject: Subject, rng: torch.Generator) -> float:
    """`act` leaves its argument alone; what nothing moves is the same tensor."""
    before = {k: p.clone() for k, p in subject.params.items()}
    moved = subject.symmetry.act(sample(subject, rng), subject.params)
    untouched = all(torch.equal(before[k], p) for k, p in subject.params.items())
    targets: set[str] = set().union(*(f.moves for f in subject.symmetry))
    same = all((moved[k] is subject.params[k]) == (k not in targets) for k in moved)
    return 0.0 if untouched and same and list(moved) == list(before) else math.inf


def in_place(subject: Subject, rng: torch.Generator) -> float:
    """`act_` on a module does what `act` does."""
    module = subject.module()
    g = sample(subject, rng)
    expected = subject.symmetry.act(g, subject.params)
    before = {k: id(p) for k, p in module.named_parameters()}
    subject.symmetry.act_(g, module)
    after = dict(module.named_parameters())
    same = all(torch.equal(after[k], expected[k]) and id(after[k]) == before[k] for k in expected)
    return 0.0 if same else math.inf
