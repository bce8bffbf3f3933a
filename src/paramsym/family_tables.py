"""Families as tables for a terminal: what fits into a line, and what is shortened."""

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from paramsym.abbreviation import in_lines
from paramsym.family import EXACT
from paramsym.folding import DiscreteRow, Row, is_nonlinear

_NARROWEST_NAME = 20


def family_table(rows: list[Row], width: int, *, full_names: bool) -> Table:
    """Families, a row each.

    Args:
        rows: The rows.
        width: Characters a line.
        full_names: Whether names stay whole, however long.
    """
    checked = any(row.verified for row in rows)
    columns = {
        "group": [row.group for row in rows],
        "": [f"×{row.count}" if row.count > 1 else "" for row in rows],
        "moves": [_moves(row) for row in rows],
        "dim": [f"{row.group_dim:,}" for row in rows],
        "orbit": [f"{row.dim:,}" for row in rows],
        "laws": [f"{row.laws:,}" if row.laws else "–" for row in rows],
        "holds" if checked else "unchecked": [_holds(row, checked) for row in rows],
    }
    if not any(columns["moves"]):
        del columns["moves"]
    longest = max(cell_len(row.name) for row in rows)
    if _room(columns, width) < longest and columns["dim"] == columns["orbit"]:
        del columns["orbit"]
    return _table([row.name for row in rows], columns, width, full_names=full_names)


def discrete_table(rows: list[DiscreteRow], width: int, *, full_names: bool) -> Table:
    """Discrete families, as `family_table`."""
    columns = {
        "group": [row.group for row in rows],
        "": [f"×{row.count}" if row.count > 1 else "" for row in rows],
        "moves": [row.moves for row in rows],
        "elements": [elements(row.log10_order) for row in rows],
        "holds": ["exactly ✓" if row.verified else "unchecked" for row in rows],
    }
    return _table([row.name for row in rows], columns, width, full_names=full_names)


def elements(log10_order: float) -> str:
    """The order of a group, plainly or as a power of ten."""
    return f"{round(10**log10_order):,}" if log10_order < 6 else f"10^{log10_order:,.0f}"


def _table(
    names: list[str], columns: dict[str, list[str]], width: int, *, full_names: bool
) -> Table:
    if not any(columns.get("", ())):
        columns = {name: cells for name, cells in columns.items() if name}
    room = max(_NARROWEST_NAME, _room(columns, width))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("where", overflow="fold", max_width=room)
    for title in columns:
        right = title in ("dim", "orbit", "laws", "elements")
        table.add_column(title, no_wrap=True, justify="right" if right else "left")
    for name, *cells in zip(names, *columns.values(), strict=True):
        shown = name if full_names else in_lines(name, room)
        table.add_row(Text(shown), *(Text(cell) for cell in cells))
    return table


def _room(columns: dict[str, list[str]], width: int) -> int:
    """What the columns leave for names."""
    taken = sum(max(map(cell_len, (name, *cells))) + 2 for name, cells in columns.items())
    return width - taken


def _holds(row: Row, checked: bool) -> str:
    how = "as ε→0" if row.exactness != str(EXACT) else "exactly"
    if not checked:  # the head of the column says so
        return how
    return f"{how} ✓" if row.verified else f"{how}, unchecked"


def _moves(row: Row) -> str:
    """Nothing where a family moves linearly, as most do; a star where it does so nonlinearly."""
    words = row.moves.replace("compensated ", "").replace("linearly", "").strip(", ")
    return words + "*" * is_nonlinear(row.moves)
