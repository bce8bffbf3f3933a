"""The dense Hessian against other ways to have it, and its spectrum against closed forms."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.landscape import coordinates, hessian, hessian_spectrum
from paramsym.landscape.expansion import expand
from paramsym.landscape.hessian import dense
from paramsym.nets import MLP, DigitsCNN
from tests.landscape.losses import (
    EPS,
    Params,
    detached,
    normal,
    quadratic,
    regression,
    split,
    with_spectrum,
)


def twin(loss: Callable[[Params], Tensor], params: Params) -> Tensor:
    """The Hessian by `torch.autograd.functional`, row by row, in the same order."""
    order = coordinates(params)
    theta = order.flatten(params)
    found: Any = torch.autograd.functional.hessian(lambda t: loss(order.unflatten(t)), theta)
    return found


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "sigmoid", "gelu", "radial"])
def test_networks(rng: torch.Generator, activation: str) -> None:
    model = MLP((3, 5, 4, 2), activation, dtype=torch.float64, generator=rng)
    loss = regression(model, normal(rng, 7, 3), normal(rng, 7, 2))
    found, expected = hessian(loss, detached(model)), twin(loss, detached(model))
    assert torch.equal(found, found.mT)
    torch.testing.assert_close(found, expected, rtol=0, atol=256 * EPS * float(expected.norm()))


def test_a_convolutional_network(rng: torch.Generator) -> None:
    model = DigitsCNN(channels=(2, 3), hidden=4, rank=2, dtype=torch.float64, generator=rng)
    x, labels = normal(rng, 5, 1, 8, 8), torch.arange(5)

    def loss(params: Params) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, params, (x,)), labels)

    found, expected = hessian(loss, detached(model)), twin(loss, detached(model))
    torch.testing.assert_close(found, expected, rtol=0, atol=512 * EPS * float(expected.norm()))


def test_attention(rng: torch.Generator) -> None:
    def loss(params: Params) -> Tensor:
        q, k, v = (params[name] for name in "qkv")
        return nn.functional.scaled_dot_product_attention(q[None], k[None], v[None]).pow(3).sum()

    params = {name: normal(rng, 4, 3) for name in "qkv"}
    found = hessian(loss, params)

    def by_hand(params: Params) -> Tensor:
        q, k, v = (params[name] for name in "qkv")
        return (torch.softmax(q @ k.mT / 3**0.5, -1) @ v).pow(3).sum()

    torch.testing.assert_close(found, twin(by_hand, params), rtol=1e-12, atol=1e-12)


def test_batches_give_the_same_rows(rng: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from paramsym.landscape import expansion

    model = MLP((3, 5, 2), "tanh", dtype=torch.float64, generator=rng)
    loss = regression(model, normal(rng, 7, 3), normal(rng, 7, 2))
    whole = hessian(loss, detached(model))
    for entries, chunk in ((1, 1), (100, 2)):
        monkeypatch.setitem(expansion.CHUNK_ENTRIES, "cpu", entries)
        assert expand(loss, detached(model)).chunk == chunk
        torch.testing.assert_close(hessian(loss, detached(model)), whole, rtol=0, atol=1e-15)


class NotBatched(torch.autograd.Function):
    """x³, with NumPy in its derivative, which `vmap` cannot see through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return Slope.apply(grads[0], x)  # pyright: ignore[reportReturnType]


class Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, up: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(up, x)
        return 3 * x**2 * up

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        up, x = ctx.saved_tensors
        twice = torch.from_numpy(6 * x.numpy() * up.numpy() * grads[0].detach().numpy())
        return 3 * x**2 * grads[0], twice


def test_ops_that_cannot_be_batched(rng: torch.Generator) -> None:
    x = normal(rng, 4)
    found = hessian(lambda p: NotBatched.apply(p["x"]).sum(), {"x": x})  # pyright: ignore
    torch.testing.assert_close(found, torch.diag(6 * x))


def test_branches_on_values_are_allowed(rng: torch.Generator) -> None:
    def loss(params: Params) -> Tensor:
        return params["a"].pow(2).sum() * (3 if params["a"].sum().item() > 0 else 1)

    assert torch.equal(hessian(loss, {"a": torch.ones(2)}), 6 * torch.eye(2).double())
    assert torch.equal(hessian(loss, {"a": -torch.ones(2)}), 2 * torch.eye(2).double())


def test_derivatives_inside_the_loss(rng: torch.Generator) -> None:
    def loss(params: Params) -> Tensor:
        return torch.func.grad(lambda a: (a**3).sum())(params["a"]).square().sum()

    a = normal(rng, 3)
    torch.testing.assert_close(hessian(loss, {"a": a}), torch.diag(108 * a**2))


def test_random_losses_are_one_function() -> None:
    def loss(params: Params) -> Tensor:
        return (nn.functional.dropout(params["a"], 0.5) ** 2).sum()

    torch.manual_seed(0)
    found = hessian(loss, {"a": torch.ones(64)})
    assert set(found.diagonal().tolist()) == {0.0, 8.0}


