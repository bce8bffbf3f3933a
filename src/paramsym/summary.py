"""A symmetry as a table for a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paramsym.symmetry import Symmetry


def as_text(symmetry: Symmetry, width: int = 100) -> str:
    """The table and the totals as plain text."""
    console = Console(width=width, record=True, file=open_null(), color_system=None)
    print_summary(symmetry, console)
    return console.export_text().rstrip()
