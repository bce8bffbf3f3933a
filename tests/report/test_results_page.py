"""The page of reproduced figures: whole, self-contained, safe, and right in a real browser."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from paramsym.cli import app
from paramsym.report.results import MARK, results_page
from paramsym.report.style import figure_style, inline_svg, save

FINDING: dict[str, Any] = {
    "claim": "Q is conserved.",
    "reference": "Proposition 5.1",
    "measured": "It changes by 3e-12.",
    "value": 3e-12,
    "interval": [1e-12, 5e-12],
    "level": 0.95,
    "bound": "below 1e-10",
    "holds": True,
    "note": "",
}


def _result(out: Path, name: str, *, interactive: bool = False, **more: Any) -> Path:
    """A folder as `paramsym reproduce` writes it."""
    folder = out / f"{name}-quick"
    folder.mkdir(parents=True)
    with figure_style():
        figure = Figure(figsize=(4, 2))
        figure.subplots().plot([0, 1], [1, 0])
    save(figure, folder, "figure")
    (folder / "data.parquet").write_bytes(b"PAR1")
    if interactive:
        plot = {"data": [{"type": "scatter3d", "x": [0, 1], "y": [0, 1], "z": [0, 1]}]}
        text = json.dumps({**plot, "layout": {"title": {"text": "</script><b>"}}})
        (folder / "interactive.json").write_text(text)
    verdict = {
        "schema": "paramsym.verdict/1",
        "figure": name,
        "title": f"About {name}",
        "reference": "Appendix",
        "scale": "quick",
        "seed": 0,
        "seeds": 5,
        "settings": {"loss": "‖Y − UV‖²"},
        "findings": [FINDING, {**FINDING, "holds": False}, {**FINDING, "holds": None}],
        "figures": [{"name": "figure", "caption": "A line."}],
        "tables": [{"name": "data", "columns": ["x"], "rows": 1}],
        "interactive": interactive,
        "tasks": 2,
        "seconds": 3.5,
        "versions": {"torch": "2"},
        "made": "2026-01-01T00:00:00+00:00",
        **more,
    }
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    return folder


def test_the_page_has_every_figure_in_the_papers_order(tmp_path: Path) -> None:
    for name in ("fig10", "fig2", "fig1"):
        _result(tmp_path, name)
    page = results_page(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    places = [page.index(f'id="fig{k}-quick"') for k in (1, 2, 10)]
    assert places == sorted(places)
    assert page.count("<svg") == 3
    assert page.count("does not hold</span>") == page.count("not decided</span>") == 3
    assert 'href="fig2-quick/data.parquet"' in page
    assert "<script" not in page  # nothing to turn


def test_links_are_relative_to_the_page(tmp_path: Path) -> None:
    _result(tmp_path / "results", "fig1")
    (tmp_path / "pages").mkdir()
    page = results_page(tmp_path / "results", tmp_path / "pages" / "a.html").read_text()
    assert 'href="../results/fig1-quick/figure.pdf"' in page


def test_text_is_escaped_and_scripts_are_refused(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    folder = _result(
        tmp_path, "fig1", interactive=True, title=hostile, findings=[{**FINDING, "note": hostile}]
    )
    page = results_page(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    assert hostile not in page
    assert "</script><b>" not in page
    for planted in (hostile, '<g onload="alert(1)"/>', '<a href="javascript:alert(1)"/>'):
        svg = folder / "figure.svg"
        whole = svg.read_text()
        svg.write_text(whole.replace("</svg>", f"{planted}</svg>"))
        with pytest.raises(ValueError, match="scripts"):
            results_page(tmp_path, tmp_path / "index.html")
        svg.write_text(whole)


def test_only_figures_are_put_inline() -> None:
    with pytest.raises(ValueError, match="not a figure"):
        inline_svg("<p>", "a", "b")


def test_an_earlier_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    _result(tmp_path, "fig1")
    out = tmp_path / "index.html"
    results_page(tmp_path, out)
    assert MARK in out.read_text()
    results_page(tmp_path, out)
    out.write_text("<p>mine</p>")
    with pytest.raises(FileExistsError, match="exists"):
        results_page(tmp_path, out)
    assert out.read_text() == "<p>mine</p>"
    results_page(tmp_path, out, force=True)
    assert MARK in out.read_text()


def test_no_results_and_damaged_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        results_page(tmp_path / "absent", tmp_path / "a.html")
    with pytest.raises(FileNotFoundError, match="no finished figure"):
        results_page(tmp_path, tmp_path / "a.html")
    folder = _result(tmp_path, "fig1")
    verdict = (folder / "verdict.json").read_text()
    damages = (
        verdict[:100],
        "[]",
        "{}",
        verdict.replace("verdict/1", "verdict/99"),
        verdict.replace('"claim"', '"klaim"'),
        verdict.replace('"name": "data"', '"name": "gone"'),
    )
    for damaged in damages:
        assert damaged != verdict
        (folder / "verdict.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"fig1-quick/verdict\.json is not a whole result"):
            results_page(tmp_path, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_the_command(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["report", str(tmp_path / "absent")])
    assert result.exit_code == 2
    assert "paramsym reproduce all" in result.stderr
    _result(tmp_path, "fig1")
    result = runner.invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "index.html")
    assert (tmp_path / "index.html").is_file()
    result = runner.invoke(app, ["report", str(tmp_path), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "must be a file" in result.stderr


# -- in a browser ----------------------------------------------------------------------------------

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        # Set by continuous integration, where it must not be missing.
        assert not os.environ.get("PARAMSYM_NEEDS_BROWSER"), "there is no Chromium"
        pytest.skip("there is no Chromium on this machine to open the page in")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-gl=swiftshader"]
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(browser: Any, tmp_path: Path, scheme: str) -> None:
    _result(tmp_path, "fig1", interactive=True)
    _result(tmp_path, "fig3")
    out = results_page(tmp_path, tmp_path / "index.html")
    page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme=scheme)
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(out.as_uri())
    page.wait_for_selector(".turn .main-svg")
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [out.as_uri()]
    assert page.locator("figure svg").count() == 2
    # What would have ended the script is text.
    assert "</script>" in page.locator(".turn .gtitle").text_content()
    # Nothing is wider than the window, at any width of it.
    for width in (1000, 420):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Lines are drawn in a colour that the background is not.
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert ink != paper
    page.locator("nav a").nth(1).click()
    assert page.url.endswith("#fig3-quick")
