"""Soundness on random models: what discovery claims without checking must hold."""

from contextlib import ExitStack

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from torch import Tensor, nn

import paramsym as ps
from tests.discover.checking import (
    EPS,
    Args,
    Function,
    as_function,
    detached,
    generic,
    without_eps,
)
from tests.discover.graphs import graphs
from tests.discover.sequences import sequences
from tests.discover.test_planted_faults import linear, planted


def sensitivity(run: Function, params: dict[str, Tensor]) -> float:
    """Relative condition number of the outputs with respect to the parameters.

    How far relative errors of random sign carry the outputs, to first order; and how far errors of
    1e-12 carry them in fact, which sees rounding that derivatives do not (the variance of a
    constant).
    """
    rng = torch.Generator().manual_seed(3)
    worst = 1.0
    for _ in range(2):
        errors = {k: torch.randn(p.shape, generator=rng).sign() * p for k, p in params.items()}
        value, slope = torch.func.jvp(lambda p: run(p), (params,), (errors,))
        moved = run({k: p + 1e-12 * errors[k] for k, p in params.items()})
        size = float(value.abs().max())
        worst = max(worst, float(slope.abs().max()) / size)
        worst = max(worst, float((moved - value).abs().max()) / size / 1e-12)
    return worst


def assert_invariant(model: nn.Module, args: Args, symmetry: ps.Symmetry) -> None:
    """Outputs and their derivative, within the rounding that the model itself amplifies."""
    run, params = as_function(model, args), detached(model)
    before = run(params)
    size = float(before.abs().max())
    assume(1e-6 < size < 1e6)
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(1), discrete=True)
    moved = symmetry.act(g, params)
    after = run(moved)
    depth = 4 + sum(1 for _ in model.modules())
    unit = 64 * EPS * depth * g.condition() ** 2
    bound = unit * max(sensitivity(run, params), sensitivity(run, moved))
    assume(bound < 1e-7)
    assert float((after - before).abs().max()) <= bound * size, (symmetry.families, model)

    M = symmetry.sample_algebra(generator=torch.Generator().manual_seed(2))
    slope = torch.func.jvp(lambda p: run(p), (params,), (symmetry.tangent(M, params),))[1]
    assume(bool(torch.isfinite(slope).all()))  # √ has no derivative at 0
    assert float(slope.abs().max()) <= 10 * bound * size, (symmetry.families, model)


def check(model: nn.Module, args: Args) -> None:
    """Exact families on the model as it is, the others where its ε is gone."""
    model = generic(model)
    symmetry = ps.discover(model, args, verify=False)
    vanishing = [f.name for f in symmetry if f.exactness.as_eps_vanishes]
    exact = [f.name for f in symmetry if not f.exactness.as_eps_vanishes]
    if exact:
        assert_invariant(model, args, symmetry.select(*exact))
    if vanishing:
        assert_invariant(without_eps(model), args, symmetry.select(*vanishing))


@settings(max_examples=140)
@given(graphs())
def test_vectors(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)


@settings(max_examples=100)
@given(graphs(images=True))
def test_images(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)


@settings(max_examples=100)
@given(sequences())
def test_sequences(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)


def test_the_graphs_find_wrong_rules() -> None:
    """With rules that take activations for the identity, some random model changes."""

    @settings(max_examples=300, phases=[Phase.generate])
    @given(graphs())
    def law(drawn: tuple[nn.Module, Args]) -> None:
        check(*drawn)

    with ExitStack() as faults:
        for op in ("tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "relu", "leaky_relu"):
            faults.enter_context(planted(op, linear))
        faults.enter_context(pytest.raises(AssertionError))
        law()


@pytest.mark.slow
@settings(max_examples=2000)
@given(graphs())
def test_many_vectors(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)


@pytest.mark.slow
@settings(max_examples=2000)
@given(graphs(images=True))
def test_many_images(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)


@pytest.mark.slow
@settings(max_examples=2000)
@given(sequences())
def test_many_sequences(drawn: tuple[nn.Module, Args]) -> None:
    check(*drawn)
