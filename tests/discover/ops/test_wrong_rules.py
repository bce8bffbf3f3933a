"""Rules made wrong, one at a time: the cases of the ops notice."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from paramsym.discovery import walk as walking
from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops import RULES
from paramsym.discovery.ops.indexing import anywhere
from paramsym.discovery.ops.registry import Call, Result, Rule
from paramsym.discovery.ops.sums import add
from tests.discover.cases import Case, check
from tests.discover.ops import (
    test_complexes,
    test_indexing,
    test_linear,
    test_losses,
    test_pooling,
    test_transforms,
)
from tests.discover.test_planted_faults import planted


def no_facts(call: Call) -> Result:
    """As if nothing of the argument came out, and nothing were asked of it."""
    return call.outputs()


def passing(call: Call) -> Result:
    """As if the labels passed entry by entry, without a fact."""
    value = call.values()[0]
    return call.outputs(call.output(pad_left(value.layers, len(call.shape))))


def rows_only(call: Call) -> Result:
    """As if an index took whole rows."""
    value = call["self"]
    return call.output(anywhere(call, value, (call["dim"] % len(value.shape),)))


def first_summand(call: Call) -> Result:
    """As if only the first of two summands counted."""
    return call.output(pad_left(call["self"].layers, len(call.shape)))


def channels_fastest(call: Call) -> Result:
    """Patches in another order."""
    right = RULES_BEFORE["im2col"](call)
    assert isinstance(right, Value)
    places = call.shape[-2] // call["self"].shape[-3]
    layers = [
        Layer(np.tile(x.labels[..., ::places, :], (1, places, 1)), x.exponent) for x in right.layers
    ]
    return call.output(layers)


def same_space(call: Call) -> Result:
    """Distances as if any matrix kept them."""
    left, right = call["x1"], call["x2"]
    add(replace(call, shapes=(left.shape,)), left, Value(left.shape, right.layers), -1)
    return call.output()


def other_letters(call: Call) -> Result:
    """An einsum of three as if the last operand did not count."""
    if len(call["tensors"]) < 3:
        return RULES_BEFORE["einsum"](call)
    first, second, third = call["tensors"]
    inputs = "bi,ih->bh"
    arguments = {"equation": inputs, "tensors": [first, second]}
    RULES_BEFORE["einsum"](replace(call, arguments=arguments, shapes=((len(first.shape), 3),)))
    return call.output([x for x in pad_left(third.layers, 2) if 1 in x.axes])


RULES_BEFORE: dict[str, Rule] = dict(RULES)

Between = dict[str, Callable]


def indexed(name: str, table: Between, families: dict[str, int]) -> Case:
    return test_indexing.case(name, table[name], families, gap=None)


def named(cases: list[Case], name: str) -> Case:
    (found,) = [case for case in cases if case.name == name]
    return found


ENTRYWISE = {"T₊(4)": 1}
FAULTS: list[tuple[str, Rule, Case]] = [
    ("gather", rows_only, indexed("gathered entries", test_indexing.ENTRYWISE, ENTRYWISE)),
    ("take_along_dim", passing, indexed(
        "entries taken along", test_indexing.ENTRYWISE, ENTRYWISE)),
    ("scatter_add", first_summand, indexed(
        "entries scattered and added", test_indexing.ENTRYWISE, ENTRYWISE)),
    ("_fft_r2c", passing, named(test_transforms.CASES, "along the features: one scale")),
    ("im2col", channels_fastest, named(
        test_transforms.CASES, "patches of several pixels, read as a whole")),
    ("lerp", no_facts, named(test_transforms.CASES, "time, interpolated between rows")),
    ("addcmul", no_facts, named(test_transforms.CASES, "time, product added")),
    ("angle", passing, named(test_complexes.CASES, "angles")),
    ("polar", no_facts, named(test_complexes.CASES, "modulus and angle")),
    ("vdot", no_facts, named(test_linear.CASES, "a vector divided by the square of a norm")),
    ("einsum", other_letters, named(test_linear.CASES, "einsum, three operands")),
    ("_trilinear", no_facts, named(
        test_linear.CASES, "bilinear: both spaces, and the relu units behind")),
    ("mse_loss", no_facts, named(test_losses.CASES, "loss, squares")),
    ("huber_loss", no_facts, named(test_losses.CASES, "loss, huber")),
    ("cdist", same_space, named(test_losses.CASES, "all distances")),
    ("feature_dropout", passing, named(test_pooling.CASES, "dropped channels")),
]  # fmt: skip


@pytest.mark.parametrize(("op", "wrong", "case"), FAULTS, ids=[f"{f[0]}, {f[2]}" for f in FAULTS])
def test_it_is_noticed(op: str, wrong: Rule, case: Case) -> None:
    with planted(op, wrong), pytest.raises((AssertionError, ValueError)):
        check(replace(case, gap=None))


def test_a_fault_that_does_nothing_is_not_noticed() -> None:
    """The same cases under the rules as they are."""
    for _, _, case in FAULTS:
        check(replace(case, gap=None))


def test_a_stopped_gradient_that_passes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What training does not see would move."""
    case = Case("half stopped", half_stopped, ((40, 5),), {}, gap=None, barriers=("detach",))
    check(case)
    monkeypatch.setattr(walking, "_live", lambda value, facts: replace(value, stopped=None))
    with pytest.raises(AssertionError):
        check(case)


def half_stopped() -> torch.nn.Module:
    return test_indexing.around(lambda h, x: h + h.detach())
