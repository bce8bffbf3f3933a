"""Targets that exclude each other are refused with a reason, and no others are."""

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

import paramsym as ps
from paramsym.orbit.target_certificate import exclusion
from paramsym.orbit.target_scalings import DOUBTFUL, ScalingProblem
from paramsym.orbit.target_weights import squares
from tests.laws.networks import dense

F64 = torch.float64


def loop() -> tuple[ps.Symmetry, dict[str, Tensor]]:
    """Scalings of the rows and of the columns of one matrix."""
    params = {"W": torch.ones(2, 2, dtype=F64)}
    rows, columns = (
        ps.Family(name, ps.PositiveScaling(2), (ps.Port.along("W", (2, 2), axis),))
        for name, axis in (("rows", 0), ("columns", 1))
    )
    return ps.Symmetry.of([rows, columns], params), params


def test_a_sum_that_has_one_value() -> None:
    """Rows and columns have the same sum of squares, whatever the scales."""
    symmetry, params = loop()
    with pytest.raises(ValueError, match=r"not attainable .* together.*is 0 wherever") as caught:
        ps.set_conserved(symmetry, params, {"rows": 1.0, "columns": 2.0})
    text = str(caught.value)
    assert len(re.findall(r"Q\['(rows|columns)'\]\[\d\]", text)) == 4
    assert "the targets give 2" in text
    target = {"rows": torch.tensor([1.0, 3.0]), "columns": torch.tensor([2.5, 1.5])}
    moved = ps.set_conserved(symmetry, params, target)
    assert float((moved["W"].square().sum(1) - torch.tensor([1.0, 3.0])).abs().max()) < 1e-12


def chain(rng: torch.Generator) -> tuple[ps.Symmetry, dict[str, Tensor]]:
    """x → a → b, and nothing reads b: Q_a + Q_b = ‖x → a‖² is positive."""
    params = {
        "first": torch.randn(1, 3, generator=rng, dtype=F64),
        "second": torch.randn(1, 1, generator=rng, dtype=F64),
    }
    one = ps.PositiveScaling(1)
    first, read = ps.Port.along("first", (1, 3), 0), ps.Port.along("second", (1, 1), 1, dual=True)
    second = ps.Port.along("second", (1, 1), 0)
    families = [ps.Family("a", one, (first, read)), ps.Family("b", one, (second,))]
    return ps.Symmetry.of(families, params), params


def test_a_sum_that_has_one_sign(rng: torch.Generator) -> None:
    """Both targets are attainable alone."""
    symmetry, params = chain(rng)
    for name, q in (("a", -2.0), ("b", 1.0)):
        ps.set_conserved(symmetry, params, {name: q}, others="free")
    message = r"− Q\['a'\]\[0\] − Q\['b'\]\[0\] is negative, minus a sum of squares"
    with pytest.raises(ValueError, match=message):
        ps.set_conserved(symmetry, params, {"a": -2.0, "b": 1.0})
    ps.set_conserved(symmetry, params, {"a": -2.0, "b": 2.1})


def test_the_boundary_is_out_of_reach(rng: torch.Generator) -> None:
    symmetry, params = chain(rng)
    target = {"a": torch.tensor([-1.0], dtype=F64), "b": torch.tensor([1.0], dtype=F64)}
    reason = exclusion(list(symmetry), target, params)
    assert reason is not None
    assert reason.asked == 0
    assert not reason.vanishes
    assert "wherever these families lead, and" in str(reason)
    assert "lead without translations, and" in str(replace(reason, affine=True))


def sparse(rng: torch.Generator, degree: float) -> tuple[ps.Symmetry, dict[str, Tensor]]:
    """Three layers of scalings with many weights that are zero."""
    shapes = {"A": (3, 2), "B": (3, 3), "C": (2, 3)}
    params = {
        k: torch.randn(s, generator=rng, dtype=F64) * (torch.rand(s, generator=rng) < 0.5)
        for k, s in shapes.items()
    }

    def along(name: str, axis: int, dual: bool = False) -> ps.Port:
        alpha = degree if dual else 1.0
        return ps.Port.along(name, shapes[name], axis, dual=dual, degree=alpha)

    three = ps.PositiveScaling(3)
    families = [
        ps.Family("A → B", three, (along("A", 0), along("B", 1, True))),
        ps.Family("B → C", three, (along("B", 0), along("C", 1, True))),
    ]
    return ps.Symmetry.of(families, params), params


def attainable(symmetry: ps.Symmetry, params: dict[str, Tensor], q: Tensor) -> float:
    """Twin: the largest t with Q* = Dᵀw and all w ≥ t, over all entries that are not zero; positive
    if and only if the target is attainable. D is read off the action, entry by entry."""
    count = sum(f.group.n for f in symmetry)
    rows = []
    for name, p in params.items():
        for at in itertools.product(*map(range, p.shape)):
            if float(p[at]) == 0:
                continue
            row = []
            for k in range(count):
                u = torch.zeros(count, dtype=F64)
                u[k] = 1
                parts = u.split([f.group.n for f in symmetry])
                g = {f.name: s.exp() for f, s in zip(symmetry, parts, strict=True)}
                row.append(float((symmetry.act(g, params)[name][at] / p[at]).log()))
            rows.append(row)
    D = torch.tensor(rows, dtype=F64)
    # w = t + v with v ≥ 0, and t at most 1.
    equal = torch.cat([D.T, D.sum(0)[:, None]], 1).numpy()
    cost = [0.0] * len(D) + [-1.0]
    bounds = [(0, None)] * len(D) + [(-1.0, 1.0)]
    found = linprog(cost, A_eq=equal, b_eq=q.numpy(), bounds=bounds)
    return float(-found.fun) if found.status == 0 else -1.0


