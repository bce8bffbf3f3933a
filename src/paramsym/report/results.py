"""A self-contained HTML page of the figures that `paramsym reproduce` left in a folder."""

import base64
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from markupsafe import Markup

import paramsym
from paramsym.files import write_text
from paramsym.report.html import render
from paramsym.report.style import INK, inline_svg

SCHEMA = "paramsym.verdict/1"
VERDICT = "verdict.json"
MARK = '<meta name="generator" content="paramsym report">'
"""By this line a page is known as one that may be replaced."""


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """A drawing: its SVG for the page, and what stands below it."""

    svg: Markup
    caption: str


@final
@dataclass(frozen=True)
class Link:
    """A file of data beside the page."""

    name: str
    address: str
    size: str


@final
@dataclass(frozen=True, eq=False)
class FigureResult:
    """One folder of results.

    Attributes:
        id: Name of the folder, unique on the page.
        verdict: Content of its `verdict.json`.
        pictures: Its drawings.
        interactive: A plotly figure as JSON, safe inside a `<script>` element, or nothing.
        links: Its files of data.
    """

    id: str
    verdict: dict[str, Any]
    pictures: tuple[Picture, ...]
    interactive: Markup | None
    links: tuple[Link, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings that hold, that do not, and that are open."""
        found = [finding["holds"] for finding in self.verdict["findings"]]
        return {
            "hold": found.count(True),
            "do not hold": found.count(False),
            "are not decided": found.count(None),
        }


def read_results(folder: Path, page: Path) -> list[FigureResult]:
    """All figures in a folder of results, in the paper's order.

    Args:
        folder: What `paramsym reproduce --out` was given.
        page: Where the page will be, for the links to the data.

    Raises:
        FileNotFoundError: If there is no such folder, or no figure in it.
        ValueError: If a result is damaged; the message names its file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}. Make one with `paramsym reproduce all --out {folder}`."
        )
    found = sorted(folder.glob(f"*/{VERDICT}"), key=lambda path: _order(path.parent.name))
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no finished figure. Make some with "
            f"`paramsym reproduce all --out {folder}`."
        )
    return [_read(path.parent, page) for path in found]


def results_page(folder: Path, out: Path, *, force: bool = False) -> Path:
    """Write one page of all figures: claims, verdicts, drawings, links to the data.

    It needs no network: drawings are inside, and plotly's script too where a figure can be turned.
    A page that this function wrote is replaced; any other file only with `force`.

    Args:
        folder: Folder of results.
        out: The HTML file.
        force: Replace the file whatever it is.

    Returns:
        `out`.

    Raises:
        FileNotFoundError, ValueError: As `read_results`; also if `out`'s folder does not exist.
        FileExistsError: If `out` exists, is no such page, and `force` is not set.
        ImportError: If a figure can be turned and plotly is not installed.
    """
    figures = read_results(folder, out)
    turns = any(figure.interactive is not None for figure in figures)
    totals = {name: sum(figure.counts[name] for figure in figures) for name in figures[0].counts}
    text = render(
        "results.html.j2",
        title="The paper's figures, reproduced",
        figures=figures,
        totals=totals,
        plotly=_plotly() if turns else None,
        mark=Markup(MARK),
        ink=INK,
        version=paramsym.__version__,
    )
    return write_text(out, text, force=force or _is_ours(out))


def _is_ours(page: Path) -> bool:
    try:
        with page.open(encoding="utf-8") as file:
            return MARK in file.read(2000)
    except (OSError, UnicodeDecodeError):
        return False


def _order(name: str) -> list[Any]:
    """fig2 before fig10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _read(folder: Path, page: Path) -> FigureResult:
    path = folder / VERDICT
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        if verdict["schema"] != SCHEMA:
            raise ValueError(f"its schema is {verdict['schema']!r} and not {SCHEMA!r}")
        pictures = tuple(
            _picture(folder, figure["name"], figure["caption"], f"{folder.name}-{figure['name']}")
            for figure in verdict["figures"]
        )
        interactive = _interactive(folder) if verdict["interactive"] else None
        links = tuple(
            _link(folder / f"{name}{ending}", page)
            for name, ending in (
                *((table["name"], ".parquet") for table in verdict["tables"]),
                *((figure["name"], ".pdf") for figure in verdict["figures"]),
                ("verdict", ".json"),
            )
        )
        for finding in verdict["findings"]:
            for name in ("claim", "reference", "measured", "holds", "bound", "note"):
                finding[name]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is not a whole result ({type(error).__name__}: {error}). Remove its folder "
            "and run `paramsym reproduce` again, which keeps the finished tasks."
        ) from error
    return FigureResult(folder.name, verdict, pictures, interactive, links)


def _picture(folder: Path, name: str, caption: str, id: str) -> Picture:
    svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
    return Picture(inline_svg(svg, re.sub(r"[^\w-]", "-", id), caption), caption)


def _interactive(folder: Path) -> Markup:
    figure = json.loads((folder / "interactive.json").read_text(encoding="utf-8"))
    # Inside <script> nothing is escaped: no "</script>" may be in it.
    return Markup(json.dumps(figure).replace("<", "\\u003c"))


def _link(path: Path, page: Path) -> Link:
    size = path.stat().st_size
    units = ("bytes", "kB", "MB", "GB")
    power = 0
    while size >= 1000 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    address = Path(os.path.relpath(path, page.parent)).as_posix()
    return Link(path.name, address, f"{size:.3g} {units[power]}")


def _plotly() -> Markup:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(
            "a figure that can be turned needs plotly, which is not installed. "
            "Install it with `pip install 'paramsym[experiments]'`."
        ) from error
    # As a data address, so that nothing in the script can end the element that it is in.
    script = base64.b64encode(get_plotlyjs().encode()).decode()
    return Markup(f"data:text/javascript;base64,{script}")
