"""`paramsym verify`."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from paramsym.cli.talking import fail, output, require_writable, say, user_errors, versions

if TYPE_CHECKING:
    from paramsym.claims import Claim, Residual, Result

OTHERWISE = 1
"""Exit code where a measurement disagrees with the documented verdict."""

LARGEST_SEED = 2**63 - 1
"""What a generator of torch takes."""


def verify(
    claims: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CLAIM",
            help="Ids of claims, or beginnings of several ids; all of them by default.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write an HTML page to this file.", metavar="PAGE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite PAGE if it exists.")] = False,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the claims with their statements.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Seed of all random draws.", metavar="N", min=0, max=LARGEST_SEED)
    ] = 0,
) -> None:
    """Check every claim of the paper by measurement.

    Each claim of "Symmetries, Flat Minima, and the Conserved Quantities of Gradient Flow" (ICLR
    2023) is measured in float64, as printed and, where docs/corrections.md corrects it, as
    corrected. The verdict follows from the residuals and their bounds alone. Less than a minute.

    \b
    Examples:
      paramsym verify                      all claims
      paramsym verify thm-3.3              those whose id begins so
      paramsym verify --out verdicts.html  a page with statements and numbers

    Exit code 1: a verdict is not the documented one. Exit code 2: a wrong argument.
    """
    from paramsym.claims import CLAIMS

    if out is not None:
        require_writable(out, force)
    chosen = _chosen(claims or [], CLAIMS)
    if show_list:
        _print_statements(chosen)
        return
    results = _measured(chosen, seed)
    if as_json:
        print(json.dumps(_as_json(results, seed), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        with output() as console:
            console.print(_table(results), _totals(results), sep="\n", highlight=False)
    if out is not None:
        from paramsym.report.claims import claims_page

        with user_errors(OSError):
            claims_page(results, out, seed=seed, force=force)
        say(f"Wrote {out}")
    if not all(result.as_documented for result in results):
        raise typer.Exit(OTHERWISE)


def _chosen(ids: list[str], claims: "dict[str, Claim]") -> "list[Claim]":
    """All claims if none is named; else each named one, and all that a beginning of ids means."""
    chosen: set[str] = set()
    for id in ids:
        # `eq-5` is a claim, and not the beginning of `eq-53`.
        meant = {id} if id in claims else {known for known in claims if known.startswith(id or " ")}
        if not meant:
            fail(f"there is no claim {id!r}. `paramsym verify --list` shows them.")
        chosen |= meant
    return [claim for id, claim in claims.items() if not ids or id in chosen]


def _measured(claims: "list[Claim]", seed: int) -> "list[Result]":
    console = Console(stderr=True)
    results = []
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=len(claims))
        for claim in claims:
            progress.update(task, description=claim.id)
            try:
                results.append(claim.check(seed))
            except Exception as error:
                error.add_note(f"The claim {claim.id} could not be measured with seed {seed}.")
                raise
            progress.advance(task)
    return results


# -- printing --------------------------------------------------------------------------------------

_STYLES = {"holds": "green", "holds after correction": "yellow", "wrong": "red"}
_HOW = {"holds": "as printed", "holds after correction": "as corrected", "wrong": "wrong"}
_SHORT = {"holds": "holds", "holds after correction": "corrected", "wrong": "wrong"}


def _table(results: "list[Result]") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("claim", no_wrap=True)
    table.add_column("paper", overflow="fold")
    table.add_column("as printed", justify="right", no_wrap=True)
    table.add_column("corrected", justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for result in results:
        evidence = result.evidence
        verdict = Text(_SHORT[result.verdict], _STYLES[result.verdict])
        if not result.as_documented:
            verdict.append(f" (not: {_SHORT[result.claim.documented]})", "bold red")
        table.add_row(
            result.claim.id,
            result.claim.reference,
            _short(evidence.printed),
            _short(evidence.corrected) if evidence.corrected else "",
            verdict,
        )
    return table


def _short(residual: "Residual") -> Text:
    return Text(f"{residual.value:.0e}", "" if residual.holds else "red")


def _totals(results: "list[Result]") -> str:
    counts = dict.fromkeys(_STYLES, 0)
    for result in results:
        counts[result.verdict] += 1
    seconds = sum(result.seconds for result in results)
    otherwise = sum(not result.as_documented for result in results)
    found = ", ".join(f"{count} {_HOW[verdict]}" for verdict, count in counts.items())
    agree = "all as documented" if not otherwise else f"{otherwise} NOT as documented"
    count = "1 claim" if len(results) == 1 else f"{len(results)} claims"
    return f"\n{count}: {found}; {agree}. {seconds:.0f} s."


def _print_statements(claims: "Iterable[Claim]") -> None:
    with output() as console:
        for claim in claims:
            console.print(Text(claim.id, "bold"), Text(f"({claim.reference})", "dim"))
            console.print(Padding(Text(claim.statement), (0, 0, 0, 2)))
            if claim.correction:
                console.print(Padding(Text(f"Rather: {claim.correction}"), (0, 0, 0, 2)))


def _as_json(results: "list[Result]", seed: int) -> dict[str, Any]:
    return {
        "schema": "paramsym.claims/1",
        "claims": [
            {
                "id": result.claim.id,
                "reference": result.claim.reference,
                "statement": result.claim.statement,
                "correction": result.claim.correction,
                "printed": _residual(result.evidence.printed),
                "corrected": _residual(result.evidence.corrected),
                "verdict": result.verdict,
                "documented": result.claim.documented,
                "seconds": result.seconds,
            }
            for result in results
        ],
        "seed": seed,
        "versions": versions(),
    }


def _residual(residual: "Residual | None") -> dict[str, Any] | None:
    if residual is None:
        return None
    # JSON has no NaN and no infinity.
    value = residual.value if math.isfinite(residual.value) else None
    return {**vars(residual), "value": value, "holds": residual.holds}
