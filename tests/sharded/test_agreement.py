"""Sharded parameters move, and conserve, as whole ones do: two processes against one."""

from functools import partial

import pytest

from tests.laws.subjects import subject
from tests.sharded.agreement import MEASURES, rank
from tests.sharded.layouts import FLAT, SQUARE, mesh, placed
from tests.sharded.processes import Processes

SMALL = [
    "dense relu",
    "deep identity_affine",
    "convolution relu_2",
    "grouped convolution relu",
    "grouped convolution identity",
    "transposed convolution identity",
    "flattened relu_1.5",
    "flattened identity",
    "tied autoencoder",
    "softmax head",
    "wide radial",
    "gemma norm",
]
BLOCKS = ["gpt2", "gpt2 untied", "llama"]
"""Every kind of group, port, frame and term; sizes that two processes share unevenly."""


def ratios(names: list[str], shape: tuple[int, ...], layouts: list[str]) -> dict[str, float]:
    """Every measure that does not hold, of every network in every layout; runs in every process."""
    on, found = mesh(*shape), {}
    for name in names:
        for layout in layouts:
            place = partial(placed, layout=(FLAT | SQUARE)[layout], on=on)
            for measure, of in MEASURES.items():
                ratio = of(subject(name), place)
                if not ratio <= 1:
                    found[f"{name}, {layout}: {measure}"] = ratio
    return found


@pytest.mark.parametrize("layout", list(FLAT))
def test_small_networks_on_a_line(layout: str, pair: Processes) -> None:
    assert pair.run(ratios, SMALL, (2,), [layout]) == [{}, {}]


@pytest.mark.parametrize("layout", ["rows", "columns", "matrices only"])
def test_transformers_on_a_line(layout: str, pair: Processes) -> None:
    assert pair.run(ratios, ["gpt2 untied", "llama"], (2,), [layout]) == [{}, {}]


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_rectangles(shape: tuple[int, int], pair: Processes) -> None:
    names = ["grouped convolution identity", "gemma norm"]
    assert pair.run(ratios, names, shape, list(SQUARE)) == [{}, {}]


@pytest.mark.slow
@pytest.mark.parametrize("names", [SMALL, BLOCKS], ids=["small", "blocks"])
def test_four_processes(names: list[str], four: Processes) -> None:
    for shape, layouts in (((2, 2), SQUARE), ((4,), FLAT)):
        assert four.run(ratios, names, shape, list(layouts)) == [{}] * 4


def ranks(name: str) -> list[float]:
    on = mesh(2)
    return [rank(subject(name), partial(placed, layout=cut, on=on)) for cut in FLAT.values()]


@pytest.mark.parametrize("name", ["deep narrow linear", "gemma norm"])
def test_rank(name: str, pair: Processes) -> None:
    assert all(ratio <= 1 for found in pair.run(ranks, name) for ratio in found)
