"""Two models brought together: in low precision, at near ties, and each step against a twin."""

import itertools

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.groups import Group
from paramsym.orbit.canonical_fixing import fixed
from paramsym.orbit.canonical_order import order
from paramsym.orbit.matching_rotations import nearest_rotation
from paramsym.orbit.matching_units import nearest_order
from tests.orbit.measuring import EXACT
from tests.orbit.test_canonical_models import FAMILIAR, OTHERS, case, moved

F64 = torch.float64


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=F64)


def units(n: int, width: int) -> tuple[ps.DiscreteFamily, dict[str, tuple[int, ...]]]:
    shapes = {"in": (n, width), "bias": (n,), "out": (width, n)}
    ports = tuple(
        ps.Port.along(k, shapes[k], axis, dual=k == "out")
        for k, axis in (("in", 0), ("bias", 0), ("out", 1))
    )
    return ps.DiscreteFamily("units", ps.Permutations(n), ports), shapes


def in_precision(params: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {k: p.to(dtype) if p.is_floating_point() else p for k, p in params.items()}


def test_halving_has_fewer_ties_than_sorting(rng: torch.Generator) -> None:
    """Of 1024 units, by the same numbers: only units at a border of two halves are confused."""
    family, shapes = units(1024, 32)
    eps, changed, told = 6e-6, [0, 0], 0

    def by_size(p: dict[str, Tensor]) -> Tensor:
        return (p["in"].square().sum(1) + p["bias"] ** 2 + p["out"].square().sum(0)).argsort()

    for _ in range(10):
        params = {k: normal(rng, *s) for k, s in shapes.items()}
        g = family.group.sample(generator=rng)
        there = {k: p[g] if k != "out" else p[:, g] for k, p in params.items()}
        there = {
            k: p * (1 + eps * (torch.rand(p.shape, generator=rng, dtype=F64) - 0.5))
            for k, p in there.items()
        }
        changed[0] += not torch.equal(by_size(params), g[by_size(there)])
        (mine, ties), (other, _) = (order(family, p, eps, ()) for p in (params, there))
        changed[1] += not torch.equal(mine, g[other])
        told += bool(ties)
    assert changed[0] >= 5
    assert changed[1] <= min(told, 1)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_an_order_is_one_of_all_units(n: int, rng: torch.Generator) -> None:
    family, shapes = units(n, 4)
    params = {k: normal(rng, *s) for k, s in shapes.items()}
    g, ties = order(family, params, 1e-10, ())
    assert family.group.contains(g)
    assert not ties
    flipped = {k: p * (-1 if k == "in" else 1) for k, p in params.items()}
    assert torch.equal(g, order(family, flipped, 1e-10, ())[0])


@pytest.mark.parametrize("rough", [False, True])
def test_orders_against_all_permutations(rough: bool, rng: torch.Generator) -> None:
    """The least sum of squared distances of rows, or of their absolute values."""
    family, shapes = units(5, 4)
    for _ in range(10):
        params, goal = ({k: normal(rng, *s) for k, s in shapes.items()} for _ in range(2))
        g, _ = nearest_order(family, family.ports, [rough] * 3, params, goal, 1e-7)
        x, y = (torch.cat([p["in"], p["bias"][:, None], p["out"].T], 1) for p in (params, goal))
        if rough:
            x, y = x.abs(), y.abs()
        costs = {
            s: float((x[list(s)] - y).square().sum()) for s in itertools.permutations(range(5))
        }
        if not rough:
            assert costs[tuple(g.tolist())] == pytest.approx(min(costs.values()))
        # Lengths of projections of one row are those of its entries up to sign.
        flips = 1 - 2 * torch.randint(0, 2, (5,), generator=rng).to(F64)
        signed = {"in": flips[:, None] * goal["in"], "bias": flips * goal["bias"],
                  "out": goal["out"] * flips}  # fmt: skip
        again, _ = nearest_order(family, family.ports, [rough] * 3, signed, goal, 1e-7)
        assert not rough or torch.equal(again, torch.arange(5))


def test_units_that_look_alike_are_counted(rng: torch.Generator) -> None:
    family, shapes = units(5, 4)
    params = {k: normal(rng, *s) for k, s in shapes.items()}
    assert nearest_order(family, family.ports, [False] * 3, params, params, 1e-7)[1] == 0
    for k, p in params.items():
        rows = p.T if k == "out" else p
        rows[3] = rows[1]
    assert nearest_order(family, family.ports, [False] * 3, params, params, 1e-7)[1] == 2
    for k, p in params.items():
        (p.T if k == "out" else p)[[1, 3]] = 0.0  # dead ones may be exchanged
    assert nearest_order(family, family.ports, [False] * 3, params, params, 1e-7)[1] == 0


GROUPS = [ps.GeneralLinear(4), ps.Orthogonal(4), ps.Orthogonal(4, fixes_mean=True),
          ps.ComplexScaling(2)]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_rotations_are_the_nearest(group: Group, rng: torch.Generator) -> None:
    """No step along the algebra comes nearer, and what is exact is found."""
    rows = torch.arange(4).reshape(group.copies, group.n, 1)
    ports = (ps.Port("W", (4, 5), (0,), rows), ps.Port("R", (3, 4), (1,), rows, dual=True))
    family = ps.Family("space", group, ports)
    symmetry = ps.Symmetry.of([family], {"W": torch.zeros(4, 5), "R": torch.zeros(3, 4)})
    params, goal = ({"W": normal(rng, 4, 5), "R": normal(rng, 3, 4)} for _ in range(2))
    g = nearest_rotation(family, ports, params, goal, 1e-7, True)
    assert g is not None
    assert group.contains(g)

    def distance(p: dict[str, Tensor]) -> float:
        return sum(float((p[k] - goal[k]).square().sum()) for k in p)

    best = symmetry.act({"space": g}, params)
    for _ in range(20):
        step = symmetry.sample_algebra(1e-3, generator=rng).antisymmetric()
        assert distance(symmetry.act(step.exp(), best)) >= distance(best)
    rotation = symmetry.sample_algebra(1.0, generator=rng).antisymmetric().exp()
    there = symmetry.act(rotation, params)
    found = nearest_rotation(family, ports, params, there, 1e-7, True)
    assert found is not None
    assert float((found - rotation["space"]).abs().max()) <= EXACT


def test_what_is_not_said_is_not_turned(rng: torch.Generator) -> None:
    ports = (ps.Port.along("W", (4, 2), 0),)
    family = ps.Family("space", ps.Orthogonal(4), ports)
    params = {"W": normal(rng, 4, 2)}
    assert nearest_rotation(family, ports, params, params, 1e-7, True) is None
    g = nearest_rotation(family, ports, params, params, 1e-7, False)
    assert g is not None
    assert float((g - torch.eye(4, dtype=F64)).abs().max()) <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FAMILIAR)
