"""Symmetries of black-box activations: the table, and laws over its rows."""

from functools import cache

import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.nn import functional as F

from paramsym.activations import Equivariance, equivariance
from paramsym.activations.algebra import Pairs
from tests.equivariance_objects import NONE, TABLE, Row, layer_norm, norm

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
both = pytest.mark.parametrize("affine", [False, True], ids=["linear", "affine"])
BOUND = 1e-10
"""Rounding of the null space (1e-15) times the condition of the system (below 10²) and of the
elements (below 10³)."""


@cache
def measured(row: Row, affine: bool = False) -> Equivariance:
    return equivariance(row.sigma, 4, affine=affine)


def points(count: int, scale: float = 1.0, h: int = 4, seed: int = 7) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, h, generator=rng, dtype=torch.float64)


def random_pair(found: Equivariance, size: float, seed: int = 3) -> Pairs:
    pairs = found.pairs.joined(found.redundant)
    rng = torch.Generator().manual_seed(seed)
    drawn = pairs.combined(torch.randn(1, len(pairs), generator=rng, dtype=torch.float64))
    whole = torch.cat([drawn.input_part(), drawn.output_part()], 1)
    return drawn.combined(size / whole.norm().reshape(1, 1))


def homogeneous(matrix: Tensor, shift: Tensor) -> Tensor:
    return F.pad(torch.cat([matrix, shift[:, None]], 1), (0, 0, 0, 1))


@rows
@both
def test_table(row: Row, affine: bool) -> None:
    found = measured(row, affine)
    assert found.stable, found.reason
    assert found.group_dim == (row.affine if affine else row.linear)
    assert len(found.redundant) == row.redundant[affine]
    assert set(found.dimensions) == {found.dimension}
    assert found.retained > 1e-3
    assert found.null < 1e-13


@rows
def test_group(row: Row) -> None:
    found = measured(row)
    if row.group is None:
        assert found.factors is None
        assert "not recognised" in found.group
    else:
        assert found.group == row.group
        assert found.factors is not None
        assert sum(factor.group.dim for factor in found.factors) == found.group_dim


@rows
@both
def test_pairs_are_equivariant_at_fresh_points(row: Row, affine: bool) -> None:
    found = measured(row, affine)
    z = points(200, 2.0)
    pairs = found.pairs.joined(found.redundant)
    for m, n, a, b in zip(
        pairs.inputs, pairs.outputs, pairs.input_shifts, pairs.output_shifts, strict=True
    ):
        left = torch.func.jvp(row.sigma, (z,), (z @ m.T + a,))[1]
        right = row.sigma(z) @ n.T + b
        finite = torch.isfinite(left)
        assert finite.all(1).sum() > 5
        bound = BOUND * max(1.0, float(right.abs().max()))
        assert (left - right)[finite].abs().max() < bound


@rows
@both
@pytest.mark.parametrize("t", [-1.0, 0.5, 2.0])
def test_pairs_integrate(row: Row, affine: bool, t: float) -> None:
    """σ(exp(tM) z) = exp(tN) σ(z), with another exponential than the library's."""
    found = measured(row, affine)
    if found.dimension == 0:
        return
    pair = random_pair(found, t)
    g = torch.from_numpy(
        scipy.linalg.expm(homogeneous(pair.inputs[0], pair.input_shifts[0]).numpy())
    )
    pi = torch.from_numpy(
        scipy.linalg.expm(homogeneous(pair.outputs[0], pair.output_shifts[0]).numpy())
    )
    z = points(200, 1.5)
    moved = row.sigma(z @ g[:-1, :-1].T + g[:-1, -1])
    expected = row.sigma(z) @ pi[:-1, :-1].T + pi[:-1, -1]
    assert (moved - expected).abs().max() < BOUND * max(1.0, float(expected.abs().max()))


