"""Figures: the same bytes for the same data, and several on one page."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from paramsym.report.html import power_of_ten
from paramsym.report.style import INK, RED, WIDTH, figure_style, inline, plain_numbers, save
from tests.report.pages import Page, require_self_contained


def _figure() -> Figure:
    with figure_style():
        figure = Figure(figsize=(WIDTH / 2, 2))
        axes = figure.subplots()
        axes.plot([1, 2, 3], [1, 4, 9], color=RED)
        axes.imshow([[1.0, 2.0], [3.0, 4.0]], extent=(1, 2, 1, 2))
        axes.set_title("θ → gθ")
    return figure


def test_figures_share_a_page() -> None:
    page = Page(
        "<main>" + inline(_figure(), "a", "first") + inline(_figure(), "b", "second") + "</main>"
    )
    require_self_contained(page)
    assert page.tags.count("svg") == 2


def test_ink_follows_the_page() -> None:
    svg = inline(_figure(), "a", 'says "x" & <y>')
    assert INK not in svg
    assert RED not in svg
    assert "currentColor" in svg
    assert "var(--linear)" in svg
    assert 'aria-label="says &#34;x&#34; &amp; &lt;y&gt;"' in svg
    assert "max-width: 50%" in svg
    assert "<metadata" not in svg


def test_files_repeat_themselves(tmp_path: Path) -> None:
    save(_figure(), tmp_path, "one")
    save(_figure(), tmp_path, "two")
    for ending in ("svg", "pdf"):
        one, two = (tmp_path / f"{name}.{ending}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert INK in (tmp_path / "one.svg").read_text()


def test_numbers_for_reading() -> None:
    assert power_of_ten(3.2e-16) == "3·10⁻¹⁶"
    assert power_of_ten(3.2e-16, 1) == "3.2·10⁻¹⁶"
    assert power_of_ten(1e-6) == "10⁻⁶"
    assert power_of_ten(0) == "0"
    assert power_of_ten(2.5) == "2.5"
    assert power_of_ten(4.56e7, 1) == "4.6·10⁷"


@pytest.mark.parametrize(("low", "high"), [(1.3, 2.4), (0.02, 2.0), (2e-5, 0.02)])
def test_logarithmic_axes_have_plain_numbers(low: float, high: float) -> None:
    """At least one label, of digits alone, whatever the span."""
    figure = Figure()
    axis = figure.subplots()
    axis.plot([1, 2], [low, high])
    axis.set_yscale("log")
    plain_numbers(axis.yaxis)
    figure.canvas.draw()
    inside = [t.get_text() for t, y in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True)
              if low / 1.1 <= y <= high * 1.1]  # fmt: skip
    assert inside
    assert all(float(text.replace("−", "-")) > 0 for text in inside)
    assert not any(label.get_text() for label in axis.get_yticklabels(minor=True))
