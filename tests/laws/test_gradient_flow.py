"""Along an accurately integrated gradient flow Q stays and angular momentum is 0."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.groups import Group
from tests.laws.conservation_laws import angular_momentum, quantities
from tests.laws.flow import RELATIVE, gradient_flow
from tests.laws.subject import Subject, flatten
from tests.laws.subjects import subject

TIMES = (0.0, 0.5, 1.0, 2.0)

GLOBAL = 1e3 * RELATIVE
"""Global error of the flow: the steps' errors add, amplified by at most e^(curvature × time)."""

SMOOTH = (
    "dense identity",
    "dense identity_affine",
    "dense square",
    "dense cube",
    "dense radial",
    "deep identity",
    "deep identity_affine",
    "deep radial",
    "convolution identity",
    "flattened identity",
    "attention",
    "linear recurrence",
    "tied autoencoder",
    "softmax head",
    "gemma norm",
)


@cache
def path(name: str) -> list[dict[str, Tensor]]:
    """Parameters of a subject along the flow; integrated once."""
    return gradient_flow(subject(name), TIMES)


def drift(claim: Subject, points: list[dict[str, Tensor]]) -> float:
    """Largest change of any conserved quantity relative to ‖θ‖²."""
    quantity = quantities(claim)
    start, *later = [quantity(p) for p in points]
    if not len(start):
        return 0.0
    size = max(float(flatten(p, p).square().sum()) for p in points)
    return max(float((Q - start).abs().max()) for Q in later) / size


@pytest.mark.parametrize("name", SMOOTH)
def test_conserved_along_the_flow(name: str, rng: torch.Generator) -> None:
    points = path(name)
    theta = flatten(points[0], points[0])
    moved = (flatten(points[-1], points[0]) - theta).norm() / theta.norm()
    assert moved > 0.01, "the flow hardly moves, so that nothing is tested"
    assert drift(subject(name), points) <= GLOBAL
    for params in points:
        assert angular_momentum(replace(subject(name), params=params), rng) <= 1


@pytest.mark.parametrize(
    ("name", "group", "degree"),
    [
        pytest.param("dense square", None, 1.0, id="degree 1 for a square"),
        pytest.param("dense cube", None, 2.0, id="degree 2 for a cube"),
        pytest.param("dense radial", ps.GeneralLinear(5), 1.0, id="GL for a radial space"),
    ],
)
def test_a_wrong_claim_drifts(name: str, group: Group | None, degree: float) -> None:
    (family,) = subject(name).symmetry
    ports = tuple(replace(p, degree=degree) if p.dual else p for p in family.ports)
    wrong = subject(name).replaced(replace(family, ports=ports, group=group or family.group))
    assert drift(wrong, path(name)) > 1e6 * GLOBAL
