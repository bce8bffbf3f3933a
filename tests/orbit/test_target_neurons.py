"""One neuron at a time: every degree, weights and targets over many orders of magnitude."""

import itertools
import math

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.orbit.target_neurons import attainable, log_scales
from paramsym.orbit.target_scalings import ScalingProblem
from tests.laws.networks import dense
from tests.orbit.measuring import EPS

F64 = torch.float64
SIZES = [0.0, *(math.exp(k) for k in (-20, -3, 0, 7, 20))]
TARGETS = [-1e9, -2.5, -1e-9, 0.0, 1e-9, 3.0, 1e9]
MIXTURES = [
    (1.0, -1.0), (1.0, -2.0), (1.0, -0.5), (1.0, -3.7), (2.0, -1.0), (1.0, 0.5, -1.0, -2.0),
    (1.0,), (-2.0,), (1.0, -1.0, 0.0),
]  # fmt: skip


def all_cases(degrees: tuple[float, ...]) -> tuple[dict[float, Tensor], Tensor]:
    rows = list(itertools.product(*[SIZES for _ in degrees], TARGETS))
    columns = torch.tensor(rows, dtype=F64).T
    return dict(zip(degrees, columns, strict=False)), columns[-1]


def value(squares: dict[float, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
    """Q and the size of its terms, for neurons scaled by e^t."""
    terms = [d * torch.where(w > 0, w.log() + 2 * d * t, -torch.inf).exp() for d, w in squares.items()]  # noqa: E501  # fmt: skip
    return torch.stack(terms).sum(0), torch.stack(terms).abs().sum(0)


@pytest.mark.parametrize("degrees", MIXTURES)
def test_targets_are_met_to_rounding(degrees: tuple[float, ...]) -> None:
    squares, target = all_cases(degrees)
    reached = attainable(squares, target)
    squares, target = {d: w[reached] for d, w in squares.items()}, target[reached]
    t = log_scales(squares, target)
    Q, size = value(squares, t)
    # t itself rounds by some units of its own size, which e^{2dt} multiplies.
    bound = (
        16 * EPS * size * (1 + 2 * max(map(abs, degrees)) * t.abs()) * (1 + max(map(abs, degrees)))
    )
    assert bool(((Q - target).abs() <= bound).all())
    assert len(t) > 5


@pytest.mark.parametrize("degrees", [(1.0, -1.0), (1.0, -2.0)])
def test_the_closed_form_is_that_of_a_dense_search(degrees: tuple[float, ...]) -> None:
    """Against bisection in plain Python."""
    squares = {d: torch.tensor([w], dtype=F64) for d, w in zip(degrees, (0.7, 3.1), strict=True)}
    for q in (-5.0, 0.0, 2.0):
        low, high = -30.0, 30.0
        for _ in range(200):
            t = (low + high) / 2
            Q = sum(d * float(w[0]) * math.exp(2 * d * t) for d, w in squares.items())
            low, high = (t, high) if q > Q else (low, t)
        found = float(log_scales(squares, torch.tensor([q], dtype=F64))[0])
        assert abs(found - low) <= 1e-14 * (1 + abs(low))


def test_what_neurons_without_writers_or_readers_reach() -> None:
    one, zero = torch.ones(3, dtype=F64), torch.zeros(3, dtype=F64)
    q = torch.tensor([-1.0, 0.0, 1.0], dtype=F64)
    for writers, readers, expected in (
        (one, one, [True, True, True]),
        (one, zero, [False, False, True]),
        (zero, one, [True, False, False]),
        (zero, zero, [False, True, False]),
    ):
        assert attainable({1.0: writers, -1.0: readers}, q).tolist() == expected


@pytest.mark.parametrize("degree", ["relu", "relu_2", "relu_1.5"])
def test_deep_scalings_against_a_dense_newton(degree: str, rng: torch.Generator) -> None:
    """The potential is strictly convex, so that its minimum, by autograd, is the only answer."""
    s = dense(degree, (3, 4, 5, 2))
    problem = ScalingProblem.at(list(s.symmetry), s.params)
    target = 2 * torch.randn(problem.count, generator=rng, dtype=F64)
    found, gap = problem.solve(target, EPS)
    assert gap <= 64 * EPS

    def potential(u: Tensor) -> Tensor:
        parts = u.split([f.group.n for f in s.symmetry])
        g = {f.name: part.exp() for f, part in zip(s.symmetry, parts, strict=True)}
        moved = s.symmetry.act(g, s.params)
        touched = [moved[k] for k in moved if any(k in f.moves for f in s.symmetry)]
        return sum((p.square().sum() for p in touched), torch.zeros((), dtype=F64)) / 2 - target @ u

    u = torch.zeros_like(target)
    for _ in range(60):
        slope, hessian = torch.func.grad(potential)(u), torch.func.hessian(potential)(u)
        step = torch.linalg.solve(hessian, -slope)
        u = u + step * min(1.0, 1.0 / float(step.abs().max()))
    assert float((u - found).abs().max()) <= 1e-11


def test_ports_of_all_shapes(rng: torch.Generator) -> None:
    """Views that differ, axes that meet, several families on three axes, one family on two axes:
    the sums of squares give the Q that the action's moment map gives."""
    n = 3
    params = {
        "cube": torch.randn(n, n, n, generator=rng, dtype=F64),
        "square": torch.randn(n, n, generator=rng, dtype=F64),
        "flat": torch.randn(2 * n, 4, generator=rng, dtype=F64),
    }
    rows = torch.arange(n)
    blocks = torch.arange(2 * n).reshape(1, n, 2)
    flat = (2 * n, 4)

    def along(name: str, axis: int, dual: bool = False, degree: float = 1.0) -> ps.Port:
        return ps.Port.along(name, tuple(params[name].shape), axis, dual=dual, degree=degree)

    ports = {
        "a": (along("cube", 0), along("square", 1, True)),
        "b": (along("cube", 1, True, 2.0), ps.Port.along("flat", flat, 0, blocks)),
        "c": (along("cube", 2), ps.Port("flat", (n, 8), (0,), rows.reshape(1, n, 1), dual=True)),
        "d": (along("square", 0), along("square", 1, True)),
        "e": (ps.Port("flat", (2 * n, 2, 2), (0, 1), torch.tensor([[[0, 3], [5, 8]]])),),
    }
    families = [
        ps.Family(name, ps.PositiveScaling(own[0].index.shape[1]), own)
        for name, own in ports.items()
    ]
    symmetry = ps.Symmetry.of(families, params)
    problem = ScalingProblem.at(families, params)
    u = 0.3 * torch.randn(problem.count, generator=rng, dtype=F64)
    parts = u.split([f.group.n for f in families])
    g = {f.name: part.exp() for f, part in zip(families, parts, strict=True)}
    expected = torch.cat(list(symmetry.conserved(symmetry.act(g, params)).values()))
    found, size = problem.values(u)
    assert bool(((found - expected).abs() <= 64 * EPS * size).all())
    by_degree = problem.by_degree(u, 0, problem.count)
    total = torch.stack([d * w for d, w in by_degree.items()]).sum(0)
    assert bool(((total - expected).abs() <= 64 * EPS * size).all())
