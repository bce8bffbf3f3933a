"""The folder of a figure: drawings, tables, and the verdict."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from paramsym.experiments.experiment import Experiment, Finding, Settings, Summary
from paramsym.experiments.running.results import Results, remove_left_over
from paramsym.experiments.running.tables import write_table
from paramsym.experiments.running.task_files import TaskResult, software
from paramsym.files import finished_folder
from paramsym.report.style import save, save_bitmap

VERDICT = "verdict.json"
SCHEMA = "paramsym.verdict/1"

T = TypeVar("T")


def folder_name(experiment: Experiment, settings: Settings) -> str:
    """As `fig3-quick`, with what differs from the defaults: `fig10-quick-seeds20-cifar10`."""
    name = f"{experiment.name}-{settings.scale}"
    if settings.seeds != experiment.seeds[settings.scale]:
        name += f"-seeds{settings.seeds}"
    if settings.seed:
        name += f"-seed{settings.seed}"
    if experiment.images:
        name += "" if settings.data == "digits" else f"-{Path(settings.data).absolute().name}"
        name += "-published" if settings.published else ""
    return name


def publish(
    experiment: Experiment,
    settings: Settings,
    summary: Summary,
    found: Sequence[TaskResult],
    results: Results,
) -> Path:
    """Write the folder of a figure, in place of an earlier one.

    It appears when it is whole: `figure.svg`, `.pdf` and `.png` (or one name for each of several
    drawings), `data.parquet` (or one for each of several tables), `verdict.json`, and
    `interactive.json` where there is a drawing to turn.
    """
    folder = results.folder / folder_name(experiment, settings)
    drawings, tables = _named(summary.drawings, "figure"), _named(summary.tables, "data")
    verdict = {
        "schema": SCHEMA,
        "figure": experiment.name,
        "title": experiment.title,
        "reference": experiment.reference,
        "scale": settings.scale,
        "seed": settings.seed,
        "seeds": settings.seeds,
        **({"data": settings.data, "published": settings.published} if experiment.images else {}),
        "settings": dict(experiment.setup),
        "findings": [_finding(finding) for finding in summary.findings],
        "figures": [
            {"name": name, "caption": drawing.caption} for name, drawing in drawings.items()
        ],
        "tables": [
            {
                "name": name,
                "columns": list(table),
                "rows": len(next(iter(table.values()), ())),
            }
            for name, table in tables.items()
        ],
        "interactive": summary.interactive is not None,
        "tasks": len(found),
        "seconds": sum(result.seconds for result in found),
        "versions": _versions(found),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    about = {name: verdict[name] for name in _IN_TABLES}
    with results.lock(folder.name):
        remove_left_over(folder)
        with finished_folder(folder, VERDICT, force=True) as new:
            for name, drawing in drawings.items():
                save(drawing.figure, new, name)
                save_bitmap(drawing.figure, new, name)
            for name, table in tables.items():
                write_table(table, new / f"{name}.parquet", about)
            if summary.interactive is not None:
                (new / "interactive.json").write_text(summary.interactive, encoding="utf-8")
            text = json.dumps(verdict, indent=2, ensure_ascii=False, allow_nan=False)
            (new / VERDICT).write_text(text + "\n", encoding="utf-8")
    return folder


_IN_TABLES = ("figure", "title", "scale", "seed", "seeds", "settings", "versions", "made")


def _named(items: Mapping[str, T], alone: str) -> dict[str, T]:
    """By file name: a single one has the same name in every folder."""
    return {alone: next(iter(items.values()))} if len(items) == 1 else dict(items)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "claim": finding.claim,
        "reference": finding.reference,
        "measured": finding.measured,
        "value": _number(finding.value),
        "interval": finding.interval and [_number(end) for end in finding.interval],
        "level": finding.level,
        "bound": finding.bound,
        "holds": None if finding.holds is None else bool(finding.holds),
        "note": finding.note,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None


def _versions(found: Sequence[TaskResult]) -> dict[str, str]:
    """Of this run and of all that computed the tasks; several where they differ."""
    known: dict[str, set[str]] = {}
    for versions in [software(), *(result.versions for result in found)]:
        for name, number in versions.items():
            known.setdefault(name, set()).add(number)
    for name in ("matplotlib", "pyarrow"):
        known[name] = {version(name)}
    return {name: ", ".join(sorted(numbers)) for name, numbers in known.items()}
