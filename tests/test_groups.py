"""Groups: their axioms, algebras, samplers and representations."""

import math

import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import paramsym as ps
from paramsym.groups import GROUPS, Group, MatrixGroup
from tests.laws import faults
from tests.laws.group_laws import GROUP_LAWS
from tests.laws.measure import EPS


def make(kind: str, n: int, copies: int) -> Group:
    if kind == "ComplexScaling":
        return ps.ComplexScaling(copies=copies)
    if kind == "Homothety":
        return ps.Homothety(copies, centre=-1.5)
    if kind == "Orthogonal fixing the mean":
        return ps.Orthogonal(n, copies, fixes_mean=True)
    return GROUPS[kind](n, copies)


KINDS = (*GROUPS, "Orthogonal fixing the mean")
ALL = [make(kind, n, copies) for kind in KINDS for n, copies in ((1, 1), (2, 3), (5, 1))]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    return make(draw(st.sampled_from(KINDS)), draw(st.integers(1, 6)), draw(st.integers(1, 4)))


@pytest.mark.parametrize("law", GROUP_LAWS)
@pytest.mark.parametrize("group", ALL, ids=lambda g: f"{type(g).__name__} {g}")
def test_law_holds(law: str, group: Group, rng: torch.Generator) -> None:
    assert GROUP_LAWS[law](group, rng) <= 1


@pytest.mark.parametrize("law", GROUP_LAWS)
@given(group=groups(), seed=st.integers(0, 2**16))
def test_law_holds_for_drawn_sizes(law: str, group: Group, seed: int) -> None:
    assert GROUP_LAWS[law](group, torch.Generator().manual_seed(seed)) <= 1


class Averaging(faults.Matrices):
    """A product that is not associative."""

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return (g + h) / 2


class Vanishing(faults.Matrices):
    """An inverse that leaves the group."""

    def inverse(self, g: Tensor) -> Tensor:
        return torch.zeros_like(g)


class Oblique(faults.Matrices):
    """A projection that is not orthogonal."""

    def project(self, P: Tensor) -> Tensor:
        return P.triu() + P.tril(-1) @ torch.ones_like(P).triu(1)


