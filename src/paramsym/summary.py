"""A symmetry as a table for a terminal: families, totals, what was not analysed."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paramsym.family_tables import discrete_table, elements, family_table
from paramsym.folding import (
    AFFINE,
    FOLDED_FROM,
    AnyRow,
    discrete_rows_of,
    folded,
    folded_names,
    is_nonlinear,
    joined_rows_of,
    rows_of,
)

if TYPE_CHECKING:
    from paramsym.evidence import Barrier
    from paramsym.symmetry import Symmetry

LIMIT = 20
"""Rows of families that a summary shows before it cuts them."""

_INDENT = 2


def as_text(symmetry: Symmetry, width: int = 100) -> str:
    """The summary as plain text, in lines of at most `width` characters."""
    file = io.StringIO()
    print_summary(symmetry, Console(file=file, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).strip("\n")


def print_summary(
    symmetry: Symmetry, console: Console, *, title: str = "", limit: int | None = LIMIT
) -> None:
    """Print the families, discrete ones too, the totals, the barriers, unused parameters and the
    verification.

    Args:
        symmetry: What to describe.
        console: Where to; its width decides how names are shortened.
        title: Name of the model.
        limit: Most rows of families. Where there are many, those that differ in an index alone
            (`blocks.0…11`) share a row, and what is still too much is counted. `None` shows every
            family by itself.
    """
    console.print(_heading(symmetry, title), highlight=False)
    withdrawn = symmetry.verification.withdrawn if symmetry.verification else ()
    if withdrawn:
        _print_withdrawn(withdrawn, console)
    _print_families(symmetry, console, limit)
    _print_discrete(symmetry, console, limit)
    _print_totals(symmetry, console)
    _print_barriers(symmetry.barriers, console)
    _print_circumstances(symmetry, console, limit)
    _print_check(symmetry, console)


# -- families ------------------------------------------------------------------------------------


def _print_families(symmetry: Symmetry, console: Console, limit: int | None) -> None:
    rows = rows_of(symmetry) if limit is None else joined_rows_of(symmetry)
    if not rows:
        note = Text("No continuous symmetry was found", style="bold")
        if symmetry.barriers:
            note.append(", but not all ops were analysed (see below)")
        console.print(_indented(note.append("."), below=1), highlight=False)
        return
    shown, hidden, room = *_cut(rows, limit, fold=len(rows) > FOLDED_FROM), console.width - _INDENT
    console.print(_indented(family_table(shown, room, full_names=limit is None)))
    if hidden:
        more = f"… and {hidden} more families (all: `--all`, or `symmetry.families`)"
        console.print(_indented(Text(more, style="dim")), highlight=False)
    if any(is_nonlinear(row.moves) for row in shown):
        _note(
            console,
            "* moves nonlinearly: by amounts that depend on other parameters (the gain of a norm, "
            "weights that a bias compensates for).",
        )
    if any(row.group.startswith(AFFINE) for row in shown):
        _note(
            console,
            "Aff(n) is GL(n) with the shift of the hidden bias, which are two families (`--all`).",
        )
    console.print()


def _cut(rows: list[AnyRow], limit: int | None, *, fold: bool) -> tuple[list[AnyRow], int]:
    """The rows to show, and how many families are not in them."""
    if limit is None:
        return rows, 0
    rows = folded(rows) if fold else rows
    return rows[:limit], sum(row.count for row in rows[limit:])


def _print_discrete(symmetry: Symmetry, console: Console, limit: int | None) -> None:
    fold = max(len(symmetry.families), len(symmetry.discrete)) > FOLDED_FROM
    shown, hidden = _cut(discrete_rows_of(symmetry), limit, fold=fold)
    room = console.width - _INDENT
    if not shown:
        return
    heading = Text("Permutations and signs", style="bold")
    heading.append(" that none of these groups contains" * bool(symmetry.families), style="dim")
    console.print(_indented(heading), highlight=False)
    console.print(_indented(discrete_table(shown, room, full_names=limit is None)))
    if hidden:
        more = f"… and {hidden} more (all: `--all`, or `symmetry.discrete`)"
        console.print(_indented(Text(more, style="dim")), highlight=False)
    console.print()


# -- the rest ------------------------------------------------------------------------------------


def _heading(symmetry: Symmetry, title: str) -> Text:
    numel = sum(p.numel for p in symmetry.parameters)
    tensors = len(symmetry.parameters)
    parts = [
        _plural(numel, "parameter") + f" in {_plural(tensors, 'tensor')}",
        f"{symmetry.mode} mode" if symmetry.mode != "exported" else "exported program",
    ]
    text = Text(f"{title or 'Symmetry'}", style="bold")
    return text.append("  " + " · ".join(parts) + "\n", style="not bold dim")


def _print_totals(symmetry: Symmetry, console: Console) -> None:
    numel = sum(p.numel for p in symmetry.parameters)
    flat, laws = symmetry.dim, symmetry.law_dim
    most = ["≤ " if bound else "" for bound in (symmetry.dim_is_bound, symmetry.law_dim_is_bound)]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True, justify="right", style="bold")
    table.add_column(style="dim")
    share = f"{100 * flat / numel:.3g}% of all directions; " if numel else ""
    table.add_row("group dimension", f"{symmetry.group_dim:,}", "of all families together")
    along = "moving along them changes no output"
    table.add_row("flat directions", f"{most[0]}{flat:,}", share + along)
    along = "constant along gradient flow of any loss"
    table.add_row("conserved quantities", f"{most[1]}{laws:,}", along)
    if symmetry.discrete:
        order = sum(family.log10_order for family in symmetry.discrete)
        table.add_row("discrete symmetries", elements(order), "permutations and signs, together")
    console.print(_indented(table, below=not any(most)), highlight=False)
    if any(most):
        _note(
            console,
            "≤: families share parameters, and their joint rank is too large to compute; these are "
            "sums over families.",
        )
        console.print()


def _print_barriers(barriers: tuple[Barrier, ...], console: Console) -> None:
    if not barriers:
        _note(console, "Every op was analysed.")
        return
    heading = Text("Not analysed", style="bold yellow")
    heading.append(
        " — symmetries may exist behind these ops; none is reported there", style="not bold yellow"
    )
    console.print(_indented(heading), highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("op", no_wrap=True, style="yellow")
    table.add_column("count", no_wrap=True, justify="right")
    table.add_column("where", overflow="fold")
    table.add_column("reason", overflow="fold", style="dim")
    for barrier in barriers:
        where = _first_few(folded_names(barrier.where), 2)
        table.add_row(Text(barrier.op), str(barrier.count), Text(where), Text(barrier.reason))
    console.print(_indented(table))
    _note(console, "A rule for an op lifts it: `paramsym.register_rule`, docs/adding-an-op.md.")
    console.print()


def _print_circumstances(symmetry: Symmetry, console: Console, limit: int | None) -> None:
    if symmetry.mode_dependent:
        other = "evaluation" if symmetry.mode == "train" else "training"
        _note(
            console,
            f"The model computes another function in {other} mode; all of this holds in "
            f"{symmetry.mode} mode only.",
        )
    frozen = [p for p in symmetry.parameters if not p.trainable]
    if frozen:
        _note(
            console,
            f"{_plural(len(frozen), 'frozen tensor')}; a family that moves one has no laws.",
        )
    altered = [p for p in symmetry.parameters if p.altered_gradient]
    if altered:
        first = altered[0]
        _note(
            console,
            f"{_plural(len(altered), 'tensor')} with a gradient that is not the function's; a "
            f"family that moves one has no laws ({first.name}: {first.altered_gradient}).",
        )
    if symmetry.unused:
        names = ", ".join(symmetry.unused) if limit is None else _first_few(symmetry.unused, 4)
        _note(console, f"Unused, the outputs do not depend on them: {names}.", style="yellow")


def _print_check(symmetry: Symmetry, console: Console) -> None:
    check = symmetry.verification
    if check is None:
        _note(console, "Unverified: nothing was checked numerically.", style="bold yellow")
        return
    if check.discrete is not None:
        _note(
            console,
            "✓ checked in float64: random permutations and signs change the outputs by "
            f"{check.discrete:.0e} relative (rounding bound {check.discrete_tolerance:.0e}).",
            style="green",
        )
    if not symmetry.families:
        return
    derivative = "" if check.derivative is None else f", derivative {check.derivative:.0e}"
    _note(
        console,
        f"✓ checked in float64: moving all families at once changes the outputs by "
        f"{check.invariance:.0e} relative{derivative} (rounding bound {check.tolerance:.0e}).",
        style="green",
    )
    defects = [f.exactness.defect for f in symmetry.families if f.exactness.defect is not None]
    if defects:
        _note(
            console,
            "as ε→0: exact for a vanishing ε of the normalisation; at the model's own ε, moving by "
            f"0.1 changes the outputs by {max(defects):.0e}.",
        )


def _print_withdrawn(names: tuple[str, ...], console: Console) -> None:
    heading = Text(f"WITHDRAWN: {_plural(len(names), 'family', 'families')} failed the numerical ")
    heading.append("check and is not listed. This is a bug of paramsym; please report it.")
    heading.stylize("bold red")
    console.print(_indented(heading), highlight=False)
    for name in names:
        console.print(_indented(Text(f"  {name}", style="red")), highlight=False)
    console.print()


def _indented(block: RenderableType, *, below: int = 0) -> Padding:
    return Padding(block, (0, 0, below, _INDENT), expand=False)


def _note(console: Console, text: str, *, style: str = "dim") -> None:
    console.print(_indented(Text(text, style=style)), highlight=False)


def _first_few(names: Iterable[str], count: int) -> str:
    iterator: Iterator[str] = iter(names)
    shown = list(itertools.islice(iterator, count))
    hidden = sum(1 for _ in iterator)
    return ", ".join(shown) + (f", +{hidden} more" if hidden else "")


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
