"""One look for all figures: sizes for a page, colours that colour-blind readers tell apart."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

INK = "#1b1f24"
"""Text and axes; on a page it follows the page's text colour."""
FAINT = "#8b929b"
"""Guides and notes."""

BLUE, RED, GREEN, YELLOW, CYAN, PURPLE = (
    "#3f76b0",
    "#d9596a",
    "#2a8a45",
    "#b9982a",
    "#2fa3c4",
    "#9b3f7d",
)
"""After Paul Tol's bright scheme, a little darker so that thin lines carry on white."""

_ON_A_PAGE = {
    INK: "currentColor",
    FAINT: "var(--soft)",
    BLUE: "var(--scaling)",
    RED: "var(--linear)",
    GREEN: "var(--rotation)",
    YELLOW: "var(--affine)",
    CYAN: "var(--pair)",
    PURPLE: "var(--shift)",
}
"""The page's own colours (templates/base.html.j2), which follow its light or dark scheme."""

WIDTH = 7.2
"""Width of a figure in inches."""

_SETTINGS = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "paramsym",
    "pdf.fonttype": 42,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
}


def plain_numbers(axis: Axis) -> None:
    """Few labels, as plain numbers, on a logarithmic axis that may show less than a decade; to be
    called when all is drawn."""
    low, high = axis.get_view_interval()
    close = high / low < 8
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if close else (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def figure_style() -> Iterator[None]:
    """Make figures inside this block."""
    with mpl.rc_context(_SETTINGS):  # pyright: ignore[reportArgumentType]
        yield


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name.svg` and `name.pdf`, the same bytes for the same figure."""
    with figure_style():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})


def save_bitmap(figure: Figure, folder: Path, name: str, *, dpi: int = 300) -> None:
    """Write `name.png`, on white."""
    with figure_style():
        figure.savefig(folder / f"{name}.png", dpi=dpi, facecolor="white")


def inline(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an `<svg>` element for a page; see `inline_svg`."""
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return inline_svg(buffer.getvalue(), name, description)


def inline_svg(text: str, name: str, description: str) -> Markup:
    """A figure that `save` wrote as SVG, as an `<svg>` element for a page.

    Its colours are the page's, light or dark, and its ids start with `name`, so that several
    figures share a page.

    Args:
        text: The SVG.
        name: A word that no other figure of the page has.
        description: What the figure shows, for readers who do not see it.

    Raises:
        ValueError: If the text is not such an SVG, or could run code in the page.
    """
    start = text.find("<svg")
    width = re.search(r'<svg[^>]*? width="([0-9.]+)pt"', text)
    if start < 0 or width is None:
        raise ValueError("the text is not a figure in SVG.")
    if re.search(
        r"<(script|foreignObject|iframe)|[\s\"'/]on\w+\s*=|javascript:", text, re.IGNORECASE
    ):
        raise ValueError("the SVG has scripts in it, which a figure has not.")
    svg = text[start:]
    for color, variable in _ON_A_PAGE.items():
        svg = svg.replace(color, variable)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg).replace("url(#", f"url(#{name}-")
    share = 100 * float(width[1]) / (72 * WIDTH)
    label = f'role="img" aria-label="{escape(description)}" style="max-width: {share:.0f}%"'
    head = re.sub(r' (width|height|xmlns|version)="[^"]*"', "", svg[: svg.index(">")])
    return Markup(f"{head} {label}{svg[svg.index('>') :]}")
