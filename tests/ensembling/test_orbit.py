"""Ensembles on the orbit of an exact symmetry: members that compute one function."""

import copy

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.ensembling import pairwise_disagreement
from tests.ensembling.subjects import EPS, F64, rng
from tests.ensembling.twins import loop

K = 6


class Attention(nn.Module):
    """One attention head and a ReLU MLP on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 8)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8, bias=False) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        scores = torch.softmax(self.q(x) @ self.k(x).mT / 8**0.5, -1)
        x = x + self.o(scores @ self.v(x))
        return self.head((x + self.down(torch.relu(self.up(x)))).mean(1))


def perceptron() -> tuple[nn.Module, Tensor]:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Linear(5, 3))
    return net, torch.randn(20, 6)


def convolutional() -> tuple[nn.Module, Tensor]:
    front = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU()]
    return nn.Sequential(*front, nn.Flatten(), nn.Linear(20, 3)), torch.randn(7, 2, 6, 6)


def attention() -> tuple[nn.Module, Tensor]:
    return Attention(), torch.randint(0, 9, (7, 4))


MODELS = {f.__name__: f for f in (perceptron, convolutional, attention)}


def make(name: str, scale: float = 0.5, chunk: int | None = None) -> tuple[ps.Ensemble, Tensor]:
    torch.manual_seed(1)
    model, x = MODELS[name]()
    model = model.to(F64).eval()
    x = x.to(F64) if x.is_floating_point() else x
    symmetry = ps.discover(model, (x,))
    assert symmetry.dim > 0
    return ps.ensemble(model, symmetry, K, scale, generator=rng(), chunk=chunk), x


@pytest.mark.parametrize("name", list(MODELS))
def test_members_compute_one_function(name: str) -> None:
    ensemble, x = make(name)
    out = ensemble(x)
    assert (out - ensemble.model(x)).abs().max() < 500 * EPS * ensemble.condition.max() ** 2
    assert (out - loop(ensemble, x)).abs().max() < 500 * EPS * ensemble.condition.max() ** 2
    assert pairwise_disagreement(out).max() == 0
    weights = [ensemble.member(i) for i in range(K)]
    moved = [n for n in weights[0] if not torch.allclose(weights[0][n], weights[1][n])]
    assert moved


@pytest.mark.parametrize("name", list(MODELS))
def test_scale_zero_is_the_model(name: str) -> None:
    ensemble, x = make(name, 0.0)
    assert torch.allclose(ensemble(x), ensemble.model(x), atol=1e-14)
    assert torch.equal(ensemble.condition, torch.ones(K, dtype=F64))


@pytest.mark.parametrize("chunk", [1, 3, 8, 20, 1000])
def test_slices_change_nothing(chunk: int) -> None:
    ensemble, x = make("perceptron")
    assert torch.allclose(make("perceptron", chunk=chunk)[0](x), ensemble(x), atol=1e-13)


def test_rounding_grows_with_the_condition() -> None:
    """What is left of diversity in float32: rounding, within eps times what g amplifies."""
    ensemble, x = make("perceptron")
    model = copy.deepcopy(ensemble.model).float()
    symmetry = ps.discover(ensemble.model, (x,))
    exact, worst = model(x.float()), []
    for scale in (0.1, 2.0):
        rounded = ps.ensemble(model, symmetry, 40, scale, generator=rng())
        error = (rounded(x.float()) - exact).detach().abs().amax((1, 2))
        size = float(exact.detach().abs().max())
        assert (error < 50 * 2**-24 * rounded.condition**2 * max(1, size)).all()
        worst.append(float(error.max()))
    assert worst[1] > 10 * worst[0]


def test_gradients_and_copies() -> None:
    ensemble, x = make("perceptron")
    x = x.requires_grad_()
    one = torch.autograd.grad(ensemble.model(x).square().sum(), x)[0]
    assert torch.allclose(torch.autograd.grad(ensemble(x).square().sum(), x)[0], K * one)
    twin = copy.deepcopy(ensemble)
    assert torch.equal(twin(x), ensemble(x))
    other = ps.ensemble(twin.model, ps.discover(twin.model, (x,)), K, 0.5, generator=rng(9))
    other.load_state_dict(ensemble.state_dict())
    assert torch.equal(other.member(2)["0.weight"], ensemble.member(2)["0.weight"])


def test_modes() -> None:
    ensemble, x = make("convolutional")
    assert torch.allclose(ensemble(x), ensemble.model(x).expand(K, -1, -1))
    with pytest.raises(ValueError, match=r"`model` is in train mode, but its symmetry was disc"):
        ensemble.train()(x)
    assert ensemble.eval()(x).shape == (K, 7, 3)


def test_a_family_left_out_is_seen() -> None:
    """The law above fails if a reader is not moved: it can fail."""
    ensemble, x = make("perceptron")
    broken = {**ensemble.member(0), "2.weight": dict(ensemble.model.named_parameters())["2.weight"]}
    out = torch.func.functional_call(ensemble.model, broken, (x,))
    assert (out - ensemble.model(x)).abs().max() > 1e-2
