"""Accuracies and their differences: closed forms, published values, coverage, and attacks."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from paramsym.robustness import (
    accuracy,
    classified_rightly,
    fgsm,
    mean_probability,
    paired_difference,
    under_attack,
)
from tests.robustness.classifiers import members, trained


def flags(right: int, total: int) -> Tensor:
    return torch.arange(total) < right


def test_wilsons_interval_as_published() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857, Table I, method 3.
    for right, total, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = accuracy(flags(right, total))
        assert found.value == right / total
        assert found.total == total
        assert found.interval == pytest.approx((low, high), abs=5e-5)


def test_wilsons_interval_by_its_quadratic() -> None:
    """Its ends p solve (p̂ − p)² = z² p(1 − p)/n."""
    for level in (0.5, 0.95, 0.999):
        z = float(stats.norm.ppf((1 + level) / 2))
        for right in (3, 50, 97):
            for p in accuracy(flags(right, 100), level).interval:
                assert (right / 100 - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / 100, rel=1e-9)


def test_one_seed_is_agresti_and_min() -> None:
    """Difference (b − c)/(n + 2) of the table with half an image more in each cell."""
    first, second = torch.zeros(100, dtype=torch.bool), torch.zeros(100, dtype=torch.bool)
    first[:70], second[8:73] = True, True
    b, c, n = 8, 3, 102
    center = (b - c) / n
    deviation = math.sqrt(((b + c + 1) / n - center**2) / n)
    half = float(stats.t.ppf(0.975, 99)) * deviation
    found = paired_difference(first, second)
    assert found.value == pytest.approx(0.05)
    assert found.interval == pytest.approx((center - half, center + half))
    assert paired_difference(first[None], second[None]) == found


def test_it_is_antisymmetric_and_never_certain() -> None:
    rng = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 4, 60, generator=rng) < 0.7
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.value == pytest.approx(-back.value)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    for same in (first, first[0], torch.ones(3, 50, dtype=torch.bool)):
        low, high = paired_difference(same, same).interval
        assert low < 0 < high
        assert high < 0.06
    all_right, none = torch.ones(2, 40, dtype=torch.bool), torch.zeros(2, 40, dtype=torch.bool)
    assert paired_difference(all_right, none).value == 1
    assert paired_difference(all_right, none).interval[1] <= 1


@pytest.mark.parametrize(
    ("seeds", "models", "pictures", "noise"),
    [
        (1, 0.0, 0.0, 0.2),
        (3, 0.06, 0.0, 0.2),
        (8, 0.06, 0.1, 0.1),
        # Nearly all chance is in the images: an interval over seeds would be far too narrow.
        (4, 0.0, 0.3, 0.01),
        # Nearly all is in the models: so would one over images be.
        (4, 0.15, 0.0, 0.01),
    ],
)
def test_the_interval_covers(seeds: int, models: float, pictures: float, noise: float) -> None:
    """A share of 0.7 against one of 0.6 on average over models and images, by symmetry."""
    rng = torch.Generator().manual_seed(seeds)
    trials, n, hits = 600, 80, 0

    def uniform(width: float, *shape: int) -> Tensor:
        return width * (2 * torch.rand(shape, generator=rng) - 1)

    for _ in range(trials):
        # An image is right where its difficulty is below the model's level. Added to a uniform
        # difficulty modulo 1, none of the rest changes how many are.
        hard = torch.rand(n, generator=rng) + uniform(pictures, 2, 1, n)
        hard = (hard + uniform(noise, 2, seeds, n)) % 1
        first, second = hard < torch.tensor([0.7, 0.6])[:, None, None] + uniform(
            models, 2, seeds, 1
        )
        low, high = paired_difference(first, second).interval
        hits += low <= 0.1 <= high
    # Five standard errors of a coverage of 0.95.
    assert hits / trials > 0.95 - 5 * math.sqrt(0.05 * 0.95 / trials)


def test_more_images_and_more_seeds_narrow_it() -> None:
    rng = torch.Generator().manual_seed(0)

    def width(seeds: int, n: int) -> float:
        first = torch.rand(seeds, n, generator=rng) < 0.7
        low, high = paired_difference(first, torch.rand(seeds, n, generator=rng) < 0.6).interval
        return high - low

    assert width(1, 4000) == pytest.approx(width(1, 1000) / 2, rel=0.1)
    assert width(16, 1000) < 0.5 * width(1, 1000)


def test_right_answers_of_logits_and_of_classes() -> None:
    model, data = trained()
    x, y = data.test_images, data.test_labels
    right = classified_rightly(model, x, y)
    assert right.dtype == torch.bool
    assert torch.equal(right, model(x).argmax(1) == y)
    assert torch.equal(right, classified_rightly(lambda x: model(x).argmax(1), x, y, batch=17))
    assert accuracy(right).value > 0.9
    assert not torch.is_grad_enabled() or model(x[:1]).requires_grad


def test_attacks_transfer_and_adapt() -> None:
    model, data = trained()
    x, y = data.test_images[:100], data.test_labels[:100]
    ensemble = members(model, scale=0.3)
    vote = {"single": model, "ensemble": lambda x: ensemble(x).argmax(-1).mode(0).values}
    strengths = [0.0, 0.03, 0.06]
    found = {}
    for name, predict in [("transfer", model), ("adaptive", mean_probability(ensemble))]:
        found[name] = under_attack(
            lambda x, y, eps, predict=predict: fgsm(predict, x, y, eps, low=0, high=1),
            vote, x, y, strengths,
        )  # fmt: skip
    for right in (found["transfer"], found["adaptive"]):
        assert set(right) == set(vote)
        for name, classify in vote.items():
            assert right[name].shape == (3, 100)
            # At no strength both are the accuracy itself.
            assert torch.equal(right[name][0], classified_rightly(classify, x, y))
    for name, worse in [("single", "transfer"), ("ensemble", "adaptive")]:
        other = "adaptive" if worse == "transfer" else "transfer"
        assert int(found[worse][name].sum()) < int(found[other][name].sum())


def test_errors() -> None:
    model, data = trained()
    x, y = data.test_images[:4], data.test_labels[:4]
    for predict, says in [
        (lambda x: model(x) * torch.nan, "`classify` must give finite logits; for 4 of 4"),
        (lambda x: model(x).argmax(1)[:2], "must give a class for each of 4 images; got 2"),
        (members(model), r"`classify` must give logits \[batch, classes\]"),
        (lambda x: model(x)[:, 0], r"`classify` must give logits"),
    ]:
        with pytest.raises(ValueError, match=says):
            classified_rightly(predict, x, y)
    with pytest.raises(ValueError, match=r"`labels` must be int64 of shape \[4\]"):
        classified_rightly(model, x, y[:2])
    for images, labels, batch in [(x[:0], y[:0], 10), (x, y, 0)]:
        with pytest.raises(ValueError, match="there must be images, in batches of 1 or more"):
            classified_rightly(model, images, labels, batch=batch)
    for wrong in (torch.rand(4), flags(2, 4)[None], flags(0, 0)):
        with pytest.raises(ValueError, match="`right` must be a row of booleans"):
            accuracy(wrong)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
            accuracy(flags(1, 4), level)
        with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
            paired_difference(flags(1, 4), flags(2, 4), level)
    with pytest.raises(ValueError, match=r"`second` must be booleans \[n\] or \[seeds, n\]"):
        paired_difference(flags(1, 4), torch.rand(4))
    with pytest.raises(ValueError, match=r"must have the same shape.*got \[4\] and \[5\]"):
        paired_difference(flags(1, 4), flags(2, 5))
