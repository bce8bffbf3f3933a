"""What an experiment is: tasks that run by themselves, and a summary of what they found."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from matplotlib.figure import Figure
from torch import Tensor

Scale = Literal["quick", "paper"]
SCALES: tuple[Scale, ...] = ("quick", "paper")

Arrays = dict[str, Tensor]
"""What a task finds: named tensors on the CPU."""

Compute = Callable[[Mapping[str, Any], Path], Arrays]
"""A function at the top level of a module, from a task's settings and a folder of its own.

The folder exists and is empty, or holds what an interrupted run of the same task left there: a long
computation keeps its checkpoints in it and goes on from them. The function depends on nothing else
and has one thread, so that it gives the same arrays on any worker.
"""


@final
@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        scale: `"paper"` for the paper's own settings, `"quick"` for minutes on two cores.
        seeds: Number of independent repetitions.
        seed: The first seed; repetitions have `seed`, `seed + 1`, ….
        data: Of experiments with images: `"digits"`, or the folder of CIFAR-10.
        published: Of experiments with images: the settings of the paper's public code, with what
            docs/corrections.md objects to, in place of the correct ones.
    """

    scale: Scale
    seeds: int
    seed: int = 0
    data: str = "digits"
    published: bool = False

    @property
    def repetitions(self) -> range:
        """The seeds of the repetitions."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def source(self) -> str:
        """The data, named so that a process in another folder finds them."""
        return self.data if self.data == "digits" else str(Path(self.data).absolute())


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A piece of an experiment that needs no other, known by what it computes.

    Two tasks with the same function, revision and settings are the same task, in whichever
    experiment they are.

    Attributes:
        name: For people, as `"relu, seed 3"`.
        compute: Finds the arrays.
        settings: What it is given: JSON values, every choice that decides the result.
        revision: Raised when the function changes so that older results must not be used.
        cost: About how many seconds it takes on one core. Long tasks begin first, and the time left
            is estimated from it; it changes no result.

    Raises:
        ValueError: If other processes could not find the function by its name.
    """

    name: str
    compute: Compute
    settings: Mapping[str, Any]
    revision: int = 1
    cost: float = 1.0

    def __post_init__(self) -> None:
        if "<" in self.compute.__qualname__:
            raise ValueError(
                f"task {self.name!r}: `compute` must be a function at the top level of a module, "
                f"so that workers find it by its name; got {self.function}."
            )

    @property
    def function(self) -> str:
        """Where the function is found, as `module:name`."""
        return f"{self.compute.__module__}:{self.compute.__qualname__}"

    @property
    def key(self) -> str:
        """Hash of the function's name, the revision and the settings."""
        what = [self.function, self.revision, self.settings]
        text = json.dumps(what, sort_keys=True, allow_nan=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@final
@dataclass(frozen=True, eq=False)
class Finished:
    """A task and what it found."""

    task: Task
    arrays: Arrays

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]


@final
@dataclass(frozen=True)
class Finding:
    """One statement of the paper, held against a measurement.

    Attributes:
        claim: The statement, in a sentence.
        reference: Where the paper makes it, as `"Appendix E.2, Figure 3"`.
        measured: What was measured, in a sentence with numbers.
        holds: Whether the statement came true; `None` where the measurement does not decide it.
        bound: What decides, in words, as `"the interval lies above 0"`.
        value: The number that was held against it.
        interval: Confidence interval of the value over repetitions.
        level: Its level, as 0.95.
        note: What a reader should know besides, as a correction or a limitation.
    """

    claim: str
    reference: str
    measured: str
    holds: bool | None
    bound: str
    value: float
    interval: tuple[float, float] | None = None
    level: float | None = None
    note: str = ""


@final
@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure and what stands below it."""

    figure: Figure
    caption: str


Table = Mapping[str, Sequence[Any]]
"""Columns of equal length by name; a row is one observation."""


@final
@dataclass(frozen=True, eq=False)
class Summary:
    """What an experiment says.

    Attributes:
        findings: One for each statement that it tests.
        drawings: Figures by file name, without an ending.
        tables: The data behind them by file name, without an ending.
        interactive: A plotly figure in JSON, for a reader to turn.
    """

    findings: Sequence[Finding]
    drawings: Mapping[str, Drawing]
    tables: Mapping[str, Table]
    interactive: str | None = None


@final
@dataclass(frozen=True, eq=False)
class Experiment:
    """A figure of the paper.

    Attributes:
        name: As on the command line, `"fig3"`.
        title: What it shows, in a line.
        reference: Its place in the paper.
        tasks: The pieces to compute.
        summarize: From all of their results to figures and findings.
        seeds: Repetitions by default, at each scale.
        setup: What is the same for all tasks and worth telling, as `{"loss": "‖Y − Uσ(V)‖²"}`.
        images: Whether it is about images, so that `Settings.data` and `published` matter.
    """

    name: str
    title: str
    reference: str
    tasks: Callable[[Settings], list[Task]]
    summarize: Callable[[Settings, Sequence[Finished]], Summary]
    seeds: Mapping[Scale, int] = field(default_factory=lambda: {"quick": 5, "paper": 5})
    setup: Mapping[str, Any] = field(default_factory=dict)
    images: bool = False
