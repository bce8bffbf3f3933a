"""What stands in for a vote: against loops over members and differences."""

import pytest
import torch
from torch import Tensor, nn

from paramsym.robustness import mean_logit, mean_probability
from tests.robustness.classifiers import members, trained


def test_they_are_the_means_over_members() -> None:
    model, data = trained()
    ensemble, x = members(model), data.test_images[:20]
    logits = ensemble(x)
    mean = torch.stack([member.softmax(1) for member in logits]).mean(0)
    assert torch.allclose(mean_probability(ensemble)(x).exp(), mean, rtol=1e-12)
    middle = torch.stack(list(logits)).sum(0) / len(logits)
    shift = mean_logit(ensemble)(x) - middle
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-12)


def test_cross_entropy_is_that_of_the_mean_probability() -> None:
    model, data = trained()
    ensemble, x, y = members(model), data.test_images[:20], data.test_labels[:20]
    found = nn.functional.cross_entropy(mean_probability(ensemble)(x), y, reduction="none")
    probability = ensemble(x).softmax(-1).mean(0)[torch.arange(20), y]
    assert torch.allclose(found, -probability.log(), rtol=1e-11, atol=1e-14)


def test_a_single_member_is_attacked_as_the_model() -> None:
    model, data = trained()
    x = data.test_images[:20]
    alone = mean_probability(lambda x: model(x)[None])(x)
    assert torch.allclose(alone, model(x).log_softmax(1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("surrogate", [mean_probability, mean_logit])
def test_their_gradient_goes_through_all_members(surrogate) -> None:
    model, _ = trained()
    predict = surrogate(members(model))
    # Random pixels: digits have flat parts, at whose maxima the pooling has a kink.
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(2, 1, 8, 8, generator=rng, dtype=torch.float64).requires_grad_()

    def score(x: Tensor) -> Tensor:
        return predict(x)[:, 3].sum()

    (slope,) = torch.autograd.grad(score(x), x)
    v = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    h = 1e-6
    with torch.no_grad():
        difference = (score(x + h * v) - score(x - h * v)) / (2 * h)
    assert float((slope * v).sum()) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.parametrize("surrogate", [mean_probability, mean_logit])
def test_members_are_checked(surrogate) -> None:
    model, data = trained()
    x = data.test_images[:2]
    for wrong in (model, lambda x: model(x)[None][:0]):
        with pytest.raises(ValueError, match=r"must have shape \[members, batch, classes\]"):
            surrogate(wrong)(x)
    with pytest.raises(ValueError, match="must be finite; those of 1 of 2 members"):
        surrogate(lambda x: torch.stack([model(x), model(x) * torch.nan]))(x)
    with pytest.raises(TypeError, match="must be a floating-point tensor; got list"):
        surrogate(lambda x: [model(x)])(x)
