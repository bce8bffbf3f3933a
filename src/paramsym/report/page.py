"""A self-contained HTML page of one symmetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from markupsafe import Markup

import paramsym
from paramsym.files import write_text
from paramsym.folding import (
    FOLDED_FROM,
    discrete_rows_of,
    folded,
    folded_names,
    is_nonlinear,
    rows_of,
)
from paramsym.report.drawing import draw
from paramsym.report.flat import bars_of, flat_directions
from paramsym.report.html import render
from paramsym.report.style import inline
from paramsym.symmetry import Symmetry

ROWS_SHOWN = 20
"""Families in the table before the rest is folded away."""
_UNUSED_SHOWN = 60
_FEWEST_BARS = 3


@final
@dataclass(frozen=True)
class Totals:
    """The numbers at the top."""

    parameters: int
    group_dim: int
    dim: int
    laws: int


def symmetry_page(
    symmetry: Symmetry,
    title: str,
    out: Path,
    *,
    force: bool = False,
    beyond: Mapping[str, int] | None = None,
) -> Path:
    """Write a page that shows a symmetry; it needs no other file and no network.

    Args:
        symmetry: What to show.
        title: Name of the model.
        out: The HTML file.
        force: Replace the file if it exists.
        beyond: Flat directions of no family, by kind, where a certificate counted them
            (`Certificate.beyond`).

    Returns:
        `out`.

    Raises:
        FileExistsError: If `out` exists and `force` is not set.
        FileNotFoundError: If its folder does not exist.
        IsADirectoryError: If `out` is a folder.
    """
    mode = symmetry.mode
    families = len(symmetry.families)
    every = rows_of(symmetry)
    rows = folded(every) if families > FOLDED_FROM else every
    discrete = discrete_rows_of(symmetry)
    return write_text(
        Path(out),
        render(
            "symmetry.html.j2",
            title=title or "Symmetry",
            lead=_lead(families, symmetry),
            symmetry=symmetry,
            totals=totals_of(symmetry),
            tensors=len(symmetry.parameters),
            rows=rows,
            every=every,
            folded_names=folded_names,
            names=[family.name for family in symmetry.families],
            discrete=folded(discrete) if max(families, len(discrete)) > FOLDED_FROM else discrete,
            log10_order=sum(family.log10_order for family in symmetry.discrete),
            is_nonlinear=any(is_nonlinear(row.moves) for row in every),
            shown=ROWS_SHOWN,
            unused_shown=_UNUSED_SHOWN,
            drawing=draw(symmetry),
            bars=_bars(symmetry, beyond),
            beyond=beyond,
            as_eps_vanishes=any(f.exactness.as_eps_vanishes for f in symmetry.families),
            mode=f"in {mode} mode" if mode != "exported" else "from an exported program",
            other_mode="evaluation" if mode == "train" else "training",
            frozen=sum(not p.trainable for p in symmetry.parameters),
            version=paramsym.__version__,
        ),
        force=force,
    )


def _bars(symmetry: Symmetry, beyond: Mapping[str, int] | None) -> Markup | None:
    """The flat directions as bars, where there are enough of them to compare."""
    bars = bars_of(symmetry)
    if len(bars) < _FEWEST_BARS and beyond is None:
        return None
    if not bars and not any((beyond or {}).values()):
        return None
    figure = flat_directions(bars, together=symmetry.dim, beyond=beyond)
    shown = "; ".join(f"{bar.label}: {bar.dim:,}" for bar in bars)
    return inline(figure, "flat", f"Flat directions by family. {shown}")


def totals_of(symmetry: Symmetry) -> Totals:
    """The symmetry in four numbers."""
    return Totals(
        sum(p.numel for p in symmetry.parameters),
        symmetry.group_dim,
        symmetry.dim,
        symmetry.law_dim,
    )


def _lead(families: int, symmetry: Symmetry) -> str:
    if not families:
        return "The ways in which this network's parameters can move without changing its function."
    spaces = "one family" if families == 1 else f"{families:,} families"
    return (
        "The ways in which this network's parameters can move without changing what it computes: "
        f"{spaces} of transformations, found from its ops"
        + (" and checked numerically." if symmetry.verification else ".")
    )
