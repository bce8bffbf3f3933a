"""A backend without processes, for tests of what surrounds it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.backends import Outcome
from paramsym.experiments.running.results import Results
from paramsym.experiments.running.working import complete


@dataclass
class Inline:
    """Runs tasks here, one after the other, and notes their names.

    Attributes:
        elsewhere: Do as workers that do not see the folder.
        interrupt_after: Ctrl-C after so many tasks.
    """

    elsewhere: bool = False
    interrupt_after: int | None = None
    ran: list[str] = field(default_factory=list)

    def run(
        self, tasks: Sequence[Task], results: Results, say: Callable[[str], None]
    ) -> Generator[Outcome, None, None]:
        for task in tasks:
            if len(self.ran) == self.interrupt_after:
                raise KeyboardInterrupt
            self.ran.append(task.name)
            yield complete(task, Results(results.folder, "x") if self.elsewhere else results)
