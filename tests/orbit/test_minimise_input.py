"""What cannot be minimised on an orbit is refused, and the message says why."""

from typing import Any

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import WeightNorm
from tests.laws.subjects import subject

Params = dict[str, Tensor]


def run(objective: Any = None, **more: Any) -> Any:
    model = subject("dense relu")
    given: dict[str, Any] = {
        "symmetry": model.symmetry,
        "params": model.params,
        "objective": objective or WeightNorm(),
    }
    return minimise_on_orbit(**{**given, **more})


def total(params: Params) -> Tensor:
    return torch.stack([p.square().sum() for p in params.values()]).sum()


COUNTER = iter(range(1000))

OBJECTIVES = [
    ("norm", TypeError, "`objective` must be a function"),
    (lambda p: float(total(p).detach()), TypeError, "must return a scalar tensor"),
    (lambda p: total(p).long(), TypeError, "must return a scalar tensor"),
    (lambda p: next(iter(p.values())) * 1, ValueError, "must return a scalar, a tensor of shape"),
    (lambda p: total(p) * float("nan"), ValueError, "must be finite at `params`; got nan"),
    (lambda p: total(p) / 0, ValueError, "must be finite at `params`; got inf"),
    (lambda p: total({k: v.detach() for k, v in p.items()}), ValueError, "does not depend on"),
    (lambda p: torch.tensor(total(p).detach().item()), ValueError, "does not depend on"),
    (lambda p: (total(p) * 1e3).round(), ValueError, "its gradient is zero in every entry"),
    (lambda p: (total(p) - total(p)).sqrt(), ValueError, "the gradient of `objective` must be"),
    (lambda p: total(p) * (1 + next(COUNTER)), ValueError, "a function of the parameters alone"),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "kind", "says"), OBJECTIVES)
def test_objectives_that_are_none(objective: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        run(objective)


class Rough(torch.autograd.Function):
    """An op without a derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("derivative for rough is not implemented")


def test_an_op_without_a_derivative() -> None:
    apply: Any = Rough.apply
    with pytest.raises(ValueError, match="torch says: derivative for rough"):
        run(lambda p: apply(total(p)))


ARGUMENTS = [
    ({"symmetry": None}, TypeError, "`symmetry` must be a symmetry"),
    ({"families": "hidden"}, TypeError, "`families` must be a list of names"),
    ({"families": []}, ValueError, "at least one family"),
    ({"families": ["other"]}, ValueError, "'other' is none of"),
    ({"params": {}}, ValueError, "`params` lacks"),
    ({"iterations": -1}, ValueError, "`iterations` must be a whole number"),
    ({"iterations": True}, ValueError, "`iterations` must be a whole number"),
    ({"tolerance": -1.0}, ValueError, "`tolerance` must be a number"),
    ({"max_condition": 1}, ValueError, "`max_condition` must be above 1"),
    ({"function": lambda p: None}, TypeError, "`function` must return a tensor"),
]


@pytest.mark.parametrize(("arguments", "kind", "says"), ARGUMENTS)
def test_arguments(arguments: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        run(**{"iterations": 1, **arguments})


def test_values_that_are_not_finite() -> None:
    params = dict(subject("dense relu").params)
    name = next(iter(params))
    params[name] = params[name] * float("nan")
    with pytest.raises(ValueError, match="must be finite"):
        run(params=params)


def test_a_symmetry_without_families() -> None:
    params = dict(subject("dense relu").params)
    with pytest.raises(ValueError, match="it has none"):
        run(symmetry=ps.Symmetry.of([], params))


def test_families_that_are_exact_in_a_limit_must_be_named() -> None:
    model = subject("dense relu")
    (family,) = model.symmetry.families
    from dataclasses import replace

    loose = ps.Symmetry.of(
        [replace(family, exactness=ps.Exactness(as_eps_vanishes=True))], model.params
    )
    with pytest.raises(ValueError, match="must be named"):
        run(symmetry=loose)
    assert run(symmetry=loose, families=[family.name]).iterations > 0


def test_a_wall_is_not_crossed() -> None:
    """Where the objective is not finite, or raises, beyond a wall, steps stay in front of it."""
    wall = 1.02 * float(total(dict(subject("dense relu").params)))

    def walled(params: Params) -> Tensor:
        size = total(params)
        return -(wall - size).log() - size

    found = run(walled, iterations=50)
    assert float(total(found.params)) < wall
    assert found.value < found.values[0]
