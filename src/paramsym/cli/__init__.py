"""The command line: `paramsym inspect`, `paramsym verify`, `paramsym reproduce`, …

Torch is imported inside the commands, so that `--help` answers at once.
"""

from typing import Annotated

import typer

from paramsym.cli.demonstrating import demo
from paramsym.cli.inspecting import inspect
from paramsym.cli.reporting import report
from paramsym.cli.reproducing import reproduce
from paramsym.cli.talking import versions
from paramsym.cli.transforming import transform
from paramsym.cli.verifying import verify

app = typer.Typer(
    name="paramsym",
    help="Continuous symmetries of a neural network's parameters: find them, move along them, "
    "read off what training conserves.",
    epilog='Start with "paramsym inspect cnn", or see it all at work with "paramsym demo".',
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(no_args_is_help=True, short_help="Find the symmetries of a model's parameters.")(
    inspect
)
app.command(
    no_args_is_help=True, short_help="Move a checkpoint's weights; the function stays the same."
)(transform)
app.command(short_help="Check every claim of the paper by measurement.")(verify)
app.command(short_help="Compute, draw and judge the figures of the paper.")(reproduce)
app.command(short_help="Make one page of reproduced figures.")(report)
app.command(short_help="Train a small network and show its symmetries at work.")(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(", ".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit


@app.callback()
def _common(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the script `paramsym`."""
    app()
