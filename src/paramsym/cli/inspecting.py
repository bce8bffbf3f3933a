"""`paramsym inspect`."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paramsym.cli.talking import fail, output, require_writable, say, status, user_errors, versions

if TYPE_CHECKING:
    from paramsym.certification import BlockCertificates, Certificate
    from paramsym.loading import LoadedModel
    from paramsym.symmetry import Symmetry

BLOCKWISE = 300_000
"""Parameters up to which a model that is too large for one certificate is looked at by blocks. Each
row of a Jacobian is a pass through all of it, and a block takes some thousand: beyond, hours."""

WITHDRAWN = 1
"""Exit code where a family failed the numerical check: a bug of paramsym."""


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A built-in name, package.module:factory, a .pt2 file, or hf:NAME.",
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
    certify: Annotated[
        bool,
        typer.Option(
            "--certify",
            help="Count all flat directions, and say which no family explains; block by block "
            "where the model is large.",
        ),
    ] = False,
    meta: Annotated[
        bool,
        typer.Option(
            "--meta", help="Look at the structure alone: tensors without values or memory."
        ),
    ] = False,
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
    written by torch.export.save. hf:NAME is a published architecture with random weights, or a
    folder with config.json and weights as safetensors; nothing is downloaded.

    \b
    Examples:
      paramsym inspect --list                     the built-in models
      paramsym inspect cnn                        a built-in model
      paramsym inspect my_models:resnet --eval    yours, in evaluation mode
      paramsym inspect net.pt2 --json > net.json  an exported program, as data
      paramsym inspect cnn --out cnn.html         a page with figures
      paramsym inspect mlp --certify              is that all there is?
      paramsym inspect hf:gpt2                    a published architecture
      paramsym inspect hf:llama-2-7b --meta       a large one, without its values
      paramsym inspect hf:./my-llama              a folder of Hugging Face

    Exit code 2: a wrong argument or a bad model. Exit code 1: a family failed its numerical check,
    or is no symmetry by the certificate, which is a bug of paramsym.
    """
    if show_list:
        _print_builtin()
        return
    if not model:
        fail("MODEL is missing. `paramsym inspect --list` shows the built-in ones.")
    if certify and meta:
        fail("--certify measures derivatives, for which tensors need values. Leave out --meta.")
    if out is not None:
        require_writable(out, force)
    with user_errors(ValueError, TypeError, debug=debug), status(f"Looking at {model} …"):
        loaded, symmetry = _discover(
            model, train=train, verify=verify, seed=seed, trust=trust, meta=meta
        )
    certificate = None
    if certify:
        doing = f"Certifying {model}"
        with (
            user_errors(ValueError, TypeError, debug=debug),
            status(f"{doing} …") as update,
        ):
            certificate = _certified(loaded, symmetry, seed, lambda x: update(f"{doing}: {x} …"))
    if as_json:
        data = _as_json(symmetry, loaded.title, seed)
        if certificate is not None:
            data["certificate"] = certificate.to_dict()
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        from paramsym.summary import LIMIT, print_summary

        with output() as console:
            print_summary(symmetry, console, title=loaded.title, limit=None if show_all else LIMIT)
            if certificate is not None:
                text = Text(_folded(str(certificate), console.width))
                console.print("", text, sep="\n", highlight=False, soft_wrap=True)
    if out is not None:
        from paramsym.report.page import symmetry_page

        with user_errors(OSError, debug=debug), status(f"Writing {out} …"):
            beyond = None if certificate is None else certificate.beyond
            symmetry_page(symmetry, loaded.title, out, force=force, beyond=beyond)
        say(f"Wrote {out}")
    _exit_if_withdrawn(symmetry)
    if certificate is not None and certificate.unsound:
        say(
            f"error: by the certificate no symmetry: {'; '.join(certificate.unsound)}. This is a "
            "bug of paramsym; please report it with the model."
        )
        raise typer.Exit(WITHDRAWN)


def _discover(
    name: str, *, train: bool | None, verify: bool, seed: int, trust: bool, meta: bool
) -> tuple["LoadedModel", "Symmetry"]:
    from torch import nn

    from paramsym.discovery import discover
    from paramsym.loading import load_model

    loaded = load_model(name, trust=trust, seed=seed, meta=meta)
    if train is not None:
        if not isinstance(loaded.model, nn.Module):
            raise ValueError(
                f"{loaded.title} is an exported program, whose mode was fixed at export. "
                "Leave out --train and --eval, or export the model in the other mode."
            )
        loaded.model.train(train)
    try:
        symmetry = discover(loaded.model, loaded.args, loaded.kwargs, verify=verify, seed=seed)
    except (ValueError, NotImplementedError, RuntimeError) as error:
        if not meta:
            raise
        first = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{loaded.title} cannot be inspected without values: {first} What the model computes "
            "may depend on values, which the meta device does not have. Leave out --meta."
        ) from error
    return loaded, symmetry


def _certified(
    loaded: "LoadedModel", symmetry: "Symmetry", seed: int, progress: Callable[[str], None]
) -> "Certificate | BlockCertificates":
    """Of the whole model, or of its blocks where that is too large.

    Raises:
        TooLarge: If blocks would take hours.
    """
    from paramsym.certification import TooLarge, certify, certify_blocks

    given = (loaded.model, loaded.args, symmetry)
    try:
        return certify(*given, kwargs=loaded.kwargs, seed=seed)
    except TooLarge:
        if sum(p.numel for p in symmetry.parameters) > BLOCKWISE:
            raise
        return certify_blocks(*given, kwargs=loaded.kwargs, seed=seed, progress=progress)


def _folded(text: str, width: int) -> str:
    """Lines, each further right by two, that go on below themselves where they are too long."""
    lines: list[str] = []
    for line in text.splitlines():
        deeper = " " * (len(line) - len(line.lstrip()) + 6)
        lines += textwrap.wrap(
            line,
            width,
            initial_indent="  ",
            subsequent_indent=deeper,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


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
        "versions": versions(),
    }


def _exit_if_withdrawn(symmetry: "Symmetry") -> None:
    withdrawn = symmetry.verification.withdrawn if symmetry.verification else ()
    if withdrawn:
        say(
            f"error: {len(withdrawn)} of the families found failed the numerical check and were "
            f"withdrawn: {'; '.join(withdrawn)}. This is a bug of paramsym; please report it with "
            "the model."
        )
        raise typer.Exit(WITHDRAWN)


def _print_builtin() -> None:
    from paramsym.huggingface import PREFIX
    from paramsym.published import PUBLISHED
    from paramsym.zoo import BUILTIN

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, factory in BUILTIN.items():
        table.add_row(name, (factory.__doc__ or "").strip().splitlines()[0])
    names = ", ".join(f"{PREFIX}{name}" for name in PUBLISHED)
    with output() as console:
        console.print(table, highlight=False)
        console.print("\nArchitectures of Hugging Face, with random weights:", highlight=False)
        console.print(Padding(names, (0, 0, 0, 2)), highlight=False)
