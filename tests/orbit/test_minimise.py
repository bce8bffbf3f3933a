"""Minimising on orbits: the gradient on the group, stationary points, the function, the word."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.orbit.drift import drift, rounding
from paramsym.orbit.minimising import Step, minimise_on_orbit
from paramsym.orbit.objectives import WeightNorm
from paramsym.orbit.pulling_back import PulledBack
from paramsym.orbit.words import all_commute, appended, as_element, commute
from tests.laws import networks
from tests.laws.subject import Params, Subject
from tests.laws.subjects import SUBJECTS, subject
from tests.orbit.measuring import EPS, EXACT, function_error

BLOCKS = ("gpt2", "gpt2 untied", "llama")
MOVING = (
    "dense relu", "dense relu_2", "dense identity", "dense identity_affine", "dense radial",
    "deep identity", "deep leaky_relu", "convolution relu", "grouped convolution identity",
    "attention", "linear recurrence", "tied autoencoder", "gemma norm", *BLOCKS,
)  # fmt: skip


def bent(params: Params) -> Tensor:
    """An objective with third derivatives, which no symmetry knows of."""
    parts = [(p - 0.3).square().sum() + (p.sin() * 0.5).sum() for p in params.values()]
    return torch.stack(parts).sum()


def pulled(model: Subject, objective: Callable[[dict[str, Tensor]], Tensor]) -> PulledBack:
    return PulledBack(objective, model.symmetry.families, 1, double=True)


@pytest.mark.parametrize("name", MOVING)
def test_the_gradient_is_the_derivative_on_the_group(name: str, rng: torch.Generator) -> None:
    model = subject(name)
    at_unit = pulled(model, bent)
    P = at_unit.start(dict(model.params)).gradient
    M = model.symmetry.sample_algebra(1.0, generator=rng)
    direction = torch.cat([M[f.name].reshape(-1) for f in model.symmetry])
    errors = []
    for t in (2e-3, 1e-3):
        ends = [bent(at_unit.moved(dict(model.params), s * t * direction)) for s in (1, -1)]
        errors.append(float((ends[0] - ends[1]) / (2 * t) - P @ direction))
    # Central differences: a quarter of the error at half the step, and nothing left at none.
    scale = float(P.norm() * direction.norm())
    assert abs((4 * errors[1] - errors[0]) / 3) <= 1e-7 * scale
    assert abs(errors[1]) <= 1e-3 * scale


@pytest.mark.parametrize("name", MOVING)
def test_it_descends_and_keeps_the_function(name: str) -> None:
    model = subject(name)
    watched: list[Step] = []
    found = minimise_on_orbit(
        model.symmetry,
        model.params,
        bent,
        iterations=30,
        max_condition=30,
        function=lambda p: model.forward(p, model.inputs),
        advance=watched.append,
    )
    steps = list(zip(found.values, found.values[1:], strict=False))
    assert steps
    assert all(b <= a + 64 * EPS * abs(a) for a, b in steps)
    assert found.value < found.values[0]
    assert [s.value for s in watched] == list(found.values)
    assert len(found.gradient_norms) == len(found.values) == found.iterations + 1
    assert found.evaluations >= found.iterations
    assert function_error(model, found.params) <= EXACT
    assert found.drift is not None
    assert found.drift <= EXACT
    assert found.rounding is not None
    assert 0 < found.rounding <= EXACT
    again = model.symmetry.act(found.g, model.params)
    for k, p in again.items():
        torch.testing.assert_close(found.params[k], p, rtol=1e-13, atol=1e-13)
    assert float(bent(found.params)) == pytest.approx(found.value, rel=1e-11)


@pytest.mark.parametrize("name", ["dense relu", "deep leaky_relu", "attention", "convolution relu"])
def test_it_reaches_stationary_points(name: str) -> None:
    model = subject(name)
    found = minimise_on_orbit(model.symmetry, model.params, bent, iterations=500, tolerance=1e-8)
    assert found.stopped == "stationary"
    left = pulled(model, bent).start(found.params).gradient
    assert float(left.norm()) <= 1.1e-8 * max(abs(found.value), found.gradient_norms[0])


def test_the_least_norm_on_scalings_is_the_balanced_point() -> None:
    """s = c² = √(b/a) makes a·s = b/s (docs/derivations.md §17)."""
    model = subject("dense relu")
    found = minimise_on_orbit(
        model.symmetry, model.params, WeightNorm(), tolerance=1e-13, iterations=100
    )
    Q = model.symmetry.conserved(found.params)
    (family,) = model.symmetry.families
    size = found.value
    assert float(Q[family.name].abs().max()) <= 1e-12 * size
    a = torch.zeros(family.group.n, dtype=torch.float64)
    b = torch.zeros_like(a)
    for port in family.ports:
        total = port.rows(model.params[port.parameter]).square().sum((0, 2))
        a, b = (a, b + total) if port.dual else (a + total, b)
    torch.testing.assert_close(found.g[family.name], (b / a) ** 0.25, rtol=1e-11, atol=0)
    moved = set(family.moves)
    rest = sum(float(p.square().sum()) for k, p in model.params.items() if k not in moved)
    assert found.value == pytest.approx(rest + float(2 * (a * b).sqrt().sum()), rel=1e-13)


@pytest.mark.parametrize("widths", [(6, 3, 5), (5, 3, 3, 5)])
def test_the_least_norm_of_matrices_has_no_Q(widths: tuple[int, ...]) -> None:
    """Where the ranks allow Q = 0 (docs/derivations.md §17), alone and in coupled families."""
    model = networks.dense("identity", widths, bias=False)
    found = minimise_on_orbit(
        model.symmetry, model.params, WeightNorm(), tolerance=1e-12, iterations=400
    )
    assert found.stopped in ("stationary", "no progress")
    for Q in model.symmetry.conserved(found.params).values():
        assert float(Q.abs().max()) <= 1e-10 * found.value
    assert function_error(model, found.params) <= EXACT


def test_where_no_least_norm_is_attained_the_condition_ends_it() -> None:
    """More neurons than inputs and outputs: the infimum is approached by singular elements."""
    model = subject("deep narrow linear")
    found = minimise_on_orbit(
        model.symmetry, model.params, WeightNorm(), tolerance=1e-14, max_condition=1e3
    )
    assert found.stopped == "condition"


def test_what_is_constant_on_the_orbit_is_stationary_at_once() -> None:
    model = subject("dense relu")
    found = minimise_on_orbit(model.symmetry, model.params, model.loss)
    assert found.iterations == 0
    assert found.stopped in ("stationary", "no progress")
    assert all(found.params[k] is not p or p is model.params[k] for k, p in model.params.items())


def test_maximising_is_minimising_the_negative() -> None:
    model = subject("dense relu")
    up, down = (
        minimise_on_orbit(model.symmetry, model.params, f, maximise=m, iterations=3)
        for f, m in ((bent, True), (lambda p: -bent(p), False))
    )
    assert up.value > up.values[0]
    assert up.values == tuple(-v for v in down.values)


def test_no_maximum_ends_at_the_condition() -> None:
    model = subject("dense relu")
    found = minimise_on_orbit(
        model.symmetry, model.params, WeightNorm(), maximise=True, max_condition=50
    )
    assert found.stopped == "condition"
    assert 1 < found.g.condition() <= 50


def test_iterations_and_families_limit_it() -> None:
    model = subject("deep leaky_relu")
    name = model.symmetry.families[1].name
    found = minimise_on_orbit(model.symmetry, model.params, bent, [name], iterations=2)
    assert found.stopped == "iterations"
    assert found.iterations == 2
    assert set(found.g) == {name}
    family = model.symmetry[name]
    for k, p in model.params.items():
        assert torch.equal(found.params[k], p) == (k not in family.moves)


def test_float32_models_are_moved_in_float64() -> None:
    model = subject("dense relu")
    narrow = {k: p.float() for k, p in model.params.items()}
    found = minimise_on_orbit(model.symmetry, narrow, WeightNorm(), tolerance=1e-12)
    exact = minimise_on_orbit(
        model.symmetry, {k: p.double() for k, p in narrow.items()}, WeightNorm(), tolerance=1e-12
    )
    for k, p in found.params.items():
        assert p.dtype == torch.float32
        torch.testing.assert_close(p, exact.params[k].float(), rtol=1e-6, atol=1e-7)
    coarse = minimise_on_orbit(model.symmetry, narrow, WeightNorm(), double=False, tolerance=1e-4)
    assert coarse.value == pytest.approx(exact.value, rel=1e-4)


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUBJECTS)
def test_letters_change_places_only_where_they_commute(name: str, rng: torch.Generator) -> None:
    model = subject(name)
    families = model.symmetry.families
    draws = {f.name: f.group.sample(0.2, generator=rng) for f in families}
    for i, a in enumerate(families[:6]):
        for b in families[:i]:
            if not commute(a, b):
                continue
            letters = [(a, draws[a.name]), (b, draws[b.name])]
            ways = [
                model.symmetry.act(as_element(word), model.params)
                for word in (letters, letters[::-1])
            ]
            for k in ways[0]:
                torch.testing.assert_close(ways[0][k], ways[1][k], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["deep identity", "deep leaky_relu", *BLOCKS])
def test_a_shorter_word_is_the_same_element(name: str, rng: torch.Generator) -> None:
    model = subject(name)
    letters = [(f, f.group.sample(0.1, generator=rng)) for _ in range(3) for f in model.symmetry]
    short = appended([], letters)
    assert len(short) <= len(letters)
    if all_commute(model.symmetry):
        assert len(short) == len(model.symmetry)
    ways = [model.symmetry.act(as_element(word), model.params) for word in (letters, short)]
    for k in ways[0]:
        torch.testing.assert_close(ways[0][k], ways[1][k], rtol=1e-11, atol=1e-11)


def test_families_on_one_axis_do_not_commute() -> None:
    port = ps.Port.along("w", (3, 2), 0)
    a = ps.Family("a", ps.GeneralLinear(3), (port,))
    b = ps.Family("b", ps.PositiveScaling(3), (port,))
    c = ps.Family("c", ps.GeneralLinear(2), (ps.Port.along("w", (3, 2), 1, dual=True),))
    assert not commute(a, b)
    assert commute(a, c)
    assert not all_commute([a, b, c])
    assert all_commute([a, c])


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("name", ["dense relu", "llama"])
def test_in_float32_the_drift_is_rounding(name: str, double: bool) -> None:
    """Whatever it was computed in; and a drift that is none is told from it."""
    model = subject(name)
    start = {k: p.float() for k, p in model.params.items()}

    def outputs(p: dict[str, Tensor]) -> Tensor:
        return model.forward({k: q.double() for k, q in p.items()}, model.inputs)

    found = minimise_on_orbit(
        model.symmetry, start, bent, iterations=10, max_condition=30, double=double,
        function=outputs,
    )  # fmt: skip
    assert found.drift is not None
    assert found.rounding is not None
    assert 1e-9 < found.rounding < 1e-4
    assert found.drift <= 16 * found.rounding
    wrong = {k: p * 1.01 for k, p in found.params.items()}
    assert drift(outputs, start, wrong) > 16 * rounding(outputs, start, wrong)
