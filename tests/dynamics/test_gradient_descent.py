"""Many runs of gradient descent at once: the same as each by itself under torch.optim.SGD."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.drift import at_rest, gradient_descent_step, momentum_step
from paramsym.dynamics.objectives import Functional, Objective
from paramsym.dynamics.two_layer import TwoLayer
from tests.dynamics.descents import ACTIVATIONS, loss_of_one, plain_loop, start
from tests.laws.subjects import subject

EPS = torch.finfo(torch.float64).eps
RATES = [0.02, 0.01, 0.001]
STEPS = 60
RULES = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "all": {"momentum": 0.8, "weight_decay": 0.05},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "all nesterov": {"momentum": 0.8, "weight_decay": 0.05, "nesterov": True},
}
by_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def worst(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[k] - b[k]).abs().max()) for k in a)


@by_rule
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fused", [True, False])
def test_as_torch(activation: str, fused: bool, rule: dict[str, Any], rng: torch.Generator) -> None:
    """Fused and generic descents follow the plain loop, each run with its own rate and target.

    Rounding enters anew at each step, about 30 eps of parameters of size 2, and the loss's
    curvature carries it on; rates are below the inverse of that, so that it grows by a small factor
    at most, momentum's 1/(1−β) included.
    """
    params, Y = start(rng, 3)
    if not fused:  # a loss of one run knows no run, and so one target
        Y = Y[:1].expand(3, -1, -1)
    loss = TwoLayer(activation, Y) if fused else loss_of_one(activation, Y[0])
    found = ps.gradient_descent(
        loss, params, lr=torch.tensor(RATES, dtype=torch.float64), steps=STEPS, runs=3,
        at=range(STEPS + 1), record={"U": lambda p: p["U"], "V": lambda p: p["V"]}, **rule,
    )  # fmt: skip
    assert found.steps.tolist() == list(range(STEPS + 1))
    assert found.diverged_at.tolist() == [-1, -1, -1]
    for run, path in enumerate(plain_loop(activation, params, Y, RATES, STEPS, **rule)):
        for step, expected in enumerate(path):
            here = {k: found.recorded[k][step, run] for k in params}
            size = max(1.0, *(float(p.abs().max()) for p in expected.values()))
            assert worst(here, expected) <= 1e3 * (1 + step) * EPS * size, (run, step)
            value = loss_of_one(activation, Y[run])(expected)
            torch.testing.assert_close(found.loss[step, run], value, rtol=1e-9, atol=1e-9)
        assert torch.equal(found.params["V"][run], found.recorded["V"][-1, run])


def test_float32(rng: torch.Generator) -> None:
    params, Y = start(rng, 2, dtype=torch.float32)
    found = ps.gradient_descent(TwoLayer("tanh", Y), params, lr=0.01, steps=20, runs=2)
    paths = plain_loop("tanh", params, Y, [0.01, 0.01], 20)
    assert found.loss.dtype == found.params["U"].dtype == torch.float32
    for run, path in enumerate(paths):
        here = {k: p[run] for k, p in found.params.items()}
        assert worst(here, path[-1]) <= 1e3 * 21 * torch.finfo(torch.float32).eps


def test_one_run_has_no_axis(rng: torch.Generator) -> None:
    """Without `runs`, parameters, records and losses are those of one run; the fused path too."""
    params, Y = start(rng, 1)
    one = {k: p[0] for k, p in params.items()}
    record = {"norm": lambda p: p["V"].norm(), "V": lambda p: p["V"]}
    loss = loss_of_one("tanh", Y[0])
    for objective in (loss, TwoLayer("tanh", Y[0])):
        found = ps.gradient_descent(objective, one, lr=0.01, steps=7, at=[0, 3, 7], record=record)
        assert found.loss.shape == found.recorded["norm"].shape == (3,)
        assert found.recorded["V"].shape == (3, 4, 5)
        assert found.params["U"].shape == (3, 4)
        assert found.diverged_at == -1
        expected = plain_loop("tanh", params, Y, [0.01], 7)[0]
        assert worst(found.params, expected[-1]) <= 1e3 * EPS
        torch.testing.assert_close(found.loss[0], loss(one))


def test_leaves_its_input_alone(rng: torch.Generator) -> None:
    params, Y = start(rng, 2)
    before = {k: p.clone() for k, p in params.items()}
    found = ps.gradient_descent(TwoLayer("relu", Y), params, lr=0.01, steps=3, runs=2)
    assert all(torch.equal(params[k], before[k]) for k in params)
    assert not any(p.requires_grad or p.is_inference() for p in found.params.values())
    again = ps.gradient_descent(TwoLayer("relu", Y), found.params, lr=0.01, steps=0, runs=2)
    assert torch.equal(again.loss[0], found.loss[-1])
    assert again.steps.tolist() == [0]


def test_default_steps(rng: torch.Generator) -> None:
    params, Y = start(rng, 1)
    found = ps.gradient_descent(TwoLayer("relu", Y), params, lr=1e-3, steps=5000, runs=1)
    steps = found.steps.tolist()
    assert steps[:4] == [0, 1, 2, 3]
    assert steps[-1] == 5000
    assert steps == sorted(set(steps))
    assert 70 < len(steps) <= 102
    assert max(b / a for a, b in pairwise(steps[20:])) < 1.15


def test_any_functional_model(rng: torch.Generator) -> None:
    """A network of modules under torch.func, with an unused parameter, as by torch.optim.SGD."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
    network = network.double()
    x = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    params = {
        name: torch.randn(2, *p.shape, generator=rng, dtype=torch.float64)
        for name, p in network.named_parameters()
    }
    params["unused"] = torch.ones(2, dtype=torch.float64)

    def loss(p: Any) -> Tensor:
        own = {k: v for k, v in p.items() if k != "unused"}
        return torch.func.functional_call(network, own, (x,)).cos().mean()

    found = ps.gradient_descent(loss, params, lr=0.1, steps=30, runs=2, momentum=0.5)
    for run in range(2):
        own = {k: p[run].clone().requires_grad_() for k, p in params.items()}
        engine = torch.optim.SGD(list(own.values()), lr=0.1, momentum=0.5)
        for _ in range(30):
            engine.zero_grad()
            loss(own).backward()
            engine.step()
        expected = {k: p.detach() for k, p in own.items()}
        assert worst({k: p[run] for k, p in found.params.items()}, expected) <= 1e4 * EPS


