"""Matrices in factors: against the matrices that they stand for."""

import pytest
import torch

import paramsym as ps
from paramsym.action import act, tangent
from paramsym.groups import Group, LowRank
from paramsym.moment_map import pairings
from tests.laws.measure import EPS
from tests.laws.subject import normal

GROUPS = [
    ps.GeneralLinear(5),
    ps.GeneralLinear(3, 4),
    ps.GeneralLinear(1),
    ps.Orthogonal(6),
    ps.Orthogonal(3, 2),
    ps.Orthogonal(1),
    ps.Orthogonal(6, fixes_mean=True),
    ps.Orthogonal(1, fixes_mean=True),
    ps.HyperplaneFixing(5),
]
each_group = pytest.mark.parametrize("group", GROUPS, ids=str)


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / (1 + b.abs().max()))


def element(group: Group, rng: torch.Generator) -> LowRank:
    g = group.sample_low_rank(1.0, generator=rng)
    assert g is not None
    return g


def generator(group: Group, rng: torch.Generator) -> LowRank:
    M = group.sample_low_rank_algebra(generator=rng)
    assert M is not None
    return M


@each_group
def test_elements_and_generators_are_of_the_group(group: Group, rng: torch.Generator) -> None:
    for _ in range(5):
        assert group.contains(element(group, rng).formed().reshape(group.shape))
        assert group.contains_algebra(generator(group, rng).formed().reshape(group.shape))


@each_group
def test_both_components_are_drawn(group: Group, rng: torch.Generator) -> None:
    if isinstance(group, ps.HyperplaneFixing) or (
        group.n == 1 and group.dim == 0 and "0" in str(group)
    ):
        return
    signs = torch.cat([torch.linalg.det(element(group, rng).formed()).sign() for _ in range(30)])
    assert {-1.0, 1.0} == set(signs.tolist())


@each_group
def test_the_arithmetic_is_that_of_the_matrices(group: Group, rng: torch.Generator) -> None:
    g, h, M = element(group, rng), element(group, rng), generator(group, rng)
    bound = 256 * EPS * group.n * g.condition() * h.condition()
    unit = torch.eye(group.n, dtype=torch.float64)
    matrix = g.formed()
    assert gap(g.then(h).formed(), h.formed() @ matrix) <= bound
    assert gap(g.inverse().formed() @ matrix, unit.expand_as(matrix)) <= bound
    assert gap(g.mT.formed(), matrix.mT) == 0
    assert gap((-M).formed(), -M.formed()) == 0
    half = M.formed() / 2
    assert gap(M.cayley().formed(), torch.linalg.solve(unit - half, unit + half)) <= bound
    gain = normal((1, group.n, 1), rng).abs() + 0.5
    assert gap(g.conjugated(gain).formed(), gain * matrix / gain.mT) <= bound * 10
    x, y = (normal((group.copies, group.n, 7), rng) for _ in range(2))
    for factored in (g, M, -g):
        for rows in (x, x.mT.contiguous().mT):
            assert gap(factored @ rows, factored.formed() @ rows) <= bound
        expected = (y * (factored.formed() @ x)).sum()
        assert (factored.pairing(y, x) - expected).abs() <= bound * x.norm() * y.norm()
    assert g.condition() >= float(torch.linalg.cond(matrix).max()) * (1 - bound)


def family(group: Group, *, framed: bool) -> tuple[ps.Family, dict[str, torch.Tensor]]:
    n, copies = group.n, group.copies
    rows = torch.arange(n * copies)
    frame = ps.Frame("gain") if framed else None
    ports = (
        ps.Port.along("in", (n * copies + 2, 3), 0, rows, copies=copies),
        ps.Port.along("out", (4, n * copies), 1, copies=copies, dual=True, frame=frame),
    )
    rng = torch.Generator().manual_seed(1)
    params = {
        "in": normal((n * copies + 2, 3), rng),
        "out": normal((4, n * copies), rng),
        "gain": normal((n,), rng).abs() + 0.5,
    }
    return ps.Family("f", group, ports), params


@pytest.mark.parametrize("framed", [False, True])
@each_group
def test_families_act_alike(group: Group, framed: bool, rng: torch.Generator) -> None:
    moved, params = family(group, framed=framed)
    g = element(group, rng)
    left = act([(moved, g)], params)
    right = act([(moved, g.formed().reshape(group.shape))], params)
    for name, tensor in right.items():
        assert gap(left[name], tensor) <= 256 * EPS * group.n * g.condition() ** 2


@pytest.mark.parametrize("framed", [False, True])
@each_group
def test_pairings_are_those_with_the_field(
    group: Group, framed: bool, rng: torch.Generator
) -> None:
    moved, params = family(group, framed=framed)
    covector = {name: normal(tuple(p.shape), rng) for name, p in params.items()}
    M = generator(group, rng)
    dense = M.formed().reshape(group.shape)
    field = tangent([(moved, dense)], params)
    expected = float(sum((covector[k] * v).sum() for k, v in field.items()))
    size = sum(float(covector[k].norm() * v.norm()) for k, v in field.items())
    for part in (M, dense):
        value = pairings([(moved, part)], params, covector)["f"]
        assert abs(value - expected) <= 64 * EPS * group.n * (size + 1)


def test_small_elements_have_no_factors() -> None:
    for group in (ps.PositiveScaling(4), ps.ComplexScaling(3), ps.Affine(3), ps.Translation(3)):
        assert group.sample_low_rank() is None
