"""`paramsym report`."""

from pathlib import Path
from typing import Annotated

import typer

from paramsym.cli.talking import fail, status, user_errors


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="What `paramsym reproduce --out` was given."),
    ] = Path("paramsym-results"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page; DIR/index.html by default.", metavar="PAGE", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite PAGE even if it is no earlier page of this kind."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
) -> None:
    """Make one page of all the figures in DIR.

    It shows each figure, what the paper says about it, what was measured and whether it holds, and
    links to the data beside it. A figure that is worth turning can be turned. The page needs no
    network and nothing else but DIR for the links. An earlier such page is replaced.

    \b
    Examples:
      paramsym reproduce all && paramsym report
      paramsym report results --out results.html

    Exit code 2: a wrong argument, no results, or damaged ones.
    """
    from paramsym.report.results import results_page

    page = folder / "index.html" if out is None else out
    if page.is_dir():
        fail(f"--out must be a file; {page} is a folder. Write `--out {page / 'index.html'}`.")
    with (
        user_errors(ImportError, OSError, ValueError, debug=debug),
        status(f"Reading {folder} …"),
    ):
        results_page(folder, page, force=force)
    print(page)