@by_rule
def test_drift_laws(rule: dict[str, Any]) -> None:
    """Recorded Q and gradients obey the exact law of the engine, step by step."""
    network, lr, steps = subject("dense identity"), 0.05, 40
    symmetry, names = network.symmetry, list(network.symmetry.conserved(network.params))
    families = [symmetry[name] for name in names]
    record: dict[str, Callable[[Any], Tensor]] = {
        f"Q {name}": lambda p, name=name: symmetry.conserved(p)[name] for name in names
    }
    record |= {f"g {k}": lambda p, k=k: torch.func.grad(network.loss)(p)[k] for k in network.params}
    found = ps.gradient_descent(
        network.loss, network.params, lr=lr, steps=steps, at=range(steps + 1), record=record, **rule
    )
    state = at_rest({name: found.recorded[f"Q {name}"][0] for name in names})
    for step in range(steps):
        grads = {k: found.recorded[f"g {k}"][step] for k in network.params}
        before = state.Q
        state = momentum_step(families, state, grads, lr, **rule)
        for family in families:
            Q = found.recorded[f"Q {family.name}"][step + 1]
            error = float((state.Q[family.name] - Q).abs().max())
            assert error <= 1e3 * (1 + step) * EPS * (1 + float(Q.abs().max()))
            if not rule.get("momentum"):
                decay = rule.get("weight_decay", 0.0)
                once = gradient_descent_step(family, before[family.name], grads, lr, decay)
                torch.testing.assert_close(once, state.Q[family.name])


