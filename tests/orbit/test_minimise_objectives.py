"""The objectives against dense twins, and what minimising them does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import paramsym as ps
from paramsym.landscape import hessian
from paramsym.nets.layers import linear
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import (
    GradientNorm,
    HessianTrace,
    Kurtosis,
    LargestEigenvalue,
    QuantisationNoise,
    WeightNorm,
    WeightRange,
)

Params = dict[str, Tensor]


class Case:
    """A small net with its loss, its symmetry and its dense Hessian."""

    def __init__(self, activation: str = "relu") -> None:
        rng = torch.Generator().manual_seed(3)
        first, last = (
            linear(a, b, dtype=torch.float64, generator=rng) for a, b in ((3, 4), (4, 2))
        )
        self.net = nn.Sequential(first, nn.ReLU() if activation == "relu" else nn.Identity(), last)
        self.x = torch.randn(12, 3, generator=rng, dtype=torch.float64)
        # Targets near the outputs: near a minimum the Hessian is not far from definite.
        noise = 0.01 * torch.randn(12, 2, generator=rng, dtype=torch.float64)
        self.params: Params = {k: p.detach() for k, p in self.net.named_parameters()}
        self.y = self.outputs(self.params) + noise
        self.symmetry = ps.discover(self.net, (self.x,))

    def outputs(self, params: Params) -> Tensor:
        return functional_call(self.net, params, (self.x,))

    def loss(self, params: Params) -> Tensor:
        return (self.outputs(params) - self.y).square().mean()


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_against_dense_twins(case: Case) -> None:
    H = hessian(case.loss, case.params)
    grads = torch.func.grad(case.loss)(case.params)
    slope = torch.stack([g.square().sum() for g in grads.values()]).sum()
    torch.testing.assert_close(GradientNorm(case.loss)(case.params).detach(), slope)
    torch.testing.assert_close(LargestEigenvalue(case.loss)(case.params).detach(),
                               torch.linalg.eigvalsh(H)[-1])  # fmt: skip
    # Signs make the diagonal exact, and the rest averages out.
    found = HessianTrace(case.loss, probes=2000)(case.params)
    rest = H - torch.diag(H.diagonal())
    error = float((2 * rest.square().sum() / 2000).sqrt())
    assert abs(float(found.detach() - H.trace())) <= 4 * error
    everything = sum(float(p.square().sum()) for p in case.params.values())
    assert float(WeightNorm()(case.params)) == pytest.approx(everything)
    one = float(case.params["0.weight"].square().sum())
    assert float(WeightNorm(("0.weight",))(case.params)) == pytest.approx(one)


DIFFERENTIABLE = {
    "gradient": lambda c: GradientNorm(c.loss),
    "trace": lambda c: HessianTrace(c.loss, 3),
    "eigenvalue": lambda c: LargestEigenvalue(c.loss),
    "range": lambda c: WeightRange(),
    "range of tensors": lambda c: WeightRange("tensor"),
    "kurtosis": lambda c: Kurtosis(),
    "kurtosis of channels": lambda c: Kurtosis("channel"),
    "noise": lambda c: QuantisationNoise(c.outputs),
    "noise of tensors": lambda c: QuantisationNoise(c.outputs, 8, "tensor"),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_their_gradient_is_their_derivative(case: Case, name: str, rng: torch.Generator) -> None:
    objective = DIFFERENTIABLE[name](case)
    leaves = {k: p.clone().requires_grad_() for k, p in case.params.items()}
    grads = torch.autograd.grad(objective(leaves), list(leaves.values()), materialize_grads=True)
    along = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in case.params.values()]

    def ahead(t: float) -> float:
        there = {k: p + t * v for (k, p), v in zip(case.params.items(), along, strict=True)}
        return float(objective(there).detach())

    slope = float(torch.stack([(g * v).sum() for g, v in zip(grads, along, strict=True)]).sum())
    estimate = (ahead(1e-6) - ahead(-1e-6)) / 2e-6
    assert estimate == pytest.approx(slope, rel=2e-5, abs=1e-8)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_each_can_be_minimised_on_an_orbit(case: Case, name: str) -> None:
    found = minimise_on_orbit(
        case.symmetry, case.params, DIFFERENTIABLE[name](case), iterations=10,
        max_condition=20, function=case.outputs,
    )  # fmt: skip
    assert found.value < found.values[0]
    assert found.drift is not None
    assert found.drift <= 1e-12


def test_less_noise_is_less_error_of_rounding(rng: torch.Generator) -> None:
    """The first-order estimate is what rounding measures, on average over weights."""
    case = Case("relu")
    objective = QuantisationNoise(case.outputs, bits=8, power=400.0, probes=400)
    errors = []
    for _ in range(300):
        moved = dict(case.params)
        for k, p in case.params.items():
            if p.ndim < 2:
                continue
            step = p.abs().amax(1, keepdim=True) / 127
            moved[k] = p + step * (torch.rand(p.shape, generator=rng, dtype=p.dtype) - 0.5)
        change = (case.outputs(moved) - case.outputs(case.params)).square().sum()
        errors.append(float(change / case.outputs(case.params).square().sum()))
    mean = torch.tensor(errors).mean()
    assert float(objective(case.params).detach()) == pytest.approx(float(mean), rel=0.15)


def test_a_dead_channel_has_no_range() -> None:
    dead = {"w": torch.tensor([[0.0, 0.0], [1.0, -2.0]], requires_grad=True)}
    for objective in (WeightRange(), Kurtosis("channel"), WeightRange("tensor")):
        value = objective(dead)
        (grad,) = torch.autograd.grad(value, [dead["w"]])
        assert bool(torch.isfinite(grad).all())
        assert float(value.detach()) > 0
    assert float(WeightRange(power=200.0)(dead).detach()) == pytest.approx(2 * 4, rel=0.02)


def test_axes_choose_the_channels() -> None:
    w = torch.tensor([[1.0, 100.0], [1.0, 100.0]])
    rows = WeightRange(power=200.0)({"w": w})
    columns = WeightRange(power=200.0, axes={"w": 1})({"w": w})
    assert float(rows) == pytest.approx(2 * 2 * 1e4, rel=0.01)
    assert float(columns) == pytest.approx(2 * (1 + 1e4), rel=0.02)


BAD: list[tuple[Any, str]] = [
    (lambda c: HessianTrace(c.loss, 0), "`probes` must be at least 1"),
    (lambda c: WeightRange(power=1.0), "`power` must be"),
    (lambda c: QuantisationNoise(c.outputs, 1), "`bits` must be at least 2"),
    (lambda c: WeightNorm(("other",))(c.params), "`names` has 'other'"),
    (lambda c: WeightNorm(())(c.params), "must leave at least one"),
    (lambda c: WeightRange("row")(c.params), '`per` must be "channel" or "tensor"'),
    (lambda c: Kurtosis()({"b": torch.ones(3)}), "weight of two axes"),
    (lambda c: GradientNorm(c.outputs)(c.params), "`loss` must return a scalar"),
    (lambda c: GradientNorm(lambda p: torch.ones(()))(c.params), "does not depend on"),
]


@pytest.mark.parametrize(("make", "says"), BAD)
def test_bad_input(case: Case, make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(case)


def test_attention_has_second_derivatives() -> None:
    """Its fused kernel has none; the objectives use the plain one."""
    attention = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    params = {k: p.detach() for k, p in attention.named_parameters()}

    def loss(p: Params) -> Tensor:
        q = functional_call(attention, p, (x, x, x))[0]
        return nn.functional.scaled_dot_product_attention(q, q, q).square().mean()

    leaves = {k: p.requires_grad_() for k, p in params.items()}
    value = GradientNorm(loss)(leaves)
    grads = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
    assert any(bool(g.any()) for g in grads)
