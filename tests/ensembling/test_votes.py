"""Votes and uncertainty against twins that go sample by sample."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from paramsym.ensembling import (
    VOTES,
    log_probabilities,
    pairwise_disagreement,
    probabilities,
    uncertainty,
    vote,
)
from tests.ensembling.subjects import F64, rng
from tests.ensembling.twins import entropy, mode


def draw(members: int = 5, batch: int = 200, classes: int = 4, seed: int = 0) -> Tensor:
    return 2 * torch.randn(members, batch, classes, generator=rng(seed), dtype=F64)


@pytest.mark.parametrize(("members", "classes"), [(1, 3), (2, 3), (4, 2), (6, 4), (31, 10)])
def test_mode(members: int, classes: int) -> None:
    logits = draw(members, 300, classes, members)
    assert vote(logits).tolist() == mode(logits)
    # Whole numbers tie within members too.
    tied = logits.round()
    assert vote(tied).tolist() == mode(tied)


def test_ties_go_by_mean_probability_then_to_the_lowest_class() -> None:
    sure, unsure = [0.0, 5.0, 0.0], [0.0, 0.0, 1.0]
    assert vote(torch.tensor([[sure], [unsure]])).item() == 1
    assert vote(torch.tensor([[unsure], [sure]])).item() == 1
    even = torch.tensor([[[0.0, 3.0, 0.0]], [[0.0, 0.0, 3.0]]])
    assert vote(even).item() == vote(even.flip(0)).item() == 1
    assert vote(torch.zeros(3, 2, 4)).tolist() == [0, 0]
    # The largest mean probability of all is no candidate without votes.
    hidden = torch.tensor([[[5.0, 4.9, -9.0]], [[-9.0, 4.9, 5.0]]], dtype=F64)
    assert probabilities(hidden).argmax().item() == 1
    assert vote(hidden).item() == 0


def test_the_order_of_members_does_not_matter() -> None:
    logits = draw(4, classes=3).round()
    for order in itertools.permutations(range(4)):
        assert torch.equal(vote(logits[list(order)]), vote(logits))


def test_means() -> None:
    logits = draw()
    softmax = logits.exp() / logits.exp().sum(-1, keepdim=True)
    assert torch.allclose(probabilities(logits), softmax.mean(0))
    assert torch.equal(vote(logits, "probability"), softmax.mean(0).argmax(-1))
    mean = sum(logits) / len(logits)
    assert isinstance(mean, Tensor)
    assert torch.allclose(probabilities(logits, "logit"), mean.softmax(-1))
    assert torch.equal(vote(logits, "logit"), mean.argmax(-1))
    assert len({tuple(vote(logits, by).tolist()) for by in VOTES}) == 3  # they differ
    shares = probabilities(logits, "mode")
    assert torch.allclose(shares.sum(-1), torch.ones(200, dtype=F64))
    assert shares[0, 2] == (logits[:, 0].argmax(-1) == 2).double().mean()


@pytest.mark.parametrize("by", ["probability", "logit"])
def test_log_probabilities(by: str) -> None:
    logits = draw(3, 4, 3).requires_grad_()
    assert torch.allclose(log_probabilities(logits, by).exp(), probabilities(logits, by))
    assert torch.autograd.gradcheck(lambda z: log_probabilities(z, by), logits)
    far = torch.tensor([[[0.0, -2000.0]], [[0.0, -1000.0]]], dtype=F64)
    wanted = -1000 - math.log(2) if by == "probability" else -1500
    assert log_probabilities(far, by)[0, 1].item() == pytest.approx(wanted)


def test_mode_has_no_gradient() -> None:
    with pytest.raises(ValueError, match="votes by 'mode' are steps, without a gradient"):
        log_probabilities(draw(), "mode")


def test_uncertainty() -> None:
    logits = draw(7, 50, 3)
    found, chosen = uncertainty(logits), mode(logits)
    for b in range(50):
        each = [row.softmax(-1).tolist() for row in logits[:, b]]
        mean = [sum(p) / 7 for p in zip(*each, strict=True)]
        expected = sum(map(entropy, each)) / 7
        named = [row.index(max(row)) for row in each]
        others = sum(c != chosen[b] for c in named) / 7
        pairs = [a != c for a, c in itertools.combinations(named, 2)]
        assert found.entropy[b].item() == pytest.approx(entropy(mean), abs=1e-13)
        assert found.expected_entropy[b].item() == pytest.approx(expected, abs=1e-13)
        gain = found.mutual_information[b].item()
        assert gain == pytest.approx(entropy(mean) - expected, abs=1e-13)
        assert gain >= 0
        assert found.disagreement[b].item() == pytest.approx(others)
        share = pairwise_disagreement(logits)[b].item()
        assert share == pytest.approx(sum(pairs) / len(pairs))


def test_members_that_agree() -> None:
    same = draw(1, 20).expand(6, -1, -1)
    found = uncertainty(same)
    assert found.disagreement.max() == pairwise_disagreement(same).max() == 0
    assert found.mutual_information.max() < 1e-14
    assert torch.equal(vote(same), same[0].argmax(-1))
    certain = torch.tensor([[[0.0, -math.inf]], [[-math.inf, 0.0]]])
    split = uncertainty(certain)
    assert split.entropy.item() == pytest.approx(math.log(2))
    assert split.expected_entropy.item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    "function", [vote, probabilities, log_probabilities, uncertainty, pairwise_disagreement]
)
def test_members_that_are_not_finite_are_named(function: object, bad: float) -> None:
    logits = draw(12)
    logits[3, 5, 0] = logits[11, 5, 1] = logits[11, 9, 1] = bad
    with pytest.raises(
        ValueError,
        match=r"those of 2 of 12 members are NaN or infinite at 2 of 200 samples \(members 3, 11\)",
    ):
        function(logits)  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"members 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"):
        vote(torch.full((12, 1, 2), bad))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"\[members, batch, classes\].* got \[3, 4\]"):
        vote(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"got \[0, 3, 4\]"):
        vote(torch.zeros(0, 3, 4))
    with pytest.raises(TypeError, match=r"floating-point tensor; got torch.int64"):
        uncertainty(torch.zeros(2, 3, 4, dtype=torch.int64))
    with pytest.raises(TypeError, match="floating-point tensor; got list"):
        vote([[[1.0]]])  # type: ignore[arg-type]
    for function in (vote, probabilities, log_probabilities):
        with pytest.raises(ValueError, match=r"`by` must be one of .*; got 'median'"):
            function(draw(), "median")
    with pytest.raises(ValueError, match="at least two members, to compare; got 1"):
        pairwise_disagreement(draw(1))