class TestDivergence:
    """A run that blows up is reported, and the others never notice."""

    @pytest.mark.parametrize("fused", [True, False])
    def test_others_go_on(self, fused: bool, rng: torch.Generator) -> None:
        params, Y = start(rng, 1)
        both = {k: p.expand(2, -1, -1) for k, p in params.items()}
        loss = TwoLayer("identity", Y[0]) if fused else loss_of_one("identity", Y[0])
        rates = torch.tensor([10.0, 0.01], dtype=torch.float64)
        record = {"V": lambda p: p["V"].sum(), "sign": lambda p: (p["V"] > 0).sum()}
        options: dict[str, Any] = {"steps": 2500, "record": record, "at": [0, 2, 1500, 2500]}
        found = ps.gradient_descent(loss, both, lr=rates, runs=2, **options)
        alone = ps.gradient_descent(loss, params, lr=0.01, runs=1, **options)
        assert found.diverged_at.tolist() == [1000, -1]
        assert worst({k: p[1:] for k, p in found.params.items()}, alone.params) <= 1e3 * EPS
        assert found.loss[:2].isfinite().all()
        assert found.loss[2:, 0].isnan().all()
        assert found.recorded["V"][2:, 0].isnan().all()
        assert found.recorded["V"][:, 1].isfinite().all()
        assert found.recorded["sign"][2:, 0].tolist() == [0, 0]
        torch.testing.assert_close(found.loss[:, 1:], alone.loss)

    def test_stops_when_all_have(self, rng: torch.Generator) -> None:
        params, Y = start(rng, 2)
        seen: list[int] = []
        found = ps.gradient_descent(
            TwoLayer("identity", Y), params, lr=50.0, steps=10**7, runs=2, at=[0, 30, 10**7],
            progress=seen.append,
        )  # fmt: skip
        assert found.diverged_at.tolist() == [30, 30]
        assert seen == [0, 30]
        assert found.loss.shape == (3, 2)
        assert found.loss[0].isfinite().all()
        assert found.loss[1:].isnan().all()

    def test_functions_that_reject_nan_go_on(self, rng: torch.Generator) -> None:
        """An eigensolver raises an error on NaN in any of the matrices that it is given."""
        params, Y = start(rng, 2)

        def sharpness(p: Any) -> Tensor:
            return torch.linalg.eigvalsh(p["V"] @ p["V"].mT)[-1]

        found = ps.gradient_descent(
            TwoLayer("identity", Y), params, lr=torch.tensor([50.0, 0.01]), steps=60, runs=2,
            at=[0, 60], record={"top": sharpness},
        )  # fmt: skip
        assert found.recorded["top"][1].isfinite().tolist() == [False, True]

    def test_an_infinite_loss_of_finite_parameters(self) -> None:
        start = {"w": torch.tensor([0.0, 1.0], dtype=torch.float64)}
        found = ps.gradient_descent(lambda p: -p["w"].log(), start, lr=0.1, steps=3, runs=2)
        assert found.diverged_at.tolist() == [0, -1]


def test_progress_counts_every_thousand(rng: torch.Generator) -> None:
    params, Y = start(rng, 1, (1, 1, 1))
    seen: list[int] = []
    ps.gradient_descent(
        TwoLayer("relu", Y), params, lr=0.01, steps=2300, runs=1, at=[5], progress=seen.append
    )
    assert seen == [5, 1000, 2000, 2300]


def test_objectives() -> None:
    assert isinstance(TwoLayer("relu", torch.zeros(2, 2)), Objective)
    assert isinstance(Functional(torch.sum), Objective)
    assert not isinstance(lambda p: p, Objective)