@rows
def test_algebra_is_closed(row: Row) -> None:
    """Brackets of pairs are pairs: ([M₁, M₂], [N₁, N₂])."""
    found = measured(row)
    pairs = found.pairs.joined(found.redundant)
    basis = torch.cat([pairs.input_part(), pairs.output_part()], 1).T
    for i in range(len(pairs)):
        for j in range(i):
            m = pairs.inputs[i] @ pairs.inputs[j] - pairs.inputs[j] @ pairs.inputs[i]
            n = pairs.outputs[i] @ pairs.outputs[j] - pairs.outputs[j] @ pairs.outputs[i]
            zero = torch.zeros(4 + found.p, dtype=torch.float64)
            vector = torch.cat([m.flatten(), zero[:4], n.flatten(), zero[4:]])
            solved = torch.linalg.lstsq(basis, vector[:, None], driver="gelsd").solution
            assert (basis @ solved - vector[:, None]).abs().max() < BOUND


@rows
@both
def test_other_coordinates(row: Row, affine: bool) -> None:
    """Bσ(Az) has the pairs (A⁻¹MA, BNB⁻¹): as many."""
    rng = torch.Generator().manual_seed(5)
    found = measured(row, affine)
    a = torch.randn(4, 4, generator=rng, dtype=torch.float64) + 2 * torch.eye(4)
    b = torch.randn(found.p, found.p, generator=rng, dtype=torch.float64) + 2 * torch.eye(found.p)
    turned = equivariance(lambda z: row.sigma(z @ a.T) @ b.T, 4, affine=affine)
    assert turned.stable
    assert (turned.group_dim, turned.dimension) == (found.group_dim, found.dimension)


@pytest.mark.parametrize(
    ("sigma", "affine", "dim"),
    [
        (lambda z: z, False, 10),
        (lambda z: z, True, 10),
        (torch.relu, False, 4),
        (lambda z: norm(z) ** 2 * z, False, 1),
        (lambda z: torch.tanh(norm(z)) * z, False, 0),
        (torch.exp, True, 4),
        (torch.tanh, True, 0),
        (layer_norm(0.0), False, 3),
    ],
    ids=["identity", "affine identity", "relu", "r² z", "radial", "exp", "tanh", "layer norm"],
)
def test_conserved_part(sigma, affine: bool, dim: int) -> None:  # type: ignore[no-untyped-def]
    found = equivariance(sigma, 4, affine=affine)
    assert len(found.conserved) == dim
    for m, n, b in zip(
        found.conserved.inputs, found.conserved.outputs, found.conserved.output_shifts, strict=True
    ):
        assert (m - m.T).abs().max() < BOUND
        assert (n - n.T).abs().max() < BOUND
        assert b.abs().max() < BOUND


def test_conserved_part_of_layer_norm() -> None:
    """Of the translations 1wᵀ only 11ᵀ is symmetric; then the scale, and a relation 1ᵀσ = 0."""
    found = equivariance(layer_norm(0.0), 4).conserved
    span = torch.cat([found.inputs.flatten(1), found.outputs.flatten(1)], 1).T
    ones, unit, zero = torch.ones(16), torch.eye(4).flatten(), torch.zeros(16)
    for vector in ((ones, zero), (unit, zero), (zero, ones)):
        wanted = torch.cat(vector).double()[:, None]
        solved = torch.linalg.lstsq(span, wanted, driver="gelsd").solution
        assert (span @ solved - wanted).abs().max() < BOUND


def test_basis_is_readable() -> None:
    found = equivariance(lambda z: torch.relu(z) ** 2, 3)
    units = torch.stack([torch.diag(e) for e in torch.eye(3, dtype=torch.float64)])
    torch.testing.assert_close(found.pairs.inputs, units, rtol=0, atol=BOUND)
    torch.testing.assert_close(found.pairs.outputs, 2 * units, rtol=0, atol=BOUND)


@pytest.mark.parametrize("degree", [0.5, 1.0, 1.5, 2.0, 3.0, 7 / 3, 2**0.5])
def test_degree_is_recovered(degree: float) -> None:
    found = equivariance(lambda z: torch.where(z > 0, z, -0.3 * z).abs() ** degree, 3)
    assert found.factors is not None
    (factor,) = found.factors
    assert factor.degree == pytest.approx(degree, abs=1e-12)


def test_coordinates_of_different_degrees() -> None:
    found = equivariance(lambda z: torch.stack([torch.relu(z[..., 0]), z[..., 1] ** 3], -1), 2)
    assert found.factors is not None
    assert {f.blocks: f.degree for f in found.factors} == {((0,),): 1.0, ((1,),): 3.0}


