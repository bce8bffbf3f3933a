"""What a worker does with a task."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from paramsym.experiments.experiment import Arrays, Task
from paramsym.experiments.running.backends import Outcome, failed
from paramsym.experiments.running.results import Results
from paramsym.experiments.running.task_files import CorruptResultError, encode


def complete(task: Task, results: Results) -> Outcome:
    """Compute a task and keep its result, or go on from where a killed run left it.

    Two workers never compute the same task at once: the second waits and finds it finished. A
    worker on a machine that does not see the folder computes in one of its own, and returns the
    file.
    """
    try:
        if not results.is_here():
            with tempfile.TemporaryDirectory(prefix="paramsym-") as scratch:
                content, note = _computed(task, Path(scratch))
            return Outcome(task.key, content, note=note)
        with results.lock(task.key):
            if _is_finished(task, results):
                return Outcome(task.key)
            scratch = results.scratch(task)
            scratch.mkdir(exist_ok=True)
            content, note = _computed(task, scratch)
            results.write(task, content)
            shutil.rmtree(scratch, ignore_errors=True)
            return Outcome(task.key, note=note)
    except Exception as error:
        return failed(task, error)


def _is_finished(task: Task, results: Results) -> bool:
    try:
        return results.read(task) is not None
    except CorruptResultError:
        return False


def _computed(task: Task, scratch: Path) -> tuple[bytes, str]:
    """The content of the task's file, and what is to be said."""
    note = ""
    resumed = any(scratch.iterdir())
    start = time.perf_counter()
    with _one_thread():
        try:
            arrays = _arrays(task, scratch)
        except Exception as error:
            if not resumed:
                raise
            note = f"task {task.name!r} began anew: its checkpoint could not be used ({error})"
            shutil.rmtree(scratch)
            scratch.mkdir()
            start = time.perf_counter()
            arrays = _arrays(task, scratch)
    return encode(task, arrays, time.perf_counter() - start), note


def _arrays(task: Task, scratch: Path) -> Arrays:
    return task.compute(task.settings, scratch)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The order of sums, and so the last digits, may depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
