"""The bars of flat directions: every number is there, and what is not explained is seen."""

import re

import pytest
import torch

from paramsym.discovery import discover
from paramsym.nets import MLP
from paramsym.report.flat import COLORS, MOST_BARS, Bar, bars_of, flat_directions
from paramsym.symmetry import Symmetry
from paramsym.zoo import BUILTIN


def words(figure: object) -> str:
    """All text of a figure."""
    found = [text.get_text() for text in figure.findobj(match=lambda x: hasattr(x, "get_text"))]  # type: ignore[attr-defined]
    return "\n".join(found)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_bars_add_up_to_the_families(name: str) -> None:
    symmetry = discover(*BUILTIN[name](), verify=False)
    bars = bars_of(symmetry)
    assert sum(bar.dim for bar in bars) == sum(family.dim for family in symmetry)
    assert [bar.dim for bar in bars] == sorted((bar.dim for bar in bars), reverse=True)
    assert all(bar.kind in COLORS for bar in bars)


def test_repeated_blocks_share_a_bar() -> None:
    symmetry = discover(MLP([3] * 7), (torch.randn(2, 3),), verify=False)
    assert bars_of(symmetry) == [
        Bar("layers.{0…4} → layers.{1…5}", "T₊(3) ×5", "scaling", 15),
    ]


def test_every_number_is_written_and_drawn_to_scale() -> None:
    bars = [Bar("mlp", "T₊(3072) ×12", "scaling", 36864), Bar("stream", "T₊(1)", "scaling", 1)]
    figure = flat_directions(
        bars, together=36865, beyond={"by these values": 21, "not explained": 0}
    )
    text = words(figure)
    for expected in (
        "mlp",
        "36,864   T₊(3072) ×12",
        "1   T₊(1)",
        "21",
        "by these values",
        "together 36,865",
    ):
        assert expected in text
    assert "not explained" in text
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
    assert widths == [36864, 1, 21, 0.5]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, False, True, True]


def test_without_a_certificate_nothing_is_said_of_the_rest() -> None:
    assert "not explained" not in words(flat_directions([Bar("a", "T₊(2)", "scaling", 2)]))
    assert "not explained" in words(flat_directions([], beyond={"not explained": 3}))


def test_many_bars_end_in_one() -> None:
    bars = [Bar(f"part {i}", "T₊(2)", "scaling", 2) for i in range(MOST_BARS + 5)]
    figure = flat_directions(bars)
    (axes,) = figure.axes
    assert len(axes.patches) == MOST_BARS
    assert "6 smaller ones" in words(figure)
    assert re.search(r"\b12\b", words(figure))
    assert f"together {2 * (MOST_BARS + 5)}" in words(figure)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="`bars` must hold at least one bar"):
        flat_directions([])
    with pytest.raises(ValueError, match="must be 0 or more; not explained has -1"):
        flat_directions([Bar("a", "T₊(2)", "scaling", 2)], beyond={"not explained": -1})
    assert bars_of(Symmetry((), ())) == []
