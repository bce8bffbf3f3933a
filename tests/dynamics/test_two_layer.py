"""Analytic derivatives of the paper's networks, against automatic differentiation."""

from typing import Any

import pytest
import torch

from paramsym.dynamics.two_layer import TwoLayer
from tests.dynamics.descents import ACTIVATIONS, loss_of_one, start

EVERY = pytest.mark.parametrize("activation", ACTIVATIONS)
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def bound(dtype: torch.dtype, terms: int, size: torch.Tensor) -> float:
    """Rounding of sums of so many terms, of the size of what is compared."""
    return 8 * terms * torch.finfo(dtype).eps * float(1 + size.abs().max())


@EVERY
@DTYPES
@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 50, 10), (1, 1, 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_gradient(
    activation: str,
    dtype: torch.dtype,
    shape: tuple[int, int, int],
    transposed: bool,
    rng: torch.Generator,
) -> None:
    """Losses and fused gradients are those of autograd, again after the parameters moved."""
    params, Y = start(rng, 3, shape, dtype=dtype)
    objective = TwoLayer(activation, Y, 0.7)
    into = {k: torch.full_like(p, torch.nan) for k, p in params.items()}
    for name in objective.transposed if transposed else ():
        params[name], into[name] = (x[name].mT.contiguous().mT for x in (params, into))
    write = objective.gradient(params, into)
    for _ in range(2):
        write()
        for run in range(3):
            loss = loss_of_one(activation, Y[run], 0.7)
            own = {k: p[run] for k, p in params.items()}
            torch.testing.assert_close(objective.losses(params)[run], loss(own))
            for name, expected in torch.func.grad(loss)(own).items():
                error = (into[name][run] - expected).abs().max()
                # The radial map's derivative loses as much as 1/‖V_i‖² amplifies.
                worst = expected.abs().max()
                assert error <= bound(dtype, sum(shape) * 4, worst), name
        for p in params.values():
            p.mul_(-0.9)


@EVERY
def test_hessian(activation: str, rng: torch.Generator) -> None:
    """The analytic Hessian is that of nested automatic differentiation, in the order U, V."""
    params, Y = start(rng, 2)
    found = TwoLayer(activation, Y[0], 0.7).hessian(params)
    for run in range(2):
        U, V = (params[k][run] for k in ("U", "V"))

        def flat(theta: torch.Tensor, U: torch.Tensor = U, V: torch.Tensor = V) -> torch.Tensor:
            own = {"U": theta[: U.numel()].view_as(U), "V": theta[U.numel() :].view_as(V)}
            return loss_of_one(activation, Y[0], 0.7)(own)

        expected = torch.func.hessian(flat)(torch.cat([U.flatten(), V.flatten()]))
        error = (found[run] - expected).abs().max()
        assert error <= bound(torch.float64, 100, expected)


def test_shared_and_own_targets_agree(rng: torch.Generator) -> None:
    params, Y = start(rng, 2)
    shared = TwoLayer("tanh", Y[0])
    own = TwoLayer("tanh", Y[:1].expand(2, -1, -1))
    assert torch.equal(shared.losses(params), own.losses(params))
    gradients = []
    for objective in (shared, own):
        into = {k: torch.zeros_like(p) for k, p in params.items()}
        objective.gradient(params, into)()
        gradients.append(into)
    assert all(torch.equal(gradients[0][k], gradients[1][k]) for k in params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "`activation` must be one of identity, relu"),
        ({"Y": torch.zeros(3)}, r"`Y` must be a tensor of shape \(m, n\) or .*got \(3,\)"),
        ({"Y": 1.0}, "`Y` must be a tensor .*got float"),
        ({"scale": 0.0}, "`scale` must be a positive number; got 0.0"),
        ({"scale": float("nan")}, "`scale` must be a positive number; got nan"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoLayer(**{"activation": "relu", "Y": torch.zeros(3, 5), **settings})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"U": torch.zeros(2, 3, 9).double()}, r"that fit Y of shape \(3, 5\); got \(2, 3, 9\)"),
        ({"V": torch.zeros(2, 4, 6).double()}, r"that fit Y"),
        ({"V": torch.zeros(3, 4, 5).double()}, r"that fit Y"),
        ({"U": torch.zeros(3, 4).double()}, r"that fit Y"),
        ({"W": torch.zeros(3, 4).double()}, r"must have U and V and nothing else; got \['U'"),
        ({"U": torch.zeros(2, 3, 4)}, "must have the dtype and device of Y, torch.float64"),
    ],
)
def test_bad_params(change: dict[str, torch.Tensor], message: str, rng: torch.Generator) -> None:
    params, Y = start(rng, 2)
    objective = TwoLayer("relu", Y[0])
    for call in (objective.losses, objective.hessian, lambda p: objective.gradient(p, p)):
        with pytest.raises(ValueError, match=message):
            call({**params, **change})


def test_targets_of_other_runs(rng: torch.Generator) -> None:
    params, _ = start(rng, 2)
    _, Y = start(rng, 3)
    with pytest.raises(ValueError, match="that fit Y"):
        TwoLayer("relu", Y).losses(params)
