"""How moves along an orbit are measured: the function, and the distance of Q to its target."""

from collections.abc import Mapping

import torch
from torch import Tensor

import paramsym as ps
from tests.laws.subject import Params, Subject

EPS = torch.finfo(torch.float64).eps
EXACT = 1e-12


def function_error(subject: Subject, moved: Params) -> float:
    """Largest change of the outputs, relative to the largest output."""
    before = subject.forward(subject.params, subject.inputs)
    after = subject.forward(moved, subject.inputs)
    return float((after - before).abs().max() / before.abs().max())


def gaps(
    symmetry: ps.Symmetry, params: Params, target: Mapping[str, Tensor | float]
) -> dict[str, float]:
    """For each family its largest distance to the target, relative to the size of Q's terms."""
    found = symmetry.conserved(params)
    return {
        name: float((found[name] - value).abs().max()) / terms(symmetry[name], params)
        for name, value in target.items()
    }


def terms(family: ps.Family, params: Params) -> float:
    """Largest sum of the sizes of the terms of a family's Q."""
    total = 0.0
    for port in family.ports:
        rows = port.rows(params[port.parameter]).flatten(1) if family.group.diagonal else None
        held = port.rows(params[port.parameter])
        sums = held.square().sum(-1) if rows is not None else held.square().sum((-2, -1))
        total += abs(port.degree) * float(sums.max())
    for term in family.terms:
        total += float(params[term.target.parameter].norm())
    return total


def sum_of_squares(params: Params) -> float:
    return sum(float(p.square().sum()) for p in params.values())
