"""The standard suite: never weaker than a bound allows, in any range, without traces."""

import importlib.util
import logging
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from paramsym.robustness import (
    Strongest,
    classified_rightly,
    mean_probability,
    pgd,
    strongest,
)
from tests.robustness.classifiers import Line, members, trained

suite = pytest.mark.skipif(
    importlib.util.find_spec("pyautoattack") is None,
    reason="pyautoattack is not installed: pip install paramsym[attacks]",
)

FAST = ("apgd-ce", "apgd-t")


@pytest.fixture(scope="module")
def attacked() -> Strongest:
    model, data = trained(-0.5, 0.5)
    return strongest(
        model, data.test_images[:60], data.test_labels[:60], 0.08, low=-0.5, high=0.5, queries=100
    )


@suite
def test_what_it_returns_is_what_it_says(attacked: Strongest) -> None:
    model, data = trained(-0.5, 0.5)
    x, y = data.test_images[:60], data.test_labels[:60]
    assert attacked.images.dtype == x.dtype
    assert float(attacked.images.min()) >= -0.5
    assert float(attacked.images.max()) <= 0.5
    change = (attacked.images - x).abs().flatten(1).amax(1)
    assert float(change.max()) <= 0.08 * (1 + 1e-12)
    right = classified_rightly(model, x, y)
    assert torch.equal(attacked.robust, right & classified_rightly(model, attacked.images, y))
    # An image that stays right, or was wrong at first, comes back as it was.
    assert not bool(change[attacked.robust | ~right].any())
    assert 0 < int(attacked.robust.sum()) < int(right.sum())


@suite
def test_it_is_stronger_than_pgd(attacked: Strongest) -> None:
    model, data = trained(-0.5, 0.5)
    x, y = data.test_images[:60], data.test_labels[:60]
    weaker = pgd(model, x, y, 0.08, step=0.02, iterations=10, low=-0.5, high=0.5)
    assert int(attacked.robust.sum()) <= int(classified_rightly(model, weaker, y).sum())


@suite
@pytest.mark.parametrize("attack", ["apgd-ce", "fab-t", "square"])
def test_on_a_line_the_closed_form_bounds_it(attack: str, rng: torch.Generator) -> None:
    """An image is robust exactly if |w·x + b| is at least ε‖w‖₁."""
    model, eps = Line(12, rng), 0.01
    x = 0.4 + 0.2 * torch.rand(80, 1, 3, 4, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        model.bias.copy_(-model.score(x).median() + model.bias)
    score = model.score(x).detach()
    robust = score.abs() >= eps * float(model.weight.detach().abs().sum())
    assert 0.1 < float(robust.double().mean()) < 0.9
    found = strongest(
        model, x, (score > 0).long(), eps, low=0, high=1, attacks=[attack], queries=1000
    ).robust
    # No attack can fool where none exists; the best find nearly all others.
    assert not bool((robust & ~found).any())
    missed = int((found & ~robust).sum())
    assert missed == 0 if attack != "square" else missed <= 8


@suite
def test_the_range_of_the_data_does_not_matter() -> None:
    model, data = trained()
    x, y = data.test_images[:40], data.test_labels[:40]
    given: Any = {"attacks": FAST}
    unit = strongest(model, x, y, 0.08, low=0, high=1, **given)
    wide = strongest(lambda z: model((z + 3) / 4), 4 * x - 3, y, 0.32, low=-3.0, high=1.0, **given)
    assert torch.equal(unit.robust, wide.robust)
    assert torch.allclose((wide.images + 3) / 4, unit.images, atol=1e-5)
    assert 0 < int(unit.robust.sum()) < 40


@suite
@pytest.mark.parametrize("attack", ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"])
def test_nothing_is_left_behind(attack: str) -> None:
    model, data = trained()
    x, y = data.test_images[:8].clone(), data.test_labels[:8]
    torch.manual_seed(3)
    state, logger = torch.get_rng_state(), logging.getLogger("auto-attack")
    handlers = list(logger.handlers)

    def trace(*_: Any) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with torch.inference_mode():
            strongest(
                model, x.clone(), y.clone(), 0.05, low=0, high=1, attacks=[attack], queries=20
            )
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is trace
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(x, data.test_images[:8])
    assert (logger.handlers, logger.propagate) == (handlers, True)


@suite
def test_the_seed_decides() -> None:
    model, data = trained()
    x, y = data.test_images[:20], data.test_labels[:20]

    def images(seed: int) -> Tensor:
        return strongest(
            model, x, y, 0.1, low=0, high=1, attacks=["square"], queries=100, seed=seed
        ).images

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))


