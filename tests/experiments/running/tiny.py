"""Small experiments for the tests of the runner, with tasks that misbehave."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from paramsym.experiments.experiment import (
    Arrays,
    Drawing,
    Experiment,
    Finding,
    Finished,
    Settings,
    Summary,
    Task,
)
from paramsym.report.style import figure_style


def noise(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Sums whose last digits depend on the number of threads."""
    rng = torch.Generator().manual_seed(settings["seed"])
    x = torch.randn(300, 300, generator=rng, dtype=torch.float64)
    return {"sum": (x @ x).sum(0), "count": torch.tensor(7), "none": torch.empty(0, 3)}


def raises(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    raise ValueError("no minimum was found")


def returns_numbers(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    return {"loss": 1.0}  # type: ignore[dict-item]


def kills_its_worker(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """As often as is asked, and then gives the number of times."""
    deaths = Path(settings["deaths"])
    before = len(list(deaths.iterdir()))
    if before < settings["times"]:
        (deaths / str(before)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"deaths": torch.tensor(before)}


def counts_slowly(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Counts to `to`, keeps a checkpoint of each step, and logs the steps that it does."""
    checkpoint, log = scratch / "step", Path(settings["log"])
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    while step < settings["to"]:
        time.sleep(settings["pause"])
        step += 1
        # The log first: a step that is killed before its checkpoint is done again.
        with log.open("a") as lines:
            lines.write(f"{settings['name']} {step} {os.getpid()}\n")
        new = scratch / "new"
        new.write_text(str(step))
        new.replace(checkpoint)
    return {"steps": torch.tensor(step)}


def threads(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    return {
        "torch": torch.tensor(torch.get_num_threads()),
        "omp": torch.tensor(int(os.environ["OMP_NUM_THREADS"])),
        "process": torch.tensor(os.getpid()),
    }


def noises(settings: Settings) -> list[Task]:
    return [Task(f"noise {seed}", noise, {"seed": seed}) for seed in settings.repetitions]


def summarize(settings: Settings, finished: Sequence[Finished]) -> Summary:
    """The last entry of each task's array that is named last."""
    values = [float(each[max(each.arrays)].reshape(-1)[-1]) for each in finished]
    with figure_style():
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot(values)
    mean = sum(values) / len(values)
    return Summary(
        findings=[
            Finding(
                claim="Sums of noise are positive.",
                reference="Appendix Z, Figure 99",
                measured=f"Mean {mean:.3g} over {settings.seeds} seeds.",
                holds=mean > 0,
                bound="the mean lies above 0",
                value=mean,
                interval=(mean - 1, float("inf")),
                level=0.95,
            )
        ],
        drawings={"noise": Drawing(figure, "Noise.")},
        tables={"values": {"task": [each.task.name for each in finished], "value": values}},
    )


def experiment(name: str, tasks: Sequence[Task] | None = None) -> Experiment:
    """One with these tasks at every scale, or `noises`."""
    fixed = None if tasks is None else list(tasks)
    return Experiment(
        name=name,
        title=f"A test called {name}",
        reference="Figure 99",
        tasks=noises if fixed is None else lambda _: fixed,
        summarize=summarize,
        seeds={"quick": 3, "paper": 4},
        setup={"loss": "‖θ‖²"},
    )