def test_tied_parameters(rng: torch.Generator) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.tanh(self.a(x)))

    model = Tied().double()
    x, y = normal(rng, 5, 3), normal(rng, 5, 3)
    loss = regression(model, x, y)
    once = hessian(loss, dict(model.named_parameters()))
    twice = hessian(loss, dict(model.named_parameters(remove_duplicate=False)))
    assert once.shape == twice.shape == (9, 9)
    W = model.a.weight.detach()
    expected = twin(lambda p: (torch.tanh(x @ p["W"].mT) @ p["W"].mT - y).square().mean(), {"W": W})
    torch.testing.assert_close(once, expected)
    assert torch.equal(once, twice)


def test_parameters_that_do_not_matter(rng: torch.Generator) -> None:
    a = normal(rng, 2)
    found = hessian(lambda p: (p["a"] ** 4).sum(), {"b": normal(rng, 3), "a": a})
    torch.testing.assert_close(found, torch.diag(torch.cat([torch.zeros(3), 12 * a**2])))


def test_linear_losses_have_no_curvature() -> None:
    assert not hessian_spectrum(lambda p: 3 * p["a"].sum(), {"a": torch.ones(4)}).any()


def test_parameters_are_left_alone(rng: torch.Generator) -> None:
    model = MLP((3, 4, 2), "tanh", generator=rng)
    params = dict(model.named_parameters())
    before = {k: p.detach().clone() for k, p in params.items()}
    with torch.no_grad():
        hessian(regression(model, torch.ones(2, 3), torch.ones(2, 2)), params)
    for name, p in params.items():
        assert p.grad is None
        assert p.requires_grad
        assert torch.equal(p, before[name])


def test_spectrum(rng: torch.Generator) -> None:
    values = torch.tensor([-3.0, 0, 0, 0.5, 2, 2, 7], dtype=torch.float64)
    loss, params = quadratic(with_spectrum(rng, values)), split(normal(rng, 7))
    found = hessian_spectrum(loss, params)
    torch.testing.assert_close(found, values, rtol=0, atol=64 * EPS * 7)
    # The closed form of the loss at its minimum: only then is it the same at all points.
    torch.testing.assert_close(hessian_spectrum(loss, split(torch.zeros(7).double())), found)


class TestPlantedFaults:
    def test_a_wrong_derivative_breaks_the_symmetry(self, rng: torch.Generator) -> None:
        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
                ctx.save_for_backward(a, b)
                return (a * b**2).sum()

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                a, b = ctx.saved_tensors
                return grads[0] * b**2, grads[0] * (2 * a).detach() * b

        params = {"a": normal(rng, 2), "b": normal(rng, 2)}
        with pytest.raises(ValueError, match="do not commute: its Hessian is asymmetric"):
            hessian(lambda p: Wrong.apply(p["a"], p["b"]), params)  # pyright: ignore

    def test_rounding_is_reported(self, rng: torch.Generator) -> None:
        model = MLP((3, 5, 2), "tanh", dtype=torch.float64, generator=rng)
        loss = regression(model, normal(rng, 7, 3), normal(rng, 7, 2))
        H, asymmetry = dense(expand(loss, detached(model)))
        assert 0 <= asymmetry <= 64 * EPS * float(H.norm())


class TestBadInput:
    params = {"a": torch.ones(3)}  # noqa: RUF012

    def test_not_callable(self) -> None:
        with pytest.raises(TypeError, match="`loss` must be a function of a parameter dict"):
            hessian(torch.ones(()), self.params)  # pyright: ignore[reportArgumentType]

    def test_not_a_scalar(self) -> None:
        with pytest.raises(ValueError, match=r"must return a scalar.* got shape \(3,\).*\.mean"):
            hessian(lambda p: p["a"] ** 2, self.params)

    def test_not_a_real_tensor(self) -> None:
        with pytest.raises(TypeError, match="scalar tensor of real numbers; got float"):
            hessian(lambda p: 1.0, self.params)  # pyright: ignore[reportArgumentType, reportReturnType]
        with pytest.raises(TypeError, match="scalar tensor of real numbers; got torch"):
            hessian(lambda p: p["a"].argmax(), self.params)

    def test_independent_of_the_parameters(self) -> None:
        with pytest.raises(ValueError, match="`loss` does not depend on `params`"):
            hessian(lambda p: p["a"].detach().sum(), self.params)

    def test_too_large(self) -> None:
        with pytest.raises(ValueError, match=r"Hessian in 6325 parameters .*d ≤ 6324.*extreme_eig"):
            hessian(lambda p: p["a"].square().sum(), {"a": torch.ones(6325)})

    def test_integer_parameters(self) -> None:
        with pytest.raises(TypeError, match=r"`params\['a'\]` must be a floating-point tensor"):
            hessian(lambda p: p["a"].sum(), {"a": torch.ones(3).int()})

    def test_not_finite(self) -> None:
        with pytest.raises(ValueError, match="`loss` must be finite at `params`; got inf"):
            hessian(lambda p: (p["a"] / 0).sum(), self.params)
        with pytest.raises(ValueError, match="the gradient of `loss` must be finite; 3 of 3"):
            hessian(lambda p: (p["a"] - 1).sqrt().sum(), self.params)
        with pytest.raises(ValueError, match="the Hessian of `loss` must be finite"):
            hessian(lambda p: (p["a"] - 1).abs().pow(1.5).sum(), self.params)