@pytest.mark.parametrize("degree", [1.0, 2.0, 1.5])
def test_refused_if_and_only_if_out_of_reach(degree: float, rng: torch.Generator) -> None:
    """Against the other half of the alternative, by a program for the weights themselves."""
    seen = {True: 0, False: 0}
    for _ in range(12):
        symmetry, params = sparse(rng, degree)
        q = torch.randn(6, generator=rng, dtype=F64).round(decimals=1)
        if float(torch.rand(1, generator=rng)) < 0.5:  # one that some weights have
            point = symmetry.act(symmetry.sample(0.5, generator=rng), params)
            q = torch.cat(list(symmetry.conserved(point).values()))
        target: dict[str, Tensor] = dict(zip(("A → B", "B → C"), q.split(3), strict=True))
        reason = exclusion(list(symmetry), target, params)
        margin = attainable(symmetry, params, q)
        if abs(margin) < 1e-7:
            continue
        assert (reason is None) == (margin > 0)
        seen[reason is None] += 1
        if reason is not None:  # the sign holds at random points of the orbit
            for _ in range(5):
                point = symmetry.act(symmetry.sample(1.0, generator=rng), params)
                Q = torch.cat(list(symmetry.conserved(point).values()))
                size = float((reason.weights * Q).abs().sum())
                assert float(reason.weights @ Q) <= 1e-12 * size
                assert reason.vanishes or float(reason.weights @ Q) < 0
            assert float(reason.weights @ q) >= -1e-9
    assert min(seen.values()) > 0


def test_doubt_comes_after_a_few_steps(
    rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing reads the last layer all Q add up to a positive number; Newton's method would
    go on for its 60 steps."""
    s = dense("relu", (3, 6, 6, 6, 2))
    params = {**s.params, "fc3.weight": torch.zeros_like(s.params["fc3.weight"])}
    target = {f.name: -1.0 for f in s.symmetry}
    target[list(target)[-1]] = 0.5
    newton, steps = ScalingProblem._newton, []

    def counted(self: ScalingProblem, *given: Any) -> Tensor:
        steps.append(1)
        return newton(self, *given)

    monkeypatch.setattr(ScalingProblem, "_newton", counted)
    with pytest.raises(ValueError, match="12 terms more is negative, minus a sum of squares"):
        ps.set_conserved(s.symmetry, params, target)
    assert len(steps) == DOUBTFUL[0]


def test_full_matrices_need_few_rows(rng: torch.Generator) -> None:
    """The number between two sides says the same as all pairs of rows do."""
    params = {"W": torch.rand(4, 5, generator=rng, dtype=F64) + 0.1}
    rows = ps.Family("rows", ps.PositiveScaling(4), (ps.Port.along("W", (4, 5), 0),))
    columns = ps.Family("columns", ps.PositiveScaling(5), (ps.Port.along("W", (4, 5), 1),))
    families = [rows, columns]
    (part,) = squares(families, params)
    assert bool((part.sums > 0).all())
    target = {"rows": torch.ones(4, dtype=F64), "columns": torch.full((5,), 0.8, dtype=F64)}
    assert exclusion(families, target, params) is None
    target["columns"] = target["columns"] * 1.5
    assert exclusion(families, target, params) is not None


def test_spaces_take_part_with_their_traces(rng: torch.Generator) -> None:
    """A linear space between scaled rows and scaled columns: nothing else holds either matrix, so
    that all Q add up to 0."""
    params = {
        "V": torch.randn(2, 2, generator=rng, dtype=F64),
        "U": torch.randn(2, 2, generator=rng, dtype=F64),
    }
    ends = [
        ps.Family("in", ps.PositiveScaling(2), (ps.Port.along("V", (2, 2), 1, dual=True),)),
        ps.Family("out", ps.PositiveScaling(2), (ps.Port.along("U", (2, 2), 0),)),
    ]
    ports = (ps.Port.along("V", (2, 2), 0), ps.Port.along("U", (2, 2), 1, dual=True))
    space = ps.Family("space", ps.GeneralLinear(2), ports)
    symmetry = ps.Symmetry.of([*ends, space], params)
    target = {"in": -1.0, "out": 2.0, "space": torch.eye(2, dtype=F64)}
    with pytest.raises(ValueError, match=r"tr Q\['space'\] is 0 wherever these families lead"):
        ps.set_conserved(symmetry, params, target)
    point = symmetry.act(symmetry.sample(0.3, generator=rng), params)
    reached = symmetry.conserved(point)
    moved = symmetry.conserved(ps.set_conserved(symmetry, params, reached))
    for name, Q in reached.items():
        assert float((moved[name] - Q).abs().max()) < 1e-11


def test_what_no_combination_excludes_is_an_arithmetic_error() -> None:
    """Two narrow spaces whose targets interlace wrongly: neither a trace nor a rank says so."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 3, bias=False),
        torch.nn.Linear(3, 3, bias=False),
        torch.nn.Linear(3, 1, bias=False),
    ).double()
    symmetry = ps.discover(net, (torch.randn(4, 1, dtype=F64),))
    params = {k: p.detach() for k, p in net.named_parameters()}
    first, second = (f.name for f in symmetry if isinstance(f.group, ps.GeneralLinear))
    # The squared singular values of W₂ are s₁ ≥ 9 ≥ s₂ ≥ 8 by the first and s₂ ≤ 0.3 by the second.
    target = {
        first: -torch.diag(torch.tensor([9.0, 8.0, 0.1], dtype=F64)),
        second: torch.diag(torch.tensor([0.3, 0.2, -5.0], dtype=F64)),
    }
    with pytest.raises(ArithmeticError, match=r"was not reached for .* no linear combination"):
        ps.set_conserved(symmetry, params, target)
