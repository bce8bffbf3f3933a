"""A pool of processes on this machine."""

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import final

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.backends import RETRIES, Outcome, failed, killed
from paramsym.experiments.running.results import Results
from paramsym.experiments.running.working import complete

_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM")
}


@final
@dataclass(frozen=True)
class LocalPool:
    """Runs tasks in processes on this machine.

    Each process is a pool of its own, so that when one is killed it is known which task it had, and
    the others go on.

    Attributes:
        jobs: How many at once.
    """

    jobs: int

    def run(
        self, tasks: Sequence[Task], results: Results, say: Callable[[str], None]
    ) -> Generator[Outcome, None, None]:
        """As `Backend.run`."""
        waiting = deque(tasks)
        deaths = Counter[str]()
        idle = [_worker() for _ in range(min(self.jobs, len(tasks)))]
        busy: dict[Future[Outcome], tuple[Task, ProcessPoolExecutor]] = {}
        try:
            while waiting or busy:
                while waiting and idle:
                    task, worker = waiting.popleft(), idle.pop()
                    future, worker = _submit(worker, task, results)
                    busy[future] = task, worker
                done, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    task, worker = busy.pop(future)
                    idle.append(worker)
                    outcome = _outcome(future, task)
                    if outcome is None:
                        deaths[task.key] += 1
                        if deaths[task.key] <= RETRIES:
                            say(
                                f"The worker of task {task.name!r} was killed; trying again "
                                f"({deaths[task.key]} of {RETRIES})."
                            )
                            waiting.appendleft(task)
                            continue
                        outcome = killed(task)
                    yield outcome
        finally:
            for worker in [*idle, *(worker for _, worker in busy.values())]:
                worker.shutdown(kill_workers=True)


def _submit(
    worker: ProcessPoolExecutor, task: Task, results: Results
) -> tuple[Future[Outcome], ProcessPoolExecutor]:
    """Give the task to the worker, or to a new one if it was killed."""
    try:
        return worker.submit(complete, task, results), worker
    except BrokenProcessPool:
        worker.shutdown(kill_workers=True)
        worker = _worker()
        return worker.submit(complete, task, results), worker


def _outcome(future: Future[Outcome], task: Task) -> Outcome | None:
    """`None` if the worker was killed."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None
    except Exception as error:  # of a task that cannot be sent
        return failed(task, error)


def _worker() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1, initializer=_begin, initargs=(os.getpid(),), env=_ONE_THREAD
    )


def _begin(parent: int) -> None:
    """In the worker: leave Ctrl-C to the parent, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
