"""Projection along the orbit: Q to rounding, the same function, the order of the method."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import DOP853, RK23, RK45, OdeSolver, Radau
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.integrating import Path, follow
from paramsym.dynamics.level_set import LAWS_LIMIT, LevelSet
from paramsym.dynamics.velocity import Velocity
from tests.laws.networks import dense
from tests.laws.subject import Params, Subject, flatten, normal
from tests.laws.subjects import subject

LAWFUL = (
    "dense identity", "dense identity_affine", "dense relu", "dense square", "dense cube",
    "deep identity", "deep relu", "convolution identity", "flattened identity", "attention",
    "softmax head", "linear recurrence", "gemma norm",
)  # fmt: skip

DEEP = dense("relu", (3, 5, 4, 2))

HELD = 1e-14
"""Largest change of Q relative to the largest entry of all Q."""


def quantities(s: Subject, params: Params) -> Tensor:
    return torch.cat([Q.flatten() for Q in s.symmetry.conserved(params).values()])


def away(s: Subject, rng: torch.Generator, distance: float) -> dict[str, Tensor]:
    return {k: p + distance * normal(tuple(p.shape), rng) for k, p in s.params.items()}


# -- one projection ------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [1e-10, 1e-4, 0.05])
@pytest.mark.parametrize("name", LAWFUL)
def test_projected(name: str, distance: float, rng: torch.Generator) -> None:
    """Q is that of the level set, the function that of the point that was projected."""
    s = DEEP if name == "deep relu" else subject(name)
    level_set = LevelSet.through(s.symmetry, s.params)
    point = away(s, rng, distance)
    target = quantities(s, s.params)
    found = level_set.project(point)
    size = target.abs().max()
    assert (quantities(s, found) - target).abs().max() <= HELD * size
    before, after = s.forward(point, s.inputs), s.forward(found, s.inputs)
    assert (after - before).abs().max() <= 1e-13 * before.abs().max()
    off = (quantities(s, point) - target).norm() / size
    moved = flatten(found, found) - flatten(point, found)
    assert 0 < moved.norm() <= 20 * off * flatten(point, found).norm()


def test_already_there() -> None:
    s = subject("deep identity")
    found = LevelSet.through(s.symmetry, s.params).project(s.params)
    assert all(torch.equal(found[k], p) for k, p in s.params.items())


def test_normal_to_the_level_set(rng: torch.Generator) -> None:
    """To first order it is the shortest way: the step lies in the span of the gradients of Q."""
    s = subject("deep identity")
    point = away(s, rng, 1e-5)
    found = LevelSet.through(s.symmetry, s.params).project(point)
    move = flatten(found, found) - flatten(point, found)
    jacobian = torch.func.jacrev(lambda p: quantities(s, p))(point)
    rows = torch.cat([jacobian[k].flatten(1) for k in found], 1)
    fitted = rows.T @ torch.linalg.lstsq(rows.T, move[:, None], driver="gelsd").solution[:, 0]
    assert (fitted - move).norm() <= 1e-3 * move.norm()


def test_wide_spaces_have_dependent_laws(rng: torch.Generator) -> None:
    """h > n + m: Tri(h) entries of Q, of which Tri(h − n − m) say nothing."""
    s = dense("identity", (2, 7, 2), bias=False)
    level_set = LevelSet.through(s.symmetry, s.params)
    found = level_set.project(away(s, rng, 1e-3))
    gap = quantities(s, found) - quantities(s, s.params)
    assert gap.abs().max() <= HELD * quantities(s, s.params).abs().max()


def test_dead_neurons(rng: torch.Generator) -> None:
    """A neuron without weights has Q = 0 and no direction to move in."""
    s = subject("dense relu")
    params = {k: p.clone() for k, p in s.params.items()}
    params["fc0.weight"][1] = params["fc0.bias"][1] = params["fc1.weight"][:, 1] = 0.0
    level_set = LevelSet.through(s.symmetry, params)
    point = {k: p * 1.001 for k, p in params.items()}
    found = level_set.project(point)
    assert found["fc0.bias"][1] == 0
    assert (level_set.values(found) - level_set.target).abs().max() <= HELD


def test_out_of_reach() -> None:
    """Q < 0 needs a reader; with readers of size 0 no scaling gives it."""
    s = subject("dense relu")
    level_set = LevelSet.through(s.symmetry, s.params)
    unreachable = replace(level_set, target=torch.full_like(level_set.target, -1.0))
    point = {**s.params, "fc1.weight": torch.zeros_like(s.params["fc1.weight"])}
    with pytest.raises(ArithmeticError, match=r"could not be moved along the orbit.*Lower `rtol`"):
        unreachable.project(point)


# -- along the flow ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["explicit", "implicit"])
@pytest.mark.parametrize("name", ["dense identity", "dense square", "deep identity", "attention"])
def test_held_at_a_loose_tolerance(name: str, method) -> None:
    """At all times asked for, those inside a step included."""
    s, times = subject(name), torch.linspace(0, 2, 41, dtype=torch.float64)
    free, held = (
        ps.gradient_flow(s.loss, s.params, times, rtol=1e-4, method=method, conserve=c)
        for c in (None, s.symmetry)
    )
    target = quantities(s, s.params)
    gaps = [
        max(float((quantities(s, path.at(k)) - target).abs().max()) for k in range(len(path)))
        for path in (free, held)
    ]
    assert held.steps < 41
    assert gaps[1] <= HELD * target.abs().max() < 1e-4 * gaps[0]


def test_held_where_the_method_changes() -> None:
    s = subject("dense cube")
    path = ps.gradient_flow(s.loss, s.params, (0.0, 50.0), conserve=s.symmetry)
    assert path.stiff_from is not None
    gap = quantities(s, path.end) - quantities(s, s.params)
    assert gap.abs().max() <= HELD * quantities(s, s.params).abs().max()


def fixed_steps(
    s: Subject, method: type[OdeSolver], time: float, count: int, level_set: LevelSet | None
) -> dict[str, Tensor]:
    """The end after `count` equal steps: no error is too large for these tolerances."""
    velocity = Velocity(s.loss, s.params)
    path, h = Path([0.0, time], 0.0, velocity.start), time / count
    follow(
        path, velocity, method, level_set=level_set, first_step=h, max_step=h, rtol=1e-2, atol=1e9
    )
    assert abs(path.steps - count) <= 1
    return velocity.split(path.y)


@pytest.mark.parametrize(
    ("method", "order", "counts"),
    [
        pytest.param(RK23, 3, (64, 128, 256), id="RK23"),
        # The terms of order 5 of this method are so small that order 6 shows first.
        pytest.param(RK45, 5, (16, 32, 64), id="RK45"),
        pytest.param(DOP853, 8, (4, 8, 16), id="DOP853"),
    ],
)
@pytest.mark.parametrize(("name", "time"), [("dense identity", 0.5), ("dense square", 0.1)])
def test_order_is_kept(
    name: str, time: float, method: type[OdeSolver], order: int, counts: tuple[int, ...]
) -> None:
    """Halving the step divides the error by 2^order, projected or not; the error is no larger."""
    s = subject(name)
    level_set = LevelSet.through(s.symmetry, s.params)
    exact = ps.gradient_flow(s.loss, s.params, (0.0, time), rtol=1e-13).end
    slopes, errors = [], []
    for projected in (None, level_set):
        ends = [fixed_steps(s, method, time, count, projected) for count in counts]
        errors.append([float((flatten(e, exact) - flatten(exact, exact)).norm()) for e in ends])
        slopes.append(np.diff(-np.log2(errors[-1])))
        gap = max(float((level_set.values(e) - level_set.target).abs().max()) for e in ends)
        held = gap <= HELD * float(level_set.target.abs().max())
        assert held is (projected is not None)
    assert min(slopes[0].min(), slopes[1].min()) >= order - 0.5
    assert np.abs(slopes[1] - slopes[0]).max() <= 0.5
    assert all(b <= 1.1 * a for a, b in zip(*errors, strict=True))
    if method is RK23:
        assert np.abs(np.concatenate(slopes) - order).max() <= 0.1


def test_kinks_limit_the_order() -> None:
    """Across kinks the error of equal steps falls like the step, whatever the method's order."""
    s = subject("dense relu")
    exact = ps.gradient_flow(s.loss, s.params, (0.0, 1.0), rtol=1e-13).end
    errors = []
    for count in (32, 2048):
        end = fixed_steps(s, RK45, 1.0, count, None)
        errors.append(float((flatten(end, exact) - flatten(exact, exact)).norm()))
    slope = math.log2(errors[0] / errors[1]) / math.log2(2048 / 32)
    assert 0.5 <= slope <= 1.6