def test_centre_of_affine_scalings() -> None:
    """z² + z = (z + ½)² − ¼ scales about −½."""
    found = equivariance(lambda z: z**2 + z, 4, affine=True)
    assert found.group == "T₊(4) of degree 2 about [-0.5, -0.5, -0.5, -0.5]"


def test_shifts_of_exp() -> None:
    found = equivariance(torch.exp, 3, affine=True)
    assert found.group == "R^3 (other representation behind)"
    for a, n in zip(found.pairs.input_shifts, found.pairs.outputs, strict=True):
        torch.testing.assert_close(n, torch.diag(a), rtol=0, atol=BOUND)


def test_affine_identity() -> None:
    assert equivariance(lambda z: 2 * z + 1, 3, affine=True).group.startswith("GL(3)")


@pytest.mark.parametrize("sigma", [torch.tanh, torch.sin, torch.erf, lambda z: z**3 + z])
def test_odd_functions_have_only_signs(sigma) -> None:  # type: ignore[no-untyped-def]
    found = equivariance(sigma, 3)
    assert found.group == NONE
    assert found.discrete == ("signs", "permutations")


@pytest.mark.parametrize(
    ("sigma", "discrete"),
    [
        (torch.relu, ("permutations",)),
        (torch.abs, ("no signs", "permutations")),
        (torch.cos, ("no signs", "permutations")),
        (lambda z: z * torch.arange(1.0, 4.0), ("signs",)),
        (lambda z: z.cumsum(-1), ()),
        (lambda z: z[..., :2], ()),
    ],
    ids=["relu", "abs", "cos", "weighted", "cumsum", "other width"],
)
def test_discrete(sigma, discrete: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    assert equivariance(sigma, 3).discrete == discrete


@pytest.mark.parametrize("h", [1, 2, 5, 9])
def test_every_width(h: int) -> None:
    assert equivariance(torch.relu, h).group_dim == h
    assert equivariance(lambda z: z, h).group_dim == h * h
    assert equivariance(torch.tanh, h).group_dim == 0
    radial = equivariance(lambda z: torch.tanh(norm(z)) * z, h)
    assert radial.group_dim == h * (h - 1) // 2


@pytest.mark.slow
def test_the_largest_width() -> None:
    found = equivariance(layer_norm(0.0), 16)
    assert found.stable
    assert found.group_dim == 1 + 16 + 15 * 14 // 2


def test_a_constant_function() -> None:
    """Anything may happen to its input."""
    found = equivariance(lambda z: torch.ones(*z.shape[:-1], 2, dtype=z.dtype), 3)
    assert (found.group_dim, found.lost_dim) == (9, 9)


@pytest.mark.parametrize("affine", [False, True])
def test_zero(affine: bool) -> None:
    """Any M and N, any a, and b = 0."""
    found = equivariance(lambda z: 0 * z, 3, affine=affine)
    assert found.stable
    assert (found.group_dim, len(found.redundant)) == (12 if affine else 9, 9)


def test_the_same_draws_give_the_same_result() -> None:
    first, second = equivariance(F.silu, 3), equivariance(F.silu, 3)
    assert (first.retained, first.null) == (second.retained, second.null)
    other = equivariance(F.silu, 3, generator=torch.Generator().manual_seed(1))
    assert other.retained != first.retained


def test_inplace_functions_and_gradients_are_left_alone() -> None:
    layer = torch.nn.Linear(3, 3, bias=False).double()
    found = equivariance(lambda z: layer(z).relu_(), 3)
    assert found.group_dim == 3
    assert layer.weight.grad is None


def test_text() -> None:
    text = str(equivariance(layer_norm(0.1), 4))
    assert text.splitlines()[0] == (
        "linear symmetries of σ: R^4 → R^4: a group of dimension 7 that is not recognised"
    )
    assert "11 pairs (M, N), 4 of them with M = 0, 4 that leave σ unchanged" in text
    assert "conserved part of dimension 2" in text
    assert "stable over scales" in text
    assert "affine" in str(equivariance(torch.exp, 2, affine=True))
