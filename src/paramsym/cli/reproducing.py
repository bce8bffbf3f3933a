"""`paramsym reproduce`."""

import json
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from paramsym.cli.talking import fail, output, say, user_errors

if TYPE_CHECKING:
    from paramsym.experiments import Experiment
    from paramsym.experiments.experiment import Scale, Settings
    from paramsym.experiments.running.backends import Backend
    from paramsym.experiments.running.runner import Progress as Done
    from paramsym.experiments.running.runner import Report

FAILED = 1
"""Exit code where a task failed."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""

_PATIENCE = 30.0
"""Seconds to wait for a cluster."""

_SCALES: "tuple[Scale, ...]" = ("quick", "paper")


def reproduce(
    figures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIGURE", help='As "fig3"; or "all" of the paper.', show_default=False
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            help='"quick": minutes on two cores; "paper": the paper\'s settings.', metavar="SCALE"
        ),
    ] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option(help="Independent repetitions; each figure has its default.", metavar="K"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The first seed.", metavar="N")] = 0,
    data: Annotated[
        str,
        typer.Option(
            help='Images of Figures 2, 10, 11 and of the experiments on orbits: "digits", or the '
            "folder of CIFAR-10 in its binary layout.",
            metavar="DATA",
        ),
    ] = "digits",
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Figures 2, 10 and 11 with the settings of the public code, faults included.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of all results.", metavar="DIR")] = Path(
        "paramsym-results"
    ),
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes at once; all cores by default.", metavar="J"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help='Run on dask.distributed: the address of a scheduler, or "local".',
            metavar="ADDRESS",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything anew, and forget what there is.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the verdicts as JSON to stdout, and nothing else.")
    ] = False,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the figures and the time that they take.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
) -> None:
    """Compute, draw and judge the figures of the paper.

    Each figure gets a folder in DIR: the figure as SVG, PDF and PNG, the data behind it as Parquet,
    and verdict.json: what the paper says, what was measured, and whether it holds. What is finished
    is kept: after an interruption of any kind, the same command goes on from there. Several runs
    may share DIR.

    \b
    Examples:
      paramsym reproduce --list               the figures, and how long they take
      paramsym reproduce fig3                 one of them, quickly
      paramsym reproduce q-reach              an experiment beyond the paper
      paramsym reproduce all --scale paper    all of them, as in the paper
      paramsym reproduce all --cluster local  on processes of dask.distributed

    Exit code 0: done, whatever the verdicts are. Exit code 1: a task failed. Exit code 2: a wrong
    argument. Exit code 130: interrupted.
    """
    from paramsym.experiments import EXPERIMENTS

    chosen = _chosen(figures or [], EXPERIMENTS, everything=show_list)
    if show_list:
        _print_list(chosen)
        return
    if scale not in ("quick", "paper"):
        fail(f"there is no scale {scale!r}. Choose quick or paper.")
    _require(seeds is None or seeds > 0, f"--seeds must be at least 1; got {seeds}.")
    _require(seed >= 0, f"--seed must not be negative; got {seed}.")
    _require(jobs is None or jobs > 0, f"--jobs must be at least 1; got {jobs}.")
    plans = [
        (experiment, _settings(experiment, scale, seeds, seed, data, published))
        for experiment in chosen
    ]
    with _interruptible(out), user_errors(OSError, ValueError, debug=debug):
        report = _run(plans, out, _backend(jobs, cluster), fresh=fresh)
    verdicts = {
        name: json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        for name, folder in report.folders.items()
    }
    if as_json:
        found = [{**verdict, "folder": str(report.folders[n])} for n, verdict in verdicts.items()]
        print(json.dumps({"schema": "paramsym.verdicts/1", "verdicts": found}, indent=2,
                         ensure_ascii=False))  # fmt: skip
    else:
        for name, verdict in verdicts.items():
            _print_findings(verdict, report.folders[name])
    for failure in report.failures:
        if debug and failure.traceback:
            say(failure.traceback)
        say(f"error: {failure.message}")
    if report.failures:
        say("Everything else is finished and kept; --debug shows where it failed.")
        raise typer.Exit(FAILED)


# -- what to run -----------------------------------------------------------------------------------


def _chosen(
    names: Sequence[str], known: "dict[str, Experiment]", *, everything: bool
) -> "list[Experiment]":
    if not names and not everything:
        fail("FIGURE is missing. `paramsym reproduce --list` shows them; `all` is the paper's.")
    for name in names:
        if name != "all" and name not in known:
            close = get_close_matches(name, [*known, "all"], 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            fail(f"there is no figure {name!r}.{hint} `paramsym reproduce --list` shows them.")
    if not names:
        return list(known.values())
    from paramsym.experiments import BEYOND_THE_PAPER

    of_the_paper = [name for name in known if name not in BEYOND_THE_PAPER]
    wanted = [*of_the_paper, *names] if "all" in names else names
    return [known[name] for name in dict.fromkeys(wanted) if name != "all"]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        fail(otherwise)


def _settings(
    experiment: "Experiment",
    scale: "Scale",
    seeds: int | None,
    seed: int,
    data: str = "digits",
    published: bool = False,
) -> "Settings":
    from paramsym.experiments.experiment import Settings

    seeds = experiment.seeds[scale] if seeds is None else seeds
    return Settings(scale, seeds, seed, data, published)


def _backend(jobs: int | None, cluster: str | None) -> "Backend":
    for package in ("joblib", "pyarrow"):
        if find_spec(package) is None:
            fail(f"{package} is not installed. Write: pip install 'paramsym[experiments]'")
    from joblib import cpu_count

    from paramsym.experiments.running.local import LocalPool

    if cluster is None:
        return LocalPool(jobs or cpu_count())
    if find_spec("distributed") is None:
        fail("--cluster needs dask.distributed. Write: pip install 'paramsym[cluster]'")
    from paramsym.experiments.running.cluster import LOCAL, Cluster

    if cluster != LOCAL and not re.fullmatch(r"(\w+://)?.+:\d+", cluster):
        fail(f'--cluster must be "local" or an address as tcp://host:8786; got {cluster!r}.')

    return Cluster(cluster, jobs or cpu_count(), _PATIENCE)


def _run(
    plans: "Sequence[tuple[Experiment, Settings]]", out: Path, backend: "Backend", *, fresh: bool
) -> "Report":
    from paramsym.experiments.running.runner import run_all

    start = time.perf_counter()
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.fields[done]}/{task.fields[total_tasks]} tasks"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        line = bar.add_task("", total=None, done=0, total_tasks="?")

        def show(progress: "Done") -> None:
            bar.update(
                line,
                total=progress.total_cost,
                completed=progress.cost,
                done=progress.done,
                total_tasks=progress.total,
            )

        with warnings.catch_warnings():
            # A worker that has taken much memory is replaced between tasks, as it should be.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            report = run_all(plans, out, backend=backend, fresh=fresh, progress=show, say=say)
    say(
        f"{report.computed} tasks computed, {report.kept} kept from before; "
        f"{time.perf_counter() - start:.0f} s."
    )
    return report


@contextmanager
def _interruptible(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(f"Interrupted. What is finished is kept in {out}; the same command goes on from there.")
        raise typer.Exit(INTERRUPTED) from None


# -- printing --------------------------------------------------------------------------------------

_MARKS = {True: ("holds", "green"), False: ("fails", "red"), None: ("open", "yellow")}


def _print_findings(verdict: dict[str, Any], folder: Path) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in verdict["findings"]:
        table.add_row(Text(*_MARKS[finding["holds"]]), Text(finding["claim"]))
        measured = Text(finding["measured"], "dim")
        if finding["note"]:
            measured.append(f" {finding['note']}")
        table.add_row("", measured)
    with output() as console:
        console.print(Text.assemble((verdict["figure"], "bold"), "  ", verdict["title"]))
        console.print(Padding(table, (0, 0, 0, 2)))
        console.print(Text(f"  {folder}", "dim"), soft_wrap=True)
        console.print()


def _print_list(experiments: "list[Experiment]") -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("figure", no_wrap=True, style="bold")
    table.add_column("shows", overflow="fold")
    for scale in _SCALES:
        table.add_column(scale, justify="right", no_wrap=True)
    for experiment in experiments:
        table.add_row(
            experiment.name,
            experiment.title,
            *(_duration(_estimate(experiment, scale)) for scale in _SCALES),
        )
    with output() as console:
        console.print(table, "\nEstimated times are of one core.", sep="\n", highlight=False)


def _estimate(experiment: "Experiment", scale: "Scale") -> float:
    tasks = experiment.tasks(_settings(experiment, scale, None, 0))
    return sum(task.cost for task in {task.key: task for task in tasks}.values())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
