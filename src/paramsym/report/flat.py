"""A figure of a symmetry's flat directions: a bar for every family, or those of repeated blocks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paramsym.abbreviation import shorten
from paramsym.folding import folded, rows_of
from paramsym.report import style
from paramsym.report.spaces import kind_of
from paramsym.symmetry import Symmetry

COLORS = {
    "scaling": style.BLUE,
    "linear": style.RED,
    "rotation": style.GREEN,
    "affine": style.YELLOW,
    "pair": style.CYAN,
    "shift": style.PURPLE,
}
MOST_BARS = 24
"""Bars drawn; the smallest of more families share one."""
_LABEL = 52
_INCHES_A_BAR = 0.21


@final
@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: What moves.
        group: Its group, as text; with `×12` where it stands for families of repeated blocks.
        kind: Kind of its group (`spaces.kind_of`), which decides the colour.
        dim: Flat directions.
    """

    label: str
    group: str
    kind: str
    dim: int


def bars_of(symmetry: Symmetry) -> list[Bar]:
    """The families of a symmetry, those of repeated blocks as one, the largest first."""
    kinds = {str(family.group): kind_of(family.group) for family in symmetry.families}
    rows = sorted(folded(rows_of(symmetry)), key=lambda row: -row.dim)
    return [
        Bar(
            shorten(row.name, _LABEL),
            f"{row.group} ×{row.count}" if row.count > 1 else row.group,
            kinds[row.group],
            row.dim,
        )
        for row in rows
    ]


def flat_directions(
    bars: Sequence[Bar], *, together: int | None = None, beyond: Mapping[str, int] | None = None
) -> Figure:
    """Draw bars of flat directions on a logarithmic axis.

    Args:
        bars: The bars, from top to bottom.
        together: Flat directions of all families together: fewer than the sum of the bars where
            they overlap. The sum when absent.
        beyond: Flat directions of no family, by kind, as a certificate counts them
            (`Certificate.beyond`); no bars when absent.

    Returns:
        The figure; `style.save` writes it, `style.inline` puts it into a page.

    Raises:
        ValueError: If there is nothing to draw, or a number of directions is negative.
    """
    beyond = beyond or {}
    if not bars and not any(beyond.values()):
        raise ValueError(
            "`bars` must hold at least one bar, because there is nothing else to draw; got none."
        )
    for name, count in (*beyond.items(), *((bar.label, bar.dim) for bar in bars)):
        if count < 0:
            raise ValueError(f"numbers of flat directions must be 0 or more; {name} has {count}.")
    drawn = list(_at_most(bars))
    count = len(drawn) + len(beyond)
    total = sum(bar.dim for bar in bars) if together is None else together
    with style.figure_style():
        figure = Figure(figsize=(style.WIDTH, 0.75 + _INCHES_A_BAR * count), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        for place, bar in enumerate(drawn):
            axes.barh(place, max(bar.dim, 0.5), color=COLORS.get(bar.kind, style.FAINT), height=0.7)
            _note(axes, place, bar.dim, bar.group)
        labels = [bar.label for bar in drawn]
        face = {"facecolor": "none", "edgecolor": style.INK, "hatch": "////", "linewidth": 0.6}
        for place, dim in enumerate(beyond.values(), len(drawn)):
            axes.barh(place, max(dim, 0.5), height=0.7, **face)
            _note(axes, place, dim, "")
        labels += beyond
        axes.set_yticks(range(count), labels)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        most = max([*(bar.dim for bar in drawn), *beyond.values(), 1])
        axes.set_xlim(0.5, 6 * most)  # room for the numbers behind the bars
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"flat directions (together {total:,})")
        axes.spines["left"].set_visible(False)
    return figure


def _note(axes: Axes, place: int, dim: int, group: str) -> None:
    text = f"{dim:,}   {group}".rstrip()
    axes.annotate(
        text, (max(dim, 0.5), place), (4, 0), textcoords="offset points", va="center", fontsize=7
    )


def _at_most(bars: Sequence[Bar]) -> Iterator[Bar]:
    """The bars, the last of many as one."""
    kept = bars if len(bars) <= MOST_BARS else bars[: MOST_BARS - 1]
    yield from kept
    rest = bars[len(kept) :]
    if rest:
        yield Bar(f"{len(rest)} smaller ones", "", "", sum(bar.dim for bar in rest))