def test_in_low_precision(name: str, dtype: torch.dtype) -> None:
    """In bfloat16 eigenvectors and the order of sums of squares are lost; the element is not."""
    it = case(name)
    a = in_precision(it.trained, dtype)
    there = moved(it, a, 3)
    verdict = ps.same_orbit(it.symmetry, a, there)
    assert verdict.holds, verdict.reason
    assert verdict.distance < 4 * torch.finfo(dtype).eps
    assert verdict.element is not None
    back = it.symmetry.act(verdict.element, in_precision(a, F64))
    for k, p in there.items():
        if p.is_floating_point():
            size = float(p.double().abs().max())
            assert float((back[k] - p).abs().max()) <= 64 * torch.finfo(dtype).eps * size, k


def beside(params: dict[str, Tensor], relative: float, seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        k: p * (1 + relative * torch.randn(p.shape, generator=rng)) if p.is_floating_point() else p
        for k, p in params.items()
    }


@pytest.mark.parametrize("name", FAMILIAR)
def test_beside_the_orbit_in_single_precision(name: str) -> None:
    it = case(name)
    a = in_precision(it.trained, torch.float32)
    other = beside(a, 1e-3, 1)
    verdict = ps.same_orbit(it.symmetry, a, moved(it, other, 3))
    assert verdict.holds is False, verdict.reason
    assert 1e-4 < verdict.distance < 2e-3
    matrix = max(other, key=lambda k: other[k].numel())
    other = {k: p.clone() for k, p in a.items()}
    other[matrix].view(-1)[3] *= 1.01
    verdict = ps.same_orbit(it.symmetry, a, moved(it, other, 4))
    assert verdict.holds is False, verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_others_in_low_precision(name: str) -> None:
    it = case(name)
    for dtype in (torch.float32, torch.bfloat16):
        a = in_precision(it.trained, dtype)
        verdict = ps.same_orbit(it.symmetry, a, moved(it, a, 3))
        assert verdict.holds, (dtype, verdict.reason)
    a = in_precision(it.trained, torch.float32)
    assert ps.same_orbit(it.symmetry, a, moved(it, beside(a, 1e-3, 1), 3)).holds is False


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_wide_layers(activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(16, 512), activation(), nn.Linear(512, 512), activation(), nn.Linear(512, 4)
    )
    symmetry = ps.discover(net, (torch.randn(2, 16),), verify=False)
    a = {k: p.detach() for k, p in net.named_parameters()}
    rng = torch.Generator().manual_seed(0)
    g = symmetry.sample(0.3, generator=rng, discrete=True)
    for dtype in (torch.float32, torch.bfloat16):
        there = symmetry.act(g, in_precision(a, dtype))
        verdict = ps.same_orbit(symmetry, in_precision(a, dtype), there)
        assert verdict.holds, verdict.reason
        assert verdict.nearest is verdict.element
    other = symmetry.act(g, beside(a, 1e-3, 1))
    verdict = ps.same_orbit(symmetry, a, other)
    assert verdict.holds is False
    near = symmetry.act(verdict.nearest, a)
    size = sum(float(p.square().sum()) for p in other.values()) ** 0.5
    gap = sum(float((near[k] - p).square().sum()) for k, p in other.items()) ** 0.5
    assert 1e-4 < gap / size < 3e-3
    assert ps.orbit_distance(symmetry, a, other) < 1.2e-3 * size


@pytest.mark.parametrize("name", ["gpt2", "lstm"])
def test_distances_are_symmetric_and_no_larger_than_of_canonical_points(name: str) -> None:
    it = case(name)
    other = moved(it, beside(it.trained, 0.1, 2), 5)
    there, back = (
        ps.orbit_distance(it.symmetry, x, y) for x, y in ((it.trained, other), (other, it.trained))
    )
    assert there == pytest.approx(back, rel=1e-9)
    ends = [ps.canonical(it.symmetry, p).params for p in (it.trained, other)]
    squares = [
        float((ends[0][k] - ends[1][k]).square().sum())
        for k in ends[0]
        if ends[0][k].is_floating_point()
    ]
    assert 0 < there <= sum(squares) ** 0.5 * (1 + 1e-12)


def test_heads_are_matched_before_their_rotations(rng: torch.Generator) -> None:
    """In bfloat16, where sums of squares of heads say little."""
    it = case("gpt2")
    a = in_precision(it.trained, torch.bfloat16)
    heads = [f for f in it.symmetry.discrete if "attn" in f.name and f.group.n > 1]
    assert heads
    start, goal = fixed(it.symmetry, a), fixed(it.symmetry, moved(it, a, 7))
    start.match(goal)
    assert not start.vague
    assert not start.trusted
