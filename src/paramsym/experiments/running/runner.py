"""Running experiments: what is not finished is computed, and all of it is summarized."""

import json
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from paramsym.experiments.experiment import Experiment, Finished, Settings, Task
from paramsym.experiments.running.backends import Backend, Outcome
from paramsym.experiments.running.publishing import publish
from paramsym.experiments.running.results import Results, open_results
from paramsym.experiments.running.task_files import CorruptResultError, TaskResult


@final
@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Tasks that ended in this run.
        total: Tasks that this run has to do.
        cost: Estimated seconds, on one core, of those done.
        total_cost: The same of all.
        kept: Tasks that were finished before.
    """

    done: int
    total: int
    cost: float
    total_cost: float
    kept: int


@final
@dataclass(frozen=True)
class Failure:
    """What went wrong in a task or in a summary.

    Attributes:
        message: What, with names, settings and cause.
        traceback: Where, if it is known.
    """

    message: str
    traceback: str = ""


@final
@dataclass
class Report:
    """What a run did.

    Attributes:
        folders: The folder of each figure that was finished, by the figure's name.
        failures: What went wrong.
        computed: Number of tasks computed.
        kept: Number of tasks that were finished before.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    computed: int = 0
    kept: int = 0


class ExperimentFailedError(Exception):
    """A task or a summary failed; everything else was finished and is kept."""


def run(
    experiment: Experiment,
    settings: Settings,
    out: Path,
    *,
    backend: Backend,
    fresh: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run one experiment, or what of it is not finished yet.

    Args:
        experiment: The figure.
        settings: At which scale, with which seeds.
        out: Folder of all results; it is made if absent, and may be used by several runs at once.
        backend: Where tasks run.
        fresh: Compute everything anew.
        progress: Told how far the run is.
        say: Told what else happens, as that a damaged file is computed again.

    Returns:
        The folder of the figure.

    Raises:
        ExperimentFailedError: If a task or the summary failed.
        OSError: If `out` cannot be used, or the cluster does not answer.
        ValueError: If `out` was written by another version.
    """
    report = run_all(
        [(experiment, settings)], out, backend=backend, fresh=fresh, progress=progress, say=say
    )
    if report.failures:
        raise ExperimentFailedError("\n".join(failure.message for failure in report.failures))
    return report.folders[experiment.name]


def run_all(
    experiments: Sequence[tuple[Experiment, Settings]],
    out: Path,
    *,
    backend: Backend,
    fresh: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run several experiments together; a task that two of them share runs once.

    As `run`, but what goes wrong is in the report and does not stop the rest.

    Raises:
        OSError: If `out` cannot be used, or the cluster does not answer.
        ValueError: If `out` was written by another version.
    """
    results = open_results(out)
    plans = [
        (experiment, settings, experiment.tasks(settings)) for experiment, settings in experiments
    ]
    tasks = {task.key: task for _, _, tasks in plans for task in tasks}
    missing = _missing(list(tasks.values()), results, fresh=fresh, say=say)
    report = Report(kept=len(tasks) - len(missing))
    failed = _compute(missing, results, backend, report, progress, say)
    for experiment, settings, its_tasks in plans:
        if any(task.key in failed for task in its_tasks):
            continue
        try:
            found = [_read(task, results) for task in its_tasks]
            finished = [
                Finished(task, result.arrays) for task, result in zip(its_tasks, found, strict=True)
            ]
            summary = experiment.summarize(settings, finished)
            folder = publish(experiment, settings, summary, found, results)
        except Exception as error:
            report.failures.append(_failed_summary(experiment, error))
        else:
            report.folders[experiment.name] = folder
    return report


def _missing(
    tasks: Sequence[Task], results: Results, *, fresh: bool, say: Callable[[str], None]
) -> list[Task]:
    """Tasks without a sound result, the longest first."""
    missing = []
    for task in tasks:
        if fresh:
            results.forget(task)
        try:
            kept = results.read(task) is not None
        except CorruptResultError as error:
            say(f"{results.task_file(task)} is damaged: {error}. It is computed again.")
            kept = False
        if not kept:
            missing.append(task)
    return sorted(missing, key=lambda task: -task.cost)


def _compute(
    tasks: Sequence[Task],
    results: Results,
    backend: Backend,
    report: Report,
    progress: Callable[[Progress], None],
    say: Callable[[str], None],
) -> set[str]:
    """Run the tasks; returns the keys of those that failed."""
    named = {task.key: task for task in tasks}
    failed: set[str] = set()
    done, cost = 0, 0.0
    total_cost = sum(task.cost for task in tasks)
    progress(Progress(done, len(tasks), cost, total_cost, report.kept))
    if not tasks:
        return failed
    with closing(backend.run(tasks, results, say)) as outcomes:
        for outcome in outcomes:
            task = named[outcome.key]
            if outcome.content is not None:
                with results.lock(task.key):
                    results.write(task, outcome.content)
            if outcome.note:
                say(outcome.note)
            if outcome.failure:
                failed.add(task.key)
                report.failures.append(_failed_task(task, outcome))
            else:
                report.computed += 1
            done, cost = done + 1, cost + task.cost
            progress(Progress(done, len(tasks), cost, total_cost, report.kept))
    return failed


def _failed_task(task: Task, outcome: Outcome) -> Failure:
    settings = json.dumps(dict(task.settings), ensure_ascii=False)
    return Failure(
        f"task {task.name!r} ({task.function}, settings {settings}) failed: {outcome.failure}",
        outcome.traceback,
    )


def _read(task: Task, results: Results) -> TaskResult:
    result = results.read(task)
    if result is None:
        raise CorruptResultError(f"{results.task_file(task)} was removed during the run")
    return result


def _failed_summary(experiment: Experiment, error: Exception) -> Failure:
    cause = "".join(traceback.format_exception_only(error)).strip()
    return Failure(
        f"{experiment.name}: its tasks are finished, but not its summary: {cause}",
        "".join(traceback.format_exception(error)),
    )
