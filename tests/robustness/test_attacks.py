"""FGSM and PGD: in range, within ε, against closed forms and another library, without traces."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paramsym.robustness import classified_rightly, fgsm, mean_probability, pgd
from tests.robustness.classifiers import Line, members, trained

Attack = Callable[..., Tensor]


def strong(predict: Any, x: Tensor, y: Tensor, eps: float, **given: Any) -> Tensor:
    """PGD with a random start."""
    rng = torch.Generator().manual_seed(5)
    return pgd(predict, x, y, eps, step=eps / 4, iterations=10, generator=rng, **given)


ATTACKS: list[Attack] = [fgsm, strong]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 0.5), (-2.0, 3.0)])
@pytest.mark.parametrize("eps", [1e-3, 0.1, 0.7])
def test_attacked_images_stay_in_range_and_within_eps(
    attack: Attack, low: float, high: float, eps: float
) -> None:
    model, data = trained(low, high)
    x, y = data.test_images[:40], data.test_labels[:40]
    attacked = attack(model, x, y, eps, low=low, high=high)
    assert attacked.shape == x.shape
    assert attacked.dtype == x.dtype
    assert float(attacked.min()) >= low
    assert float(attacked.max()) <= high
    change = (attacked - x).abs()
    assert float(change.max()) <= eps + 2 * torch.finfo(x.dtype).eps * max(abs(low), abs(high))
    # An attack that does nothing would pass all that.
    assert float((change > eps / 8).double().mean()) > 0.2


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_on_a_line_the_attack_is_the_best_there_is(
    attack: Attack, loss: str, rng: torch.Generator
) -> None:
    """|w·x + b| can be lowered by ε‖w‖₁ and no more, where the range does not bind."""
    model, eps = Line(12, rng), 0.01
    x = 0.4 + 0.2 * torch.rand(200, 1, 3, 4, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        model.bias.copy_(-model.score(x).median() + model.bias)
    score = model.score(x).detach()
    y = (score > 0).long()
    attacked = attack(model, x, y, eps, low=0.0, high=1.0, loss=loss)
    reach = eps * float(model.weight.detach().abs().sum())
    expected = score - (2 * y - 1).double() * reach
    assert torch.allclose(model.score(attacked), expected, rtol=1e-12, atol=1e-13)
    fooled = ~classified_rightly(model, attacked, y)
    assert torch.equal(fooled, score.abs() < reach)
    assert 0.1 < float(fooled.double().mean()) < 0.9


def test_the_range_binds_where_it_must(rng: torch.Generator) -> None:
    model = Line(4, rng)
    x = torch.tensor([[0.0, 1.0, 0.02, 0.97]], dtype=torch.float64)
    y = (model.score(x) > 0).long()
    away = -torch.sign(model.weight.detach()) * (2 * y - 1)
    expected = (x + 0.05 * away).clamp(0, 1)
    assert torch.allclose(fgsm(model, x, y, 0.05, low=0, high=1), expected, atol=1e-15)


def test_the_loss_grows_as_the_gradient_says() -> None:
    """The first step raises the loss by ε‖∇‖₁ + O(ε²), for each image."""
    model, data = trained()
    # Away from the ends of the range, where pixels could not move.
    x, y = data.test_images[:50] * 0.8 + 0.1, data.test_labels[:50]

    def loss(x: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y, reduction="none")

    x.requires_grad_()
    (slope,) = torch.autograd.grad(loss(x).sum(), x)
    first = slope.abs().flatten(1).sum(1)
    x = x.detach()
    gaps = []
    for eps in (1e-6, 1e-7):
        attacked = fgsm(model, x, y, eps, low=0, high=1)
        gaps.append(((loss(attacked) - loss(x)).detach() / eps - first).abs().median())
    assert float(gaps[0]) < 1e-3 * float(first.median())
    assert 0.05 < float(gaps[1] / gaps[0]) < 0.2


def test_no_strength_gives_the_images_back() -> None:
    model, data = trained(-0.5, 0.5)
    x, y = data.test_images[:20], data.test_labels[:20]
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(fgsm(model, x, y, 0.0, low=-0.5, high=0.5), x)
    given: Any = {"step": 0.01, "low": -0.5, "high": 0.5}
    assert torch.equal(pgd(model, x, y, 0.0, iterations=5, generator=rng, **given), x)
    assert torch.equal(pgd(model, x, y, 0.3, iterations=0, **given), x)


def test_random_starts_are_uniform_and_decided_by_the_generator(rng: torch.Generator) -> None:
    x = torch.full((500, 1, 4, 4), 0.5, dtype=torch.float64)
    y = torch.zeros(500, dtype=torch.int64)

    def start(seed: int, batch: int = 256) -> Tensor:
        g = torch.Generator().manual_seed(seed)
        return pgd(
            Line(16, rng), x, y, 0.2, step=0.1, iterations=0, low=0, high=1, generator=g,
            batch=batch,
        )  # fmt: skip

    noise = start(1) - x
    assert float(noise.abs().max()) <= 0.2
    assert float(noise.abs().max()) > 0.199
    # Mean 0 and variance ε²/3, to five standard errors of 8,000 draws.
    assert abs(float(noise.mean())) < 5 * 0.2 / (3 * noise.numel()) ** 0.5
    assert float(noise.var()) == pytest.approx(0.2**2 / 3, rel=5 * (0.8 / noise.numel()) ** 0.5)
    assert torch.equal(start(1), start(1, batch=7))
    assert not torch.equal(start(1), start(2))


@pytest.mark.parametrize("attack", ATTACKS)
def test_batches_do_not_matter(attack: Attack) -> None:
    model, data = trained()
    x, y = data.test_images[:30], data.test_labels[:30]
    whole = attack(model, x, y, 0.1, low=0, high=1)
    for batch in (1, 7, 30):
        parts = attack(model, x, y, 0.1, low=0, high=1, batch=batch)
        # A gradient within rounding of 0 may have either sign.
        assert float((parts != whole).double().mean()) < 1e-3


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_left_behind(attack: Attack) -> None:
    model, data = trained()
    x, y = data.test_images[:10].clone(), data.test_labels[:10]
    model.train()
    x.requires_grad_()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    attacked = attack(model, x, y, 0.1, low=0, high=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert model.training
    assert x.grad is None
    assert torch.equal(x.detach(), data.test_images[:10])
    assert not attacked.requires_grad
    model.eval()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            again = attack(model, data.test_images[:10].clone(), y.clone(), 0.1, low=0, high=1)
        assert torch.equal(again, attacked)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
def test_foolbox_gives_the_same_digits(kind: str, dtype: torch.dtype) -> None:
    with warnings.catch_warnings():
        # It takes a function of scipy by its old name.
        warnings.simplefilter("ignore", DeprecationWarning)
        foolbox = pytest.importorskip(
            "foolbox", reason="foolbox is not installed", exc_type=ImportError
        )
    model, data = trained(-0.5, 0.5)
    twin = nn.Sequential()
    twin.add_module("model", _copy(model, dtype))
    x, y = data.test_images[:60].to(dtype), data.test_labels[:60]
    theirs = foolbox.PyTorchModel(twin.eval(), bounds=(-0.5, 0.5), device="cpu")
    for eps in (0.01, 0.08, 0.3):
        if kind == "fgsm":
            attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
            ours = fgsm(twin, x, y, eps, low=-0.5, high=0.5)
        else:
            attack = foolbox.attacks.LinfProjectedGradientDescentAttack(
                abs_stepsize=0.02, steps=7, random_start=False
            )
            ours = pgd(twin, x, y, eps, step=0.02, iterations=7, low=-0.5, high=0.5)
        _, clipped, fooled = attack(theirs, x, y, epsilons=eps)
        assert torch.equal(ours, clipped)
        assert torch.equal(~classified_rightly(twin, ours, y), fooled)
    assert float(fooled.double().mean()) > 0.1


def _copy(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    import copy

    return copy.deepcopy(model).to(dtype)


def test_an_attack_on_the_ensemble_is_worse_for_it_than_a_transfer() -> None:
    model, data = trained()
    ensemble = members(model, scale=0.3)
    x, y = data.test_images, data.test_labels

    def loss(x: Tensor) -> float:
        logits = mean_probability(ensemble)(x)
        return float(nn.functional.cross_entropy(logits, y))

    with torch.no_grad():
        clean = loss(x)
        transfer = loss(fgsm(model, x, y, 0.05, low=0, high=1))
        adaptive = loss(fgsm(mean_probability(ensemble), x, y, 0.05, low=0, high=1))
    assert clean < transfer < adaptive


def test_the_margin_has_a_gradient_where_the_cross_entropy_has_none() -> None:
    model, data = trained()
    rows = classified_rightly(model, data.test_images, data.test_labels)
    x, y = data.test_images[rows][:30].float(), data.test_labels[rows][:30]
    sure = _copy(model, torch.float32)

    def predict(x: Tensor) -> Tensor:
        return 1e4 * sure(x)

    stuck = fgsm(predict, x, y, 0.2, low=0, high=1)
    assert torch.equal(stuck, x)
    moved = fgsm(predict, x, y, 0.2, low=0, high=1, loss="margin")
    assert float(classified_rightly(predict, moved, y).double().mean()) < 0.5


def test_a_range_that_does_not_match_the_data() -> None:
    model, data = trained(-0.5, 0.5)
    x, y = data.test_images[:5], data.test_labels[:5]
    for attack in ATTACKS:
        with pytest.raises(ValueError, match=r"must have values from `low` = 0 to `high` = 1.*"
                           r"they go from -0.5 to 0.5"):  # fmt: skip
            attack(model, x, y, 0.1, low=0, high=1)
        with pytest.raises(ValueError, match="`low` and `high` must be finite and in this order"):
            attack(model, x, y, 0.1, low=0.5, high=-0.5)
        # Strengths in levels of a byte.
        with pytest.raises(ValueError, match=r"`eps` must be between 0 and the width.*by 255"):
            attack(model, x, y, 8, low=-0.5, high=0.5)
        for eps in (-0.1, float("nan")):
            with pytest.raises(ValueError, match="`eps` must be between 0 and"):
                attack(model, x, y, eps, low=-0.5, high=0.5)
        with pytest.raises(ValueError, match="must have values from"):
            attack(model, x.index_fill(0, torch.tensor([2]), torch.nan), y, 0.1, low=-1, high=1)


def test_images_and_labels_are_checked() -> None:
    model, data = trained()
    x, y = data.test_images[:5], data.test_labels[:5]
    for labels in (y[:4], y.int(), y[:, None], y.double()):
        with pytest.raises(ValueError, match=r"`labels` must be int64 of shape \[5\]"):
            fgsm(model, x, labels, 0.1, low=0, high=1)
    for wrong in (-1, 10):
        with pytest.raises(ValueError, match=rf"must be from 0 to 9, .* got {wrong}\."):
            fgsm(model, x, torch.full((5,), wrong), 0.1, low=0, high=1)
    with pytest.raises(
        ValueError, match=r"must be a floating tensor \[batch, …\]; got torch.uint8"
    ):
        fgsm(model, (x * 16).to(torch.uint8), y, 0.1, low=0, high=16)


def test_predictions_are_checked() -> None:
    model, data = trained()
    x, y = data.test_images[:5], data.test_labels[:5]
    ensemble = members(model)
    for predict, says in [
        (ensemble, r"must give logits \[batch, classes\].*got \[5, 5, 10\]. Attack an ensemble"),
        (lambda x: model(x) * torch.nan, "must give finite logits; for 5 of 5 images"),
        (lambda x: model(x).argmax(1), r"must give logits .* got \[5\]"),
        (lambda x: model(x).long(), "must give floating logits; got torch.int64"),
        (lambda x: model(x).detach(), "must be differentiable in the images"),
        (lambda x: model(x.detach()), "must be differentiable in the images"),
        (lambda x: model((x - x).sqrt() + x), "gradient of `predict` .* must be finite"),
        (lambda x: None, "got NoneType"),
    ]:
        with pytest.raises(ValueError, match=says):
            fgsm(predict, x, y, 0.1, low=0, high=1)  # pyright: ignore[reportArgumentType]


def test_unsteady_modules_are_refused() -> None:
    _, data = trained()
    x, y = data.test_images[:5], data.test_labels[:5]
    for layer in (nn.BatchNorm2d(1), nn.Dropout(0.5)):
        model = nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 10)).double()
        with pytest.raises(ValueError, match=r"`predict` must be in evaluation mode.*\.eval"):
            fgsm(model, x, y, 0.1, low=0, high=1)
        assert fgsm(model.eval(), x, y, 0.1, low=0, high=1).shape == x.shape


def test_settings_of_pgd_are_checked() -> None:
    model, data = trained()
    x, y = data.test_images[:5], data.test_labels[:5]
    good: dict[str, Any] = {"step": 0.01, "iterations": 2, "low": 0, "high": 1}
    for wrong, says in [
        ({"step": 0.0}, "`step` must be positive"),
        ({"step": float("inf")}, "`step` must be positive"),
        ({"iterations": -1}, "`iterations` must be an integer of at least 0"),
        ({"iterations": 1.5}, "`iterations` must be an integer"),
        ({"batch": 0}, "`batch` must be positive"),
        ({"loss": "hinge"}, "`loss` must be 'cross_entropy' or 'margin'; got 'hinge'"),
    ]:
        with pytest.raises(ValueError, match=says):
            pgd(model, x, y, 0.1, **(good | wrong))
