"""`paramsym demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paramsym.cli.talking import user_errors


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the page and its data.", metavar="DIR")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of all randomness.", metavar="N")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A short run, to try it out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier result.")] = False,
) -> None:
    """Train a small CNN on handwritten digits and show its symmetries at work.

    It finds the network's symmetries, moves it far along its orbit without changing what it
    computes, and follows the conserved quantities through training beside the exact law of their
    drift. The result is one HTML page, and the same numbers as JSON. About a minute.

    \b
    Examples:
      paramsym demo                       writes demo/index.html
      paramsym demo --quick --out /tmp/d  a short run
    """
    from paramsym.demo import run

    console = Console(stderr=True)
    with user_errors(ImportError, OSError, ValueError):
        page = run(out, seed=seed, quick=quick, console=console, force=force)
    print(page)
