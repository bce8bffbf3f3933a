"""How far the sharded results are from those of whole parameters, in units of rounding bounds."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paramsym.sharded import here
from tests.laws.measure import EPS, TINY, distance, largest, rounding, sample
from tests.laws.subject import Subject, normal
from tests.sharded.layouts import gathered, generator, placements_of

Params = dict[str, Tensor]
Place = Callable[[Mapping[str, Tensor]], Params]


def acting(subject: Subject, place: Place) -> float:
    """`act` keeps placements, and moves the parts as it moves the whole."""
    symmetry, params = subject.symmetry, place(subject.params)
    g = sample(subject, generator())
    moved = symmetry.act(g, params, check=True)
    if placements_of(moved) != placements_of(params):
        return math.inf
    expected = symmetry.act(g, subject.params)
    return distance(gathered(moved), expected) / rounding(subject, g)


def acting_in_place(subject: Subject, place: Place) -> float:
    """`act_` does the same to a module that holds the parts, which stay where they are."""
    symmetry = subject.symmetry
    module = subject.module()
    for name, part in place(subject.params).items():
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, nn.Parameter(part))
    before = {k: _address(p) for k, p in module.named_parameters()}
    g = sample(subject, generator())
    symmetry.act_(g, module)
    after = dict(module.named_parameters())
    if {k: _address(p) for k, p in after.items()} != before:
        return math.inf
    expected = symmetry.act(g, subject.params)
    found = {k: p.detach() for k, p in gathered(after).items()}
    return distance(found, expected) / rounding(subject, g)


def _address(tensor: Tensor) -> int:
    return here(tensor).data_ptr()


def tangents(subject: Subject, place: Place) -> float:
    """`tangent` keeps placements, and agrees."""
    M = subject.symmetry.sample_algebra(generator=generator())
    params = place(subject.params)
    field = subject.symmetry.tangent(M, params)
    if placements_of(field) != placements_of(params):
        return math.inf
    expected = subject.symmetry.tangent(M, subject.params)
    return distance(gathered(field), expected) / (16 * EPS * _longest(subject) * len(M))


def conserving(subject: Subject, place: Place) -> float:
    """`conserved` gives plain tensors, the same bits everywhere, that agree."""
    found = subject.symmetry.conserved(place(subject.params))
    expected = subject.symmetry.conserved(subject.params)
    return _of_sums(found, expected, subject.params, subject.params)


def turning(subject: Subject, place: Place) -> float:
    """`angular_momentum` and `moment`, of a velocity that is laid out otherwise or not at all."""
    rng = generator()
    velocity = {k: normal(tuple(p.shape), rng) for k, p in subject.params.items()}
    symmetry, params = subject.symmetry, place(subject.params)
    ratios = []
    for given in (velocity, place(velocity)):
        for read in (symmetry.angular_momentum, symmetry.moment):
            found, expected = read(params, given), read(subject.params, velocity)
            ratios.append(_of_sums(found, expected, subject.params, velocity))
    return largest(*ratios)


def one_quantity(subject: Subject, place: Place) -> float:
    """`conserved_quantity` of the families that have a law."""
    lawful = subject.symmetry.select(*subject.symmetry.conserved(subject.params))
    M = lawful.sample_algebra(generator=generator()).symmetric()
    found = lawful.conserved_quantity(M, place(subject.params))
    expected = lawful.conserved_quantity(M, subject.params)
    size = sum(float(p.square().sum()) for p in subject.params.values()) + 1
    weight = sum(float(part.abs().sum()) for part in M.values()) + TINY
    numbers = sum(p.numel() for p in subject.params.values())
    return float((found - expected).abs()) / (4 * EPS * numbers * size * weight)


def rank(subject: Subject, place: Place) -> float:
    """`orbit_dim` is the same number."""
    found = subject.symmetry.orbit_dim(place(subject.params))
    return 0.0 if found == subject.symmetry.orbit_dim(subject.params) else math.inf


MEASURES: dict[str, Callable[[Subject, Place], float]] = {
    f.__name__: f for f in (acting, acting_in_place, tangents, conserving, turning, one_quantity)
}


def _longest(subject: Subject) -> int:
    return max(max(p.shape, default=1) for p in subject.params.values())


def _of_sums(found: Params, expected: Params, left: Params, right: Params) -> float:
    """A sum of N products in any order rounds at most N·eps relative to ‖left‖‖right‖; frames
    multiply by gains on both sides."""
    if found.keys() != expected.keys():
        return math.inf
    for value in found.values():
        if type(value) is not Tensor:
            return math.inf
        first = value.clone()
        dist.broadcast(first, 0)
        if not torch.equal(first, value):
            return math.inf
    numbers = sum(p.numel() for p in left.values())
    vectors = [p for p in left.values() if p.ndim == 1 and p.numel()]
    gains = max([float((p.abs().max() + 1) / (p.abs().min() + TINY)) for p in vectors], default=1.0)
    size = math.sqrt(
        sum(float(p.square().sum()) + 1 for p in left.values())
        * sum(float(p.square().sum()) + 1 for p in right.values())
    )
    gap = max((float((found[k] - expected[k]).abs().max()) for k in found), default=0.0)
    return gap / (4 * EPS * numbers * size * gains)
