"""Dimensions of orbits and numbers of laws against the corrected formulas, over a grid of shapes.

The formulas are those of docs/derivations.md, written out here independently of the package. Where
the paper's Theorem 3.3 and Corollary C.4 say otherwise, its count is shown to be wrong.
"""

from math import comb

import pytest
import torch

import paramsym as ps
from paramsym import orbit_dimension
from tests.laws.networks import dense
from tests.laws.subject import normal

GRID = [(m, h, n) for m in (1, 2, 3, 5) for h in (1, 2, 3, 4, 6) for n in (1, 2, 3, 5)]


def plus(x: int) -> int:
    return max(0, x)


def triangle(k: int) -> int:
    return k * (k + 1) // 2


def general_linear(m: int, h: int, n: int) -> int:
    return h**2 - plus(h - n) * plus(h - m)


def scalings(m: int, h: int, n: int) -> int:
    return h


def rotations(m: int, h: int, n: int) -> int:
    return comb(h, 2) - comb(plus(h - n - m), 2)


def linear_laws(m: int, h: int, n: int) -> int:
    return triangle(h) - triangle(plus(h - n - m))


CASES = {
    "identity": (general_linear, linear_laws),
    "relu": (scalings, scalings),
    "radial": (rotations, lambda m, h, n: 0),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", CASES)
def test_two_layers(activation: str, bias: bool) -> None:
    orbit, laws = CASES[activation]
    for m, h, n in GRID:
        network = dense(activation, (n, h, m), bias=bias, seed=m + 10 * h + 100 * n)
        inputs = n + bias  # a bias is one more input, which is constant
        expected = orbit(m, h, inputs)
        assert network.symmetry.dim == expected, (m, h, n)
        assert network.symmetry.orbit_dim(network.params) == expected, (m, h, n)
        assert network.symmetry.law_dim == laws(m, h, inputs), (m, h, n)


def test_affine_hidden_space() -> None:
    for m, h, n in GRID:
        network = dense("identity_affine", (n, h, m), seed=m + 10 * h + 100 * n)
        # The shift moves the bias alone; what is left is GL acting on the weights.
        expected = h + general_linear(m, h, n)
        assert network.symmetry.dim == expected, (m, h, n)
        assert network.symmetry.orbit_dim(network.params) == expected, (m, h, n)


def test_printed_formulas_are_wrong() -> None:
    printed_scalings = [(m, h, n) for m, h, n in GRID if min(h, max(n, m)) != h]
    printed_rotations = [
        (m, h, n)
        for m, h, n in GRID
        if comb(h, 2) - comb(plus(h - max(n, m)), 2) != rotations(m, h, n)
    ]
    assert len(printed_scalings) > 10
    assert len(printed_rotations) > 10
    m, h, n = 1, 3, 1
    relu = dense("relu", (n, h, m), bias=False)
    assert relu.symmetry.orbit_dim(relu.params) == 3 != min(h, max(n, m))


def test_dead_neuron_lowers_the_rank_here_only() -> None:
    network = dense("relu", (3, 4, 2), bias=False)
    dead = {k: p.clone() for k, p in network.params.items()}
    dead["fc0.weight"][1] = 0
    dead["fc1.weight"][:, 1] = 0
    assert network.symmetry.dim == 4
    assert network.symmetry.orbit_dim(dead) == 3


def test_rank_deficiency_lowers_the_rank_here_only() -> None:
    network = dense("identity", (3, 3, 3), bias=False)
    deficient = {k: p.clone() for k, p in network.params.items()}
    for p in deficient.values():
        p[-1] = p[0]
        p[:, -1] = p[:, 0]
    assert network.symmetry.dim == 9
    # Rank 2 on both sides: the stabilizer is (3 − 2)(3 − 2).
    assert network.symmetry.orbit_dim(deficient) == 8


@pytest.mark.parametrize("widths", [(2, 4, 4, 2), (1, 3, 3, 1), (2, 2, 2, 1)])
def test_coupled_linear_layers(widths: tuple[int, ...]) -> None:
    network = dense("identity", widths, bias=False, seed=sum(widths))
    symmetry = network.symmetry
    assert symmetry.dim == symmetry.orbit_dim(network.params)
    assert max(f.dim for f in symmetry) <= symmetry.dim <= sum(f.dim for f in symmetry)
    # No inner width lies between those of input and output: the orbit is the whole fibre.
    parameters = sum(p.numel() for p in network.params.values())
    assert symmetry.dim == parameters - widths[0] * widths[-1]


def test_laws_of_a_deep_linear_network() -> None:
    assert dense("identity", (2, 2, 2, 1), bias=False).symmetry.law_dim == 6


def test_overlapping_families_are_counted_once() -> None:
    network = dense("identity", (3, 4, 2))
    (family,) = network.symmetry
    rotations_too = ps.Family("rotations", ps.Orthogonal(4), family.ports)
    both = network.replaced(family, rotations_too)
    assert both.symmetry.group_dim == 16 + 6
    assert both.symmetry.dim == network.symmetry.dim


def test_too_large_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense("identity", (3, 4, 2))
    monkeypatch.setattr(orbit_dimension, "DENSE_LIMIT", 100)
    with pytest.raises(ValueError, match=r"orbit_dim.*dense matrix.*symmetry\.dim.*select"):
        network.symmetry.orbit_dim(network.params)


def test_closed_forms_stand_in_for_coupled_families_that_are_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orbit_dimension, "DENSE_LIMIT", 100)
    network = dense("identity", (2, 4, 4, 2), bias=False)
    assert network.symmetry.dim == sum(family.dim for family in network.symmetry)


def test_upper_bounds_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    network = dense("identity", (2, 4, 4, 2), bias=False)
    exact = network.symmetry
    assert (exact.dim_is_bound, exact.law_dim_is_bound) == (False, False)
    monkeypatch.setattr(orbit_dimension, "GENERIC_LIMIT", 10)
    bounded = ps.Symmetry.of(list(exact.families), network.params)
    assert (bounded.dim_is_bound, bounded.law_dim_is_bound) == (True, True)
    assert bounded.dim >= exact.dim
    assert f"flat directions       ≤ {bounded.dim}" in str(bounded)
    assert f"conserved quantities  ≤ {bounded.law_dim}" in str(bounded)
    assert "≤: families share parameters" in str(bounded)
    assert "≤" not in str(exact)
    # One family alone has a closed form, which is exact.
    alone = ps.Symmetry.of([exact.families[0]], network.params)
    assert not alone.dim_is_bound


def test_no_families_have_dimension_zero(rng: torch.Generator) -> None:
    params = {"weight": normal((2, 3), rng)}
    empty = ps.Symmetry.of([], params)
    assert empty.dim == empty.orbit_dim(params) == empty.law_dim == empty.group_dim == 0


def test_a_group_without_directions_adds_none(rng: torch.Generator) -> None:
    params = {"a": normal((1, 3), rng), "b": normal((1, 3), rng)}
    writer = ps.Port.along("a", (1, 3), 0)
    still = ps.Family("still", ps.Orthogonal(1), (writer,))
    scaled = ps.Family(
        "a → b", ps.GeneralLinear(1), (writer, ps.Port.along("b", (1, 3), 0, dual=True))
    )
    symmetry = ps.Symmetry.of([still, scaled], params)
    assert symmetry.dim == symmetry.orbit_dim(params) == 1
