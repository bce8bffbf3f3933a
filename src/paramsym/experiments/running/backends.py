"""Where tasks run: the interface of a backend, and what a task comes to."""

import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.results import Results

RETRIES = 3
"""How often a task is tried again after its worker was killed."""


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        key: The task's.
        content: Its file, where the worker cannot write it itself: it does not see the folder.
        failure: Why there is no result.
        traceback: Where it failed.
        note: What the user should know besides.
    """

    key: str
    content: bytes | None = None
    failure: str = ""
    traceback: str = ""
    note: str = ""


class Backend(Protocol):
    """Runs tasks, each in a process with one thread."""

    def run(
        self, tasks: Sequence[Task], results: Results, say: Callable[[str], None]
    ) -> Generator[Outcome, None, None]:
        """One outcome a task, as they come, begun in the order given.

        A task that raises is an outcome. A task whose worker is killed is tried again, `RETRIES`
        times. When the generator is closed, no task begins any more, and what runs on this machine
        is stopped.

        Args:
            tasks: Tasks with different keys.
            results: Where they are kept.
            say: Told what happens besides.

        Raises:
            ConnectionError: If the cluster does not answer, or has no workers.
        """
        ...


def failed(task: Task, error: BaseException) -> Outcome:
    """The outcome of a task that raised, called where the error is handled."""
    failure = "".join(traceback.format_exception_only(error)).strip()
    return Outcome(task.key, failure=failure, traceback=traceback.format_exc())


def killed(task: Task) -> Outcome:
    """The outcome of a task that no worker survives."""
    reason = (
        f"its worker was killed {RETRIES + 1} times, by the system where memory ran out, "
        "or by somebody"
    )
    return Outcome(task.key, failure=reason)
