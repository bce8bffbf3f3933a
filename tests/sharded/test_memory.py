"""`act_` needs the memory of one parameter more, not that of another model."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.profiler import ProfilerActivity, profile

import paramsym as ps
from tests.blocks.gpt2 import Gpt2
from tests.blocks.gpt2_families import Gpt2Families
from tests.blocks.randomize import randomized
from tests.sharded.layouts import generator, mesh
from tests.sharded.processes import Processes


def peak(run: Callable[[], object]) -> int:
    """Most bytes that torch held during the run beyond those it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        kept = run()
    del kept
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    held = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
            most = max(most, held)
    return most


def _model() -> tuple[nn.Module, ps.Symmetry]:
    """Many parameters of middling size, none of which is much of the whole."""
    model = Gpt2(layers=4, width=64, heads=4, inner=256, vocab=100)
    randomized(model, 1)
    return model, ps.Symmetry.of(Gpt2Families(model).all(), model)


def _sizes(model: nn.Module) -> tuple[int, int]:
    """Bytes of the largest parameter, and of all of them."""
    sizes = [p.numel() * p.element_size() for p in model.parameters()]
    return max(sizes), sum(sizes)


def test_in_place() -> None:
    model, symmetry = _model()
    largest, everything = _sizes(model)
    assert everything > 12 * largest
    g = symmetry.sample(generator=generator())
    params = {k: p.detach() for k, p in model.named_parameters()}
    # A term makes what it adds, and then the sum.
    assert peak(lambda: symmetry.act_(g, model)) <= 2.5 * largest
    assert peak(lambda: symmetry.act(g, params)) >= everything


def test_an_empty_run_has_no_peak() -> None:
    assert peak(lambda: None) == 0
    assert peak(lambda: torch.zeros(1000, dtype=torch.float64)) == pytest.approx(8000, abs=100)


def in_place_sharded() -> tuple[int, int, int]:
    model, symmetry = _model()
    largest, everything = _sizes(model)
    fully_shard(model, mesh=mesh(2))
    g = symmetry.sample(generator=generator())
    # gloo's threads let go of what they sent when they come to it, later on a busy machine: what
    # the action needs is what it takes where they were in time.
    return min(peak(lambda: symmetry.act_(g, model)) for _ in range(6)), largest, everything


def test_in_place_sharded(pair: Processes) -> None:
    for most, largest, everything in pair.run(in_place_sharded):
        assert everything / 2 > 6 * largest
        # The parts sent and received, and the whole parameter that gloo's all-to-all gathers.
        assert most <= 4 * largest
