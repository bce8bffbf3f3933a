"""Calibration against a twin, and on probabilities that are right by construction."""

import math

import pytest
import torch

from paramsym.ensembling import calibration
from tests.ensembling.subjects import F64, rng
from tests.ensembling.twins import calibration_error


@pytest.mark.parametrize("bins", [1, 2, 10, 15])
def test_against_the_twin(bins: int) -> None:
    p = (3 * torch.randn(400, 4, generator=rng(), dtype=F64)).softmax(-1)
    labels = torch.randint(0, 4, (400,), generator=rng(1))
    found = calibration(p, labels, bins=bins)
    rows, true = p.tolist(), labels.tolist()
    assert found.error == pytest.approx(calibration_error(rows, true, bins), abs=1e-12)
    brier = sum(
        sum((v - (c == y)) ** 2 for c, v in enumerate(row))
        for row, y in zip(rows, true, strict=True)
    )
    assert found.brier == pytest.approx(brier / 400, abs=1e-12)
    likelihood = -sum(math.log(row[y]) for row, y in zip(rows, true, strict=True)) / 400
    assert found.negative_log_likelihood == pytest.approx(likelihood, abs=1e-12)
    assert (
        found.accuracy
        == sum(row.index(max(row)) == y for row, y in zip(rows, true, strict=True)) / 400
    )
    assert found.counts.sum() == 400


def test_edges_belong_to_the_bin_below() -> None:
    p = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [0.6, 0.4]], dtype=F64)
    found = calibration(p, torch.tensor([0, 0, 1, 0]), bins=4)
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.counts.tolist() == [0, 1, 2, 1]
    assert found.confidences[1:].tolist() == pytest.approx([0.5, 0.675, 1.0])
    assert found.accuracies[1:].tolist() == [1.0, 1.0, 0.0]
    assert math.isnan(found.confidences[0])
    assert math.isnan(found.accuracies[0])
    assert found.error == pytest.approx((0.5 + 2 * 0.325 + 1.0) / 4)
    assert found.negative_log_likelihood == math.inf


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    """The error then vanishes as 1/√n, and grows when probabilities are sharpened."""
    logits = 2 * torch.randn(100_000, 3, generator=rng(), dtype=F64)
    p = logits.softmax(-1)
    labels = torch.multinomial(p, 1, generator=rng(1)).flatten()
    honest, sharp = calibration(p, labels), calibration((2 * logits).softmax(-1), labels)
    assert honest.error < 5 * math.sqrt(15 / 100_000)
    assert sharp.error > 0.1
    # Proper scores are least at the truth.
    assert honest.brier < sharp.brier
    assert honest.negative_log_likelihood < sharp.negative_log_likelihood


def test_single_precision_rows() -> None:
    p = torch.randn(50, 1000, generator=rng()).softmax(-1).requires_grad_()
    assert calibration(p, torch.zeros(50, dtype=torch.int32)).counts.sum() == 50


def test_bad_arguments() -> None:
    p, y = torch.full((3, 2), 0.5), torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match=r"add up to 1 in every row; they add up to 2 to 2"):
        calibration(2 * p, y)
    with pytest.raises(ValueError, match="must not be negative"):
        calibration(torch.tensor([[1.5, -0.5]]), y[:1])
    with pytest.raises(ValueError, match="they add up to nan"):
        calibration(p * math.nan, y)
    with pytest.raises(ValueError, match=r"\[batch, classes\]; got \[4, 3, 2\]"):
        calibration(torch.zeros(4, 3, 2), y)
    with pytest.raises(TypeError, match="`probabilities` must be a floating"):
        calibration(y[:, None], y)
    with pytest.raises(ValueError, match=r"`labels` must have shape \[3\]; got \[2\]"):
        calibration(p, y[:2])
    with pytest.raises(ValueError, match=r"from 0 to 1; they are from 0 to 2"):
        calibration(p, 2 * y)
    with pytest.raises(TypeError, match="`labels` must be a tensor of integers"):
        calibration(p, y.float())
    for bins in (0, 1.5, True):
        with pytest.raises(ValueError, match="`bins` must be a positive integer"):
            calibration(p, y, bins=bins)  # type: ignore[arg-type]
