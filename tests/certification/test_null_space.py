"""The smallest singular values against a dense decomposition, and what is near the noise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import paramsym as ps
from paramsym.certification.null_space import (
    CLEAR_GAP,
    PROBES,
    SMALL,
    pivoted,
    smallest,
    triangular,
)
from tests.certification import table
from tests.certification.models import MODELS, mlp

EPS = torch.finfo(torch.float64).eps


def with_spectrum(values: Tensor, seed: int = 0) -> Tensor:
    """A triangular matrix with these singular values, up to rounding of the largest."""
    rng = torch.Generator().manual_seed(seed)
    n = len(values)
    left, right = (
        torch.linalg.qr(torch.randn(n, n, generator=rng, dtype=torch.float64)).Q for _ in range(2)
    )
    return triangular(left * values @ right.mT)


def spectrum(n: int, null: int, smallest_kept: float) -> Tensor:
    kept = torch.logspace(0, float(torch.tensor(smallest_kept).log10()), n - null)
    return torch.cat([kept, torch.zeros(null)]).double()


def noise_of(R: Tensor) -> float:
    return 8 * len(R) ** 0.5 * EPS * float(R.norm())


def assert_same_as_dense(R: Tensor) -> int:
    """The null directions, the values beside them, and the decision of every other one."""
    noise = noise_of(R)
    found = smallest(R, noise)
    _, values, vectors = torch.linalg.svd(R)
    values, vectors = values.flip(0), vectors.flip(0)
    null, expected = found.null(noise), vectors[values <= noise]
    assert len(null) == len(expected)
    # The same space: the smallest singular value beyond bounds how far they can be apart.
    gap = float(values[len(expected)])
    apart = null - (null @ expected.mT) @ expected
    assert float(apart.norm()) <= 64 * noise / gap
    assert float((R @ found.vectors.mT).norm(dim=0).sub(found.values).abs().max()) <= noise
    assert torch.allclose(found.vectors @ found.vectors.mT, torch.eye(len(found.vectors)).double())
    assert bool((found.values.diff() >= -noise).all())
    beside = float(found.values[len(null)])
    # A few iterations come from above, the closer the fewer values are beside it.
    assert gap - noise <= beside <= 1.2 * gap
    assert found.largest >= float(values[-1]) * (1 - 8 * EPS)
    return len(null)


@given(
    st.integers(2, 40),
    st.integers(0, 12),
    st.sampled_from([1e-2, 1e-5, 1e-9]),
    st.integers(0, 2**30),
)
@settings(max_examples=25, deadline=None)
def test_small_matrices(n: int, null: int, kept: float, seed: int) -> None:
    null = min(null, n - 1)
    assert assert_same_as_dense(with_spectrum(spectrum(n, null, kept), seed)) == null


@pytest.mark.parametrize("null", [0, 1, PROBES, 4 * PROBES])
@pytest.mark.parametrize("kept", [1e-2, 1e-8])
def test_large_matrices_by_inverse_iteration(null: int, kept: float) -> None:
    assert assert_same_as_dense(with_spectrum(spectrum(SMALL + 40, null, kept))) == null


def test_columns_that_are_zero() -> None:
    R = with_spectrum(spectrum(SMALL + 20, 0, 1e-3))
    R[:, 7] = 0.0
    found = smallest(R, noise_of(R))
    (null,) = found.null(noise_of(R))
    assert float(null[7].abs()) == pytest.approx(1.0)


def test_a_matrix_of_zeros() -> None:
    found = smallest(torch.zeros(5, 5, dtype=torch.float64), 1e-15)
    assert len(found.null(1e-15)) == 5
    assert found.largest == 0


@pytest.mark.parametrize("n", [30, SMALL + 30])
def test_values_near_the_noise_are_neither(n: int) -> None:
    values = spectrum(n, 3, 1e-2)
    noise = 1e-10
    near = [2.0 * noise, 0.5 * CLEAR_GAP * noise, 4 * CLEAR_GAP * noise]
    values[:3] = torch.tensor(near, dtype=torch.float64)
    found = smallest(with_spectrum(values), noise)
    assert len(found.null(noise)) == 3
    assert found.between(noise) == 2


def test_the_triangular_factor_of_a_wide_matrix_is_square() -> None:
    rows = torch.randn(3, 7, dtype=torch.float64)
    R = triangular(rows)
    assert R.shape == (7, 7)
    assert torch.allclose(R.mT @ R, rows.mT @ rows)


def test_pivots_fall_where_the_rank_ends() -> None:
    rows = torch.randn(20, 4, dtype=torch.float64) @ torch.randn(4, 9, dtype=torch.float64)
    R, order = pivoted(rows)
    assert sorted(order.tolist()) == list(range(9))
    assert torch.allclose(R.mT @ R, (rows.mT @ rows)[order][:, order])
    pivots = R.diagonal().abs()
    assert float(pivots[4:].max()) < 1e-12 * float(pivots[3])


def test_fields_that_nearly_depend_on_one_another_are_undecided() -> None:
    """Two scalings of a hidden space that differ by a bias of 1e-13: is their rank one or two?"""
    model, args = mlp("relu", 3, 1, 2)
    model = model.double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.fill_(1e-13 if name == "layers.0.bias" else 1.0)
    writers = (ps.Port.along("layers.0.weight", (1, 3), 0),)
    reader = ps.Port.along("layers.1.weight", (2, 1), 1, dual=True)
    bias = ps.Port.along("layers.0.bias", (1,), 0)
    group = ps.PositiveScaling(1)
    families = [
        ps.Family("without the bias", group, (*writers, reader)),
        ps.Family("with the bias", group, (*writers, bias, reader)),
    ]
    found = ps.certify(model, args, ps.Symmetry.of(families, model), at="here")
    assert found.unsound == ()
    assert (found.undecided, found.verdict) == (1, "undecided")
    assert "singular values near the rounding" in str(found)
    one = ps.certify(model, args, ps.Symmetry.of(families[1:], model), at="here")
    assert one.undecided == 0


def test_the_table_leaves_out_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> tuple[nn.Module, tuple[Tensor, ...]]:
        raise ImportError("No module named 'transformers'")

    monkeypatch.setitem(MODELS, "gpt2", missing)
    assert table.main(["gpt2", "mlp-tanh"]) == 0
    printed = capsys.readouterr().out
    assert "gpt2               skipped: No module named 'transformers'" in printed
    assert "mlp-tanh" in printed
    assert "complete" in printed
    assert table.main(["no-such-model"]) == 2
    assert "there are" in capsys.readouterr().err