NUMBERS = {"w": torch.ones(2, 3).double()}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"params": {}}, TypeError, "`params` must be a dict of tensors by name"),
        ({"params": {"w": torch.ones(2, 3).long()}}, TypeError, "got torch.int64. Convert"),
        ({"params": {"w": 1.0}}, TypeError, "must be a floating-point tensor; got float"),
        ({"params": {"w": torch.ones(())}}, ValueError, r"leading axis of 2 runs; got shape \(\)"),
        ({"params": {**NUMBERS, "v": torch.ones(3, 2)}}, ValueError, "leading axis of 2 runs"),
        ({"params": {**NUMBERS, "v": torch.ones(2)}}, ValueError, "one dtype on one device"),
        ({"runs": 0}, ValueError, "`runs` must be a positive number of runs"),
        ({"runs": True}, ValueError, "`runs` must be a positive number of runs"),
        ({"lr": -0.1}, ValueError, "`lr` must be positive and finite; got -0.1"),
        ({"lr": float("nan")}, ValueError, "`lr` must be positive and finite; got nan"),
        ({"lr": torch.tensor([0.1, 0.0])}, ValueError, "`lr` must be positive and finite"),
        ({"lr": torch.ones(3)}, ValueError, r"one for each of 2 runs; got shape \(3,\)"),
        ({"lr": torch.ones(1, 2)}, ValueError, r"got shape \(1, 2\)"),
        ({"lr": torch.ones(2), "runs": None}, ValueError, "`lr` must be a number; got shape"),
        ({"steps": -1}, ValueError, "`steps` must be a whole number, 0 or more; got -1"),
        ({"steps": 1.5}, ValueError, "`steps` must be a whole number, 0 or more; got 1.5"),
        ({"at": [0, 2, 1]}, ValueError, "`at` must be increasing steps between 0 and 5"),
        ({"at": [0, 0]}, ValueError, "`at` must be increasing"),
        ({"at": [0, 6]}, ValueError, "`at` must be increasing"),
        ({"at": [-1, 6]}, ValueError, "`at` must be increasing"),
        ({"at": []}, ValueError, "`at` must be increasing"),
        ({"at": [0.5]}, TypeError, "float"),
        ({"momentum": 1.0}, ValueError, "`momentum` must be at least 0 and below 1; got 1.0"),
        ({"momentum": -0.1}, ValueError, "`momentum` must be at least 0"),
        ({"momentum": float("nan")}, ValueError, "`momentum` must be at least 0"),
        ({"nesterov": True}, ValueError, "`nesterov` needs a positive `momentum`"),
        ({"weight_decay": -1.0}, ValueError, "`weight_decay` must be finite and not negative"),
        ({"record": {"loss": torch.sum}}, ValueError, "`record` must not have an entry 'loss'"),
        ({"loss": lambda p: p["w"]}, ValueError, r"`loss` must return one number.*got shape \(3,"),
        ({"loss": lambda p: p["w"].sum() > 0}, TypeError, "floating-point tensor; got torch.bool"),
        ({"loss": lambda p: p["w"].sum().detach()}, ValueError, "torch can differentiate"),
    ],
)  # fmt: skip
def test_bad_input(change: dict[str, Any], error: type[Exception], message: str) -> None:
    options = {
        "loss": lambda p: p["w"].square().sum(), "params": NUMBERS, "lr": 0.1, "steps": 5, "runs": 2
    }  # fmt: skip
    with pytest.raises(error, match=message):
        ps.gradient_descent(**{**options, **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"record": {"norm": lambda p: 1.0}},
            TypeError,
            r"`record\['norm'\]` must return a tensor",
        ),
        ({"loss": lambda p: 1.0}, TypeError, "floating-point tensor; got float"),
    ],
)
def test_bad_input_of_one_run(change: dict[str, Any], error: type[Exception], message: str) -> None:
    options = {"loss": lambda p: p["w"].sum(), "params": NUMBERS, "lr": 0.1, "steps": 5}
    with pytest.raises(error, match=message):
        ps.gradient_descent(**{**options, **change})


def test_an_objective_of_ones_own(rng: torch.Generator) -> None:
    """½ a ‖w‖² with its gradient in a plain function, stored the other way round."""

    class Bowl:
        transposed = ("w",)

        def losses(self, params: Any) -> Tensor:
            return params["w"].square().sum((1, 2)) / 2

        def gradient(self, params: Any, into: Any) -> Callable[[], object]:
            assert params["w"].mT.is_contiguous()
            assert into["w"].stride() == params["w"].stride()

            def write() -> None:
                assert not torch.is_grad_enabled()
                assert not torch.is_inference_mode_enabled()
                into["w"].copy_(params["w"])

            return write

        def settings(self) -> dict[str, str]:
            return {}

    w = torch.randn(3, 4, 5, generator=rng, dtype=torch.float64)
    record = {"w": lambda p: p["w"]}
    found = ps.gradient_descent(Bowl(), {"w": w}, lr=0.25, steps=9, runs=3, record=record)
    torch.testing.assert_close(found.params["w"], 0.75**9 * w, rtol=1e-14, atol=0)
    assert found.params["w"].is_contiguous()
    assert torch.equal(found.recorded["w"][0], w)


def test_objective_of_the_wrong_shape() -> None:
    class Wrong:
        def losses(self, params: Any) -> Tensor:
            return torch.zeros(3)

        transposed = ()

        def gradient(self, params: Any, into: Any) -> Callable[[], object]:
            return lambda: None

        def settings(self) -> dict[str, str]:
            return {}

    with pytest.raises(ValueError, match=r"`loss.losses` must return one number a run, shape \(2,"):
        ps.gradient_descent(Wrong(), NUMBERS, lr=0.1, steps=1, runs=2)
