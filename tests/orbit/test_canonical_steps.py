"""The steps to a canonical point, one by one, against slow twins."""

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.groups import Homothety, HyperplaneFixing
from paramsym.orbit.binary import BinarySystem
from paramsym.orbit.canonical_gains import DEGENERATE, held_gains
from paramsym.orbit.canonical_hyperplanes import bias_to_one, readers_to_rest
from paramsym.orbit.canonical_residual import residual
from paramsym.orbit.canonical_rotations import contrasts
from paramsym.orbit.canonical_shifts import orthogonal_shifts
from paramsym.ports import Frame
from paramsym.terms import Slot, Source, Term
from tests.orbit.measuring import EXACT


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(8))
def test_binary_equations_against_all_answers(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    truth = int(torch.randint(32, (), generator=rng))
    sets = torch.randint(1, 32, (4,), generator=rng).tolist()
    system = BinarySystem()
    for unknowns in sets:
        system.add(unknowns, (unknowns & truth).bit_count() % 2 == 1)
    fitting = [x for x in range(32) if all(((x ^ truth) & s).bit_count() % 2 == 0 for s in sets)]
    assert sum(1 << i for i in system.solution()) in fitting
    for unknowns in range(32):
        values = {(unknowns & x).bit_count() % 2 for x in fitting}
        assert system.determines(unknowns) == (len(values) == 1)


def test_contrasts() -> None:
    basis = contrasts(6)
    assert (basis.T @ basis - torch.eye(5)).abs().max() <= EXACT
    assert basis.sum(0).abs().max() <= EXACT


def slot(name: str) -> Slot:
    return Slot(name)


@pytest.mark.parametrize("mean_free", [False, True])
def test_a_shift_is_least_squares(mean_free: bool) -> None:
    """Along 1/γ, with weights that differ, against a dense solution."""
    params = {"W": normal(4, 3), "gain": normal(3, seed=1), "b": normal(4, seed=2)}
    null = Term(slot("W"), "a,b->ab", (Source(slot("gain"), -1),))
    answer = Term(slot("b"), "a->a", coefficient=-2.0)
    scaled = Term(slot("W"), "b->ab") if mean_free else null
    group = ps.Translation(3 if mean_free else 4, mean_free=mean_free)
    family = ps.Family("null", group, terms=(scaled,) if mean_free else (scaled, answer))
    ((found, t),), restless = orthogonal_shifts([family], params)
    assert found is family
    assert not restless
    steps = torch.eye(group.n, dtype=torch.float64)
    if mean_free:
        steps = contrasts(group.n).T
    directions = torch.stack([scaled.change(e, params).flatten() for e in steps], 1)
    best = torch.linalg.lstsq(directions, -params["W"].flatten()[:, None]).solution[:, 0]
    assert (steps.T @ best - t).abs().max() <= EXACT


def test_shifts_that_follow_from_one_another_settle() -> None:
    """b is taken up by c, which is shifted too; the mean of c by nothing."""
    params = {"b": normal(3), "c": normal(2, seed=1), "U": normal(2, 3, seed=2)}
    first = ps.Family(
        "c", ps.Translation(2), terms=(Term(slot("c"), "a->a"), Term(slot("d"), "a->a"))
    )
    second = ps.Family(
        "b",
        ps.Translation(3),
        terms=(
            Term(slot("b"), "a->a"),
            Term(slot("c"), "a,ba->b", (Source(slot("U")),), coefficient=-1.0),
        ),
    )
    params["d"] = torch.zeros(2, dtype=torch.float64)
    letters, restless = orthogonal_shifts([first, second], params)
    assert [family.name for family, _ in letters] == ["b", "c"]
    assert not restless
    moved = ps.Symmetry.of([first, second], params).act({f.name: g for f, g in letters}, params)
    assert moved["b"].abs().max() == 0
    assert moved["c"].abs().max() <= EXACT


def test_what_is_left_of_a_scaling_holds_the_gain() -> None:
    """A gain γ before a head, scaled with the head by one family and with a stream by another."""
    params = {"gain": normal(4), "head": normal(5, 4, seed=1), "stream": normal(4, 3, seed=2)}
    gain = ps.Port.along("gain", (4,), 0)
    own = ps.Family(
        "gain", ps.PositiveScaling(4), (gain, ps.Port.along("head", (5, 4), 1, dual=True))
    )
    rotation = ps.Family(
        "rotation",
        ps.Orthogonal(4),
        (
            ps.Port.along("stream", (4, 3), 0),
            ps.Port.along("head", (5, 4), 1, dual=True, frame=Frame("gain")),
        ),
    )
    rows = torch.arange(4).reshape(1, 1, 4)
    stream = ps.Family(
        "stream",
        ps.PositiveScaling(1),
        (
            ps.Port.along("stream", (4, 3), 0, rows),
            ps.Port.along("gain", (4,), 0, rows, dual=True, degree=2.0),
        ),
    )
    (held,) = held_gains([rotation, own, stream])
    assert held.family is own
    left = residual(stream, [held])
    assert left is not None
    c = torch.tensor([1.7], dtype=torch.float64)
    symmetry = ps.Symmetry.of([own, rotation, stream], params)
    moved = params
    for family, g in left.letters(c):
        moved = symmetry.act({family.name: g}, moved)
    assert (moved["gain"] - params["gain"]).abs().max() <= EXACT
    alone = ps.Symmetry.of([left.action], params).act({"stream": c}, params)
    for name in params:
        assert (alone[name] - moved[name]).abs().max() <= EXACT, name
    found = ps.canonical(symmetry, params)
    assert found.is_unique
    assert (found.params["gain"].abs() - 1).abs().max() <= EXACT


def test_gains_about_a_point() -> None:
    """1 + γ becomes 1 or −1, and its readers make up for it."""
    params = {"gain": normal(3), "read": normal(2, 3, seed=1)}
    index = torch.arange(3).reshape(3, 1, 1)
    family = ps.Family(
        "gain",
        Homothety(copies=3),
        (ps.Port("gain", (3,), (0,), index), ps.Port("read", (2, 3), (1,), index, dual=True)),
        (Term(slot("gain"), "ia->i"),),
    )
    found = ps.canonical(ps.Symmetry.of([family], params), params)
    assert found.is_unique
    assert ((found.params["gain"] + 1).abs() - 1).abs().max() <= EXACT
    before = params["read"] * (1 + params["gain"])
    after = found.params["read"] * (1 + found.params["gain"])
    assert (after - before).abs().max() <= EXACT


def hyperplane(width: int) -> ps.Family:
    frame = Frame("gain")
    return ps.Family(
        "fix",
        HyperplaneFixing(4),
        (
            ps.Port.along("bias", (4,), 0, frame=frame),
            ps.Port.along("read", (width, 4), 1, dual=True, frame=frame),
        ),
    )


def test_a_bias_without_mean_zero_becomes_one() -> None:
    params = {"gain": normal(4), "bias": normal(4, seed=1), "read": normal(6, 4, seed=2)}
    family = hyperplane(6)
    g = bias_to_one(family, params, DEGENERATE)
    assert g is not None
    assert family.group.contains(g)
    moved = ps.Symmetry.of([family], params).act({"fix": g}, params)
    assert (moved["bias"] - params["gain"]).abs().max() <= EXACT


@pytest.mark.parametrize("width", [2, 6])
def test_a_bias_of_mean_zero_leaves_the_readers(width: int) -> None:
    """Then all points of the orbit have readers with one and the same sums."""
    params = {
        "gain": normal(4), "bias": torch.zeros(4, dtype=torch.float64),
        "read": normal(width, 4, seed=2),
    }  # fmt: skip
    family = hyperplane(width)
    assert bias_to_one(family, params, DEGENERATE) is None
    symmetry = ps.Symmetry.of([family], params)
    ends = []
    for seed in range(3):
        g = symmetry.sample(0.5, generator=torch.Generator().manual_seed(seed))
        there = symmetry.act(g, params)
        rest, ties = readers_to_rest(family, [], there, DEGENERATE)
        assert not ties
        assert family.group.contains(rest)
        ends.append(symmetry.act({"fix": rest}, there)["read"])
    assert max(float((end - ends[0]).abs().max()) for end in ends) <= 1e-11
    sums = (ends[0] * params["gain"]).sum(1)
    assert float(sums.norm()) == pytest.approx(0 if width < 4 else 1, abs=1e-11)
