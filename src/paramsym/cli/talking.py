"""What all commands share: messages, errors, progress, versions."""

import platform
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

import paramsym

USER_ERROR = 2
"""Exit code for a wrong argument, a bad model or an existing file."""


def versions() -> dict[str, str]:
    return {
        "paramsym": paramsym.__version__,
        "torch": version("torch"),
        "python": platform.python_version(),
    }


def require_writable(out: Path, force: bool) -> None:
    """Before any work: results are never overwritten by accident."""
    if out.is_dir():
        fail(f"--out must be a file; {out} is a folder. Write `--out {out / 'page.html'}`.")
    if out.exists() and not force:
        fail(f"{out} exists. Choose another name, or overwrite it with --force.")
    if not out.parent.is_dir():
        fail(f"the folder {out.parent} does not exist. Create it first.")


@contextmanager
def user_errors(*kinds: type[Exception], debug: bool = False) -> Iterator[None]:
    """What the user can mend as one message; everything else keeps its traceback."""
    try:
        yield
    except kinds as error:
        if debug:
            traceback.print_exception(error)
        fail(str(error), cause=error)


@contextmanager
def output() -> Iterator[Console]:
    """A console on stdout. Elsewhere than on a terminal no line ends in the blanks that fill it."""
    console = Console()
    if console.is_terminal:
        yield console
        return
    with console.capture() as captured:
        yield console
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


@contextmanager
def status(message: str) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal's stderr, nothing elsewhere; what it yields changes the message."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda message: None
        return
    with console.status(message) as line:
        yield line.update


def fail(message: str, cause: BaseException | None = None) -> NoReturn:
    say(f"error: {message}")
    raise typer.Exit(USER_ERROR) from cause


def say(message: str) -> None:
    print(message, file=sys.stderr)