def test_planted_fault_projection_along_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling all parameters to the old trace of Q, say, moves off the trajectory: seen at once."""
    s = subject("dense identity")
    exact = ps.gradient_flow(s.loss, s.params, (0.0, 0.5), rtol=1e-12).end

    def scaled(self: LevelSet, params: Params) -> dict[str, Tensor]:
        factor = (self.target.norm() / self.values(params).norm()).sqrt()
        return {k: p * factor * (1 + 1e-6) for k, p in params.items()}

    monkeypatch.setattr(LevelSet, "project", scaled)
    end = ps.gradient_flow(s.loss, s.params, (0.0, 0.5), conserve=s.symmetry).end
    assert (flatten(end, exact) - flatten(exact, exact)).norm() > 1e-7


@pytest.mark.parametrize("method", [DOP853, Radau])
def test_scipy_lets_us_move_the_state(method: type[OdeSolver]) -> None:
    """Projection sets `y` and `f` of a scipy integrator between steps: it must go on from there."""
    solver = method(lambda t, y: -y, 0.0, np.array([1.0]), 1.0, rtol=1e-10, atol=1e-12)
    solver.step()
    solver.y, solver.f = solver.y * 2, solver.f * 2  # type: ignore[attr-defined]
    while solver.status == "running":
        solver.step()
    assert solver.y[0] == pytest.approx(2 * math.exp(-1), rel=1e-8)


# -- bad input -----------------------------------------------------------------------------------


def flow(s: Subject, **options: object) -> ps.Trajectory:
    return ps.gradient_flow(s.loss, s.params, (0.0, 0.1), **options)  # type: ignore[arg-type]


def test_not_a_symmetry() -> None:
    s = subject("dense relu")
    with pytest.raises(TypeError, match=r"`conserve` must be a symmetry.*got dict"):
        flow(s, conserve={})


def test_no_law() -> None:
    s = subject("dense radial")
    with pytest.raises(ValueError, match=r"`conserve` must have a conservation law.*antisymmetric"):
        flow(s, conserve=s.symmetry)


def test_another_model() -> None:
    with pytest.raises(ValueError, match=r"`params\['fc1.weight'\]` must have shape \(4, 5\)"):
        flow(subject("dense relu"), conserve=DEEP.symmetry)


def test_too_many_laws() -> None:
    n = 32
    s = dense("identity", (2, n, 2))
    assert n * (n + 1) // 2 > LAWS_LIMIT
    with pytest.raises(ValueError, match=f"at most {LAWS_LIMIT} laws.*got 528 laws.*select"):
        flow(s, conserve=s.symmetry)


def test_rates_of_their_own() -> None:
    s = subject("dense relu")
    rate = {k: 1.0 + i for i, k in enumerate(s.params)}
    with pytest.raises(ValueError, match="`conserve` needs one `rate` for all parameters"):
        flow(s, conserve=s.symmetry, rate=rate)
    assert len(flow(s, conserve=s.symmetry, rate=dict.fromkeys(s.params, 2.0))) == 2


def test_weight_decay_breaks_the_symmetry() -> None:
    s = DEEP

    def decayed(params: Params) -> Tensor:
        return s.loss(params) + 1e-3 * params["fc2.weight"].square().sum()

    with pytest.raises(ValueError, match=r"symmetry of the loss.*'fc1 → fc2'.*Weight decay"):
        ps.gradient_flow(decayed, s.params, (0.0, 0.1), conserve=s.symmetry)
    assert len(flow(s, conserve=s.symmetry)) == 2


def test_a_start_at_a_minimum() -> None:
    """The gradient is rounding there, and of no use to tell a symmetry by."""
    U, V = (normal(shape, torch.Generator().manual_seed(1)) for shape in ((2, 3), (3, 2)))
    ports = (ps.Port.along("V", (3, 2), 0), ps.Port.along("U", (2, 3), 1, dual=True))
    space = ps.Family("space", ps.GeneralLinear(3), ports)
    start = {"U": U, "V": V}
    symmetry = ps.Symmetry.of([space], start)
    goal = U @ V + 1e-15
    path = ps.gradient_flow(
        lambda p: (p["U"] @ p["V"] - goal).square().sum(), start, (0.0, 1.0), conserve=symmetry
    )
    assert max(float((path.end[k] - p).abs().max()) for k, p in start.items()) <= 1e-14


def test_biases_count() -> None:
    """A law without the bias is wrong, and refused."""
    s = subject("dense relu")
    (family,) = s.symmetry
    ports = tuple(port for port in family.ports if not port.parameter.endswith("bias"))
    wrong = s.replaced(replace(family, ports=ports)).symmetry
    with pytest.raises(ValueError, match="must be a symmetry of the loss"):
        flow(s, conserve=wrong)