@suite
def test_an_ensemble_and_its_votes() -> None:
    model, data = trained()
    ensemble = members(model)
    x, y = data.test_images[:20], data.test_labels[:20]
    found = strongest(mean_probability(ensemble), x, y, 0.15, low=0, high=1, attacks=["apgd-ce"])
    assert int(found.robust.sum()) < 12

    def shares(x: Tensor) -> Tensor:
        votes = ensemble(x).argmax(-1)
        return torch.nn.functional.one_hot(votes, 10).double().mean(0)

    voted = strongest(shares, x, y, 0.15, low=0, high=1, attacks=["square"], queries=200)
    assert int(voted.robust.sum()) < 20
    assert any("probability distribution" in text for text in voted.warnings)


@suite
def test_vanishing_gradients_are_told() -> None:
    model, data = trained()
    found = strongest(
        # Steps, whose slope is zero.
        lambda x: model(x) + (4 * model(x)).round() - model(x),
        data.test_images[:10], data.test_labels[:10], 0.05, low=0, high=1, attacks=["apgd-t"],
    )  # fmt: skip
    assert any("zero gradient" in text for text in found.warnings)
    assert len(set(found.warnings)) == len(found.warnings)


@suite
def test_few_classes_leave_out_what_they_do_not_allow(rng: torch.Generator) -> None:
    model = Line(12, rng)
    x = torch.rand(10, 1, 3, 4, generator=rng, dtype=torch.float64)
    y = (model.score(x) > 0).long()
    assert strongest(model, x, y, 0.01, low=0, high=1, queries=10).images.shape == x.shape
    with pytest.raises(ValueError, match="must suit the 2 classes; 'apgd-t' needs 4"):
        strongest(model, x, y, 0.01, low=0, high=1, attacks=["apgd-t"])


@suite
def test_bad_input() -> None:
    model, data = trained()
    x, y = data.test_images[:4], data.test_labels[:4]
    good: dict[str, Any] = {
        "predict": model, "images": x, "labels": y, "eps": 0.1, "low": 0, "high": 1,
    }  # fmt: skip
    for wrong, says in [
        ({"low": 0.2}, "must have values from `low` = 0.2"),
        ({"eps": 8}, "`eps` must be between 0 and the width of the range"),
        ({"eps": 0}, "`eps` must be positive"),
        ({"labels": y + 10}, "`labels` must be from 0 to 9"),
        ({"labels": y[:3]}, r"`labels` must be int64 of shape \[4\]"),
        ({"images": x[:0], "labels": y[:0]}, r"`images` must be \[n, c, H, W\]"),
        ({"images": x.flatten(1)}, r"`images` must be \[n, c, H, W\]"),
        ({"predict": lambda x: model(x) * torch.nan}, "must give finite logits"),
        ({"predict": members(model)}, r"must give logits \[batch, classes\]"),
        ({"attacks": ["pgd"]}, "`attacks` must be of apgd-ce,.* got 'pgd'"),
        ({"attacks": []}, "`attacks` must name at least one"),
        ({"queries": 0}, "`queries` must be positive"),
        ({"batch": 0}, "`batch` must be positive"),
    ]:
        with pytest.raises(ValueError, match=says):
            strongest(**(good | wrong))


@suite
def test_logits_that_become_nan_on_the_way() -> None:
    model, data = trained()
    x, y = data.test_images[:4], data.test_labels[:4]

    def predict(z: Tensor) -> Tensor:
        inside = (z - x[: len(z)]).abs().amax() < 1e-3 if len(z) == 4 else False
        return model(z) if inside else model(z) / 0 * 0

    before = sys.gettrace()
    with pytest.raises(ValueError, match="must give finite logits"):
        strongest(predict, x, y, 0.1, low=0, high=1, attacks=["apgd-ce"])
    assert sys.gettrace() is before


def test_without_pyautoattack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    model, data = trained()
    with pytest.raises(ImportError, match=r"pip install paramsym\[attacks\]"):
        strongest(model, data.test_images[:4], data.test_labels[:4], 0.1, low=0, high=1)
