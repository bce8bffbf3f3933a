"""The command line: `paramsym inspect` and `paramsym demo`.

Torch is imported inside the commands, so that `--help` answers at once.
"""

import json
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

import paramsym

if TYPE_CHECKING:
    from paramsym.loading import LoadedModel
    from paramsym.symmetry import Symmetry

WITHDRAWN = 1
"""Exit code where a family failed the numerical check: a bug of paramsym."""
USER_ERROR = 2
"""Exit code for a wrong argument, a bad model or an existing file."""

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


def _print_version(wanted: bool) -> None:
    if wanted:
        print(", ".join(f"{name} {number}" for name, number in _versions().items()))
        raise typer.Exit


@app.callback()
def _common(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions."),
    ] = False,
) -> None:
    pass


@app.command(no_args_is_help=True, short_help="Find the symmetries of a model's parameters.")
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A built-in name, package.module:factory, or a .pt2 file.",
            show_default=False,
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write an HTML page, with figures, to this file.", metavar="PAGE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite PAGE if it exists.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the built-in models.")] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every family, with its full name.")
    ] = False,
    train: Annotated[
        bool | None,
        typer.Option(
            "--train/--eval",
            help="Put the model in this mode first; otherwise it stays in its own.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check every family numerically.")
    ] = True,
    seed: Annotated[
        int,
        typer.Option(help="Seed of the check, and of a factory's random parameters.", metavar="N"),
    ] = 0,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Read a .pt2 file even where that can run code inside it."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
) -> None:
    """Find the symmetries of MODEL's parameters, and what training it conserves.

    A factory takes no arguments and returns (model, args) or (model, args, kwargs), with example
    inputs as for model(*args, **kwargs). Its module may lie in the working folder. A .pt2 file is
    written by torch.export.save.

    \b
    Examples:
      paramsym inspect --list                     the built-in models
      paramsym inspect cnn                        a built-in model
      paramsym inspect my_models:resnet --eval    yours, in evaluation mode
      paramsym inspect net.pt2 --json > net.json  an exported program, as data
      paramsym inspect cnn --out cnn.html         a page with figures

    Exit code 2: a wrong argument or a bad model. Exit code 1: a family failed its numerical check,
    which is a bug of paramsym.
    """
    if show_list:
        _print_builtin()
        return
    if not model:
        _fail("MODEL is missing. `paramsym inspect --list` shows the built-in ones.")
    if out is not None:
        _require_writable(out, force)
    with _user_errors(ValueError, TypeError, debug=debug), _status(f"Looking at {model} …"):
        loaded, symmetry = _discover(model, train=train, verify=verify, seed=seed, trust=trust)
    if as_json:
        print(json.dumps(_as_json(symmetry, loaded.title, seed), indent=2))
    else:
        from paramsym.summary import LIMIT, print_summary

        console = Console()
        print_summary(symmetry, console, title=loaded.title, limit=None if show_all else LIMIT)
    if out is not None:
        from paramsym.report.page import symmetry_page

        with _user_errors(OSError, debug=debug), _status(f"Writing {out} …"):
            symmetry_page(symmetry, loaded.title, out, force=force)
        _say(f"Wrote {out}")
    _exit_if_withdrawn(symmetry)


@app.command(short_help="Train a small network and show its symmetries at work.")
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
    drift. The result is one HTML page, and the same numbers as JSON. Two to three minutes on two
    cores.

    \b
    Examples:
      paramsym demo                       writes demo/index.html
      paramsym demo --quick --out /tmp/d  a short run
    """
    from paramsym.demo import run

    console = Console(stderr=True)
    with _user_errors(ImportError, OSError, ValueError):
        page = run(out, seed=seed, quick=quick, console=console, force=force)
    print(page)


def main() -> None:
    """Entry point of the script `paramsym`."""
    app()


# -- inspecting ------------------------------------------------------------------------------------


def _discover(
    name: str, *, train: bool | None, verify: bool, seed: int, trust: bool
) -> tuple["LoadedModel", "Symmetry"]:
    from torch import nn

    from paramsym.discovery import discover
    from paramsym.loading import load_model

    loaded = load_model(name, trust=trust, seed=seed)
    if train is not None:
        if not isinstance(loaded.model, nn.Module):
            raise ValueError(
                f"{loaded.title} is an exported program, whose mode was fixed at export. "
                "Leave out --train and --eval, or export the model in the other mode."
            )
        loaded.model.train(train)
    symmetry = discover(loaded.model, loaded.args, loaded.kwargs, verify=verify, seed=seed)
    return loaded, symmetry


def _as_json(symmetry: "Symmetry", title: str, seed: int) -> dict[str, Any]:
    from paramsym.storage import to_dict

    return {
        **to_dict(symmetry),
        "model": title,
        "totals": {
            "parameters": sum(p.numel for p in symmetry.parameters),
            "group_dim": symmetry.group_dim,
            "flat_directions": symmetry.dim,
            "conserved_quantities": symmetry.law_dim,
        },
        "seed": seed,
        "versions": _versions(),
    }


def _exit_if_withdrawn(symmetry: "Symmetry") -> None:
    withdrawn = symmetry.verification.withdrawn if symmetry.verification else ()
    if withdrawn:
        _say(
            f"error: {len(withdrawn)} of the families found failed the numerical check and were "
            f"withdrawn: {'; '.join(withdrawn)}. This is a bug of paramsym; please report it with "
            "the model."
        )
        raise typer.Exit(WITHDRAWN)


def _print_builtin() -> None:
    from paramsym.zoo import BUILTIN

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, factory in BUILTIN.items():
        table.add_row(name, (factory.__doc__ or "").strip().splitlines()[0])
    Console().print(table, highlight=False)


# -- talking to the user ---------------------------------------------------------------------------


def _versions() -> dict[str, str]:
    return {
        "paramsym": paramsym.__version__,
        "torch": version("torch"),
        "python": platform.python_version(),
    }


def _require_writable(out: Path, force: bool) -> None:
    """Before any work: results are never overwritten by accident."""
    if out.is_dir():
        _fail(f"--out must be a file; {out} is a folder. Write `--out {out / 'page.html'}`.")
    if out.exists() and not force:
        _fail(f"{out} exists. Choose another name, or overwrite it with --force.")
    if not out.parent.is_dir():
        _fail(f"the folder {out.parent} does not exist. Create it first.")


@contextmanager
def _user_errors(*kinds: type[Exception], debug: bool = False) -> Iterator[None]:
    """What the user can mend as one message; everything else keeps its traceback."""
    try:
        yield
    except kinds as error:
        if debug:
            traceback.print_exception(error)
        _fail(str(error), cause=error)


@contextmanager
def _status(message: str) -> Iterator[None]:
    """A spinner on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield


def _fail(message: str, cause: BaseException | None = None) -> NoReturn:
    _say(f"error: {message}")
    raise typer.Exit(USER_ERROR) from cause


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    main()