class Stretched(faults.Matrices):
    """A basis that is not orthonormal."""

    def basis(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return 2 * super().basis(dtype)


class Miscounted(faults.Matrices):
    """All of the algebra counted as symmetric."""

    @property
    def symmetric_dim(self) -> int:
        return self.n**2


class Lopsided(faults.Matrices):
    """A symmetric part that is not symmetric."""

    def symmetric(self, M: Tensor) -> Tensor:
        return M.triu()


class Transposed(faults.Matrices):
    """A linear part that reverses products."""

    def linear(self, g: Tensor) -> Tensor:
        return g.reshape(self.copies, self.n, self.n).mT


class Normalised(faults.Matrices):
    """A unit that is none."""

    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return super().identity(dtype) / math.sqrt(self.n)


FAULTY: dict[str, type[MatrixGroup]] = {
    "associativity": Averaging,
    "unit": Normalised,
    "inverse": faults.Transposing,
    "closure": Vanishing,
    "subgroups": Averaging,
    "velocity": faults.Hurried,
    "projection": Oblique,
    "basis": Stretched,
    "splitting": Lopsided,
    "symmetric_dimension": Miscounted,
    "representation": Transposed,
    "parts": Transposed,
}


@pytest.mark.parametrize("law", GROUP_LAWS)
def test_fault_is_seen(law: str, rng: torch.Generator) -> None:
    assert GROUP_LAWS[law](FAULTY[law](3), rng) > 1e3


@pytest.mark.parametrize(
    ("group", "dim", "symmetric", "text"),
    [
        (ps.PositiveScaling(3, 2), 6, 6, "T₊(3) × 2"),
        (ps.GeneralLinear(3, 2), 18, 12, "GL(3) × 2"),
        (ps.Affine(3), 12, 6, "Aff(3)"),
        (ps.Orthogonal(4, 3), 18, 0, "O(4) × 3"),
        (ps.Orthogonal(4, fixes_mean=True), 3, 0, "O(3)"),
        (ps.ComplexScaling(copies=5), 10, 5, "ℂˣ × 5"),
        (ps.Translation(4, 2), 8, 8, "R^4 × 2"),
    ],
)
def test_dimensions_and_names(group: Group, dim: int, symmetric: int, text: str) -> None:
    assert (group.dim, group.symmetric_dim, str(group)) == (dim, symmetric, text)


@pytest.mark.parametrize("group", [ps.GeneralLinear(3), ps.Orthogonal(3), ps.Affine(3)])
def test_discrete_samples_reach_both_components(group: Group, rng: torch.Generator) -> None:
    def signs(discrete: bool) -> set[float]:
        draws = [group.sample(generator=rng, discrete=discrete) for _ in range(40)]
        return {float(torch.linalg.det(g).sign()) for g in draws}

    assert signs(discrete=False) == {1.0}
    assert signs(discrete=True) == {1.0, -1.0}


def test_copies_are_reflected_one_by_one(rng: torch.Generator) -> None:
    signs = torch.linalg.det(ps.Orthogonal(3, 40).sample(generator=rng, discrete=True)).sign()
    assert {1.0, -1.0} == set(signs.tolist())


@pytest.mark.parametrize("discrete", [False, True])
def test_mean_is_fixed(discrete: bool, rng: torch.Generator) -> None:
    group = ps.Orthogonal(5, 8, fixes_mean=True)
    g = group.sample(1.0, generator=rng, discrete=discrete)
    assert (g.sum(-1) - 1).abs().max() <= 64 * EPS
    signs = set(torch.linalg.det(g).sign().tolist())
    assert signs == ({1.0, -1.0} if discrete else {1.0})
    assert not group.contains(ps.Orthogonal(5, 8).sample(1.0, generator=rng))


def test_scale_of_samples_is_free_of_size(rng: torch.Generator) -> None:
    small, large = (
        torch.linalg.matrix_norm(ps.GeneralLinear(n).sample_algebra(0.1, generator=rng), 2)
        for n in (20, 200)
    )
    assert 0.1 < small < 0.3
    assert 0.1 < large < 0.3


def test_samples_are_reproducible_and_typed() -> None:
    draws = [
        ps.Affine(3).sample(generator=torch.Generator().manual_seed(7), dtype=torch.float32)
        for _ in range(2)
    ]
    assert torch.equal(*draws)
    assert draws[0].dtype == torch.float32


@pytest.mark.parametrize("norm", [0.005, 0.02, 0.05, 0.1, 1.0])
def test_exp_is_accurate_at_all_norms(norm: float, rng: torch.Generator) -> None:
    M = ps.GeneralLinear(4).sample_algebra(generator=rng)
    M = norm * M / torch.linalg.matrix_norm(M, 1)
    exact = torch.from_numpy(scipy.linalg.expm(M.numpy()))
    assert (ps.GeneralLinear(4).exp(M) - exact).abs().max() <= 16 * EPS * math.exp(norm)


@given(degree=st.floats(0.1, 4.0), seed=st.integers(0, 2**16))
def test_power_is_a_representation(degree: float, seed: int) -> None:
    group, rng = ps.PositiveScaling(5), torch.Generator().manual_seed(seed)
    g, h = group.sample(1.0, generator=rng), group.sample(1.0, generator=rng)
    together = group.power(group.compose(g, h), degree)
    apart = group.compose(group.power(g, degree), group.power(h, degree))
    # x^α = exp(α log x) magnifies the rounding of log x by α |log x|.
    size = 1 + degree * float((g * h).log().abs().max())
    assert ((together - apart) / apart).abs().max() <= 8 * EPS * size


def test_power_of_a_sum_is_no_representation(rng: torch.Generator) -> None:
    group = ps.PositiveScaling(5)
    g, h = group.sample(1.0, generator=rng), group.sample(1.0, generator=rng)
    assert (1 + 2 * (g * h - 1) - (1 + 2 * (g - 1)) * (1 + 2 * (h - 1))).abs().max() > 0.01


def test_complex_scaling_commutes_with_rotations(rng: torch.Generator) -> None:
    g = ps.ComplexScaling(copies=6).sample(1.0, generator=rng)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    assert (g @ turn - turn @ g).abs().max() <= 16 * EPS * g.abs().max()


@pytest.mark.parametrize(
    ("group", "stranger"),
    [
        (ps.PositiveScaling(2), torch.tensor([1.0, -1.0])),
        (ps.PositiveScaling(2), torch.tensor([1.0, math.nan])),
        (ps.GeneralLinear(2), torch.ones(2, 2)),
        (ps.GeneralLinear(2), torch.eye(3)),
        (ps.Orthogonal(2), 1.01 * torch.eye(2)),
        (ps.Affine(1), torch.tensor([[1.0, 2.0], [0.5, 1.0]])),
        (ps.ComplexScaling(), torch.tensor([[1.0, 0.0], [0.0, 2.0]])),
        (ps.Translation(2), torch.tensor([0.0, math.inf])),
    ],
)
def test_strangers_are_no_elements(group: Group, stranger: Tensor) -> None:
    assert group.contains(group.identity(torch.float32))
    assert not group.contains(stranger)


def test_strangers_are_not_in_the_algebra(rng: torch.Generator) -> None:
    assert not ps.Orthogonal(2).contains_algebra(torch.eye(2))
    assert not ps.Affine(2).contains_algebra(torch.eye(3))
    assert not ps.GeneralLinear(2).contains_algebra(torch.full((2, 2), math.nan))
    assert ps.Orthogonal(2).contains_algebra(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))


@pytest.mark.parametrize(("n", "copies"), [(0, 1), (3, 0), (-1, 1)])
def test_sizes_must_be_positive(n: int, copies: int) -> None:
    with pytest.raises(ValueError, match=rf"PositiveScaling.*positive.*n={n}, copies={copies}"):
        ps.PositiveScaling(n, copies)
