"""Processes on this machine: what happens to tasks when they are killed."""

import os
import time
from pathlib import Path

import pytest
import torch

from paramsym.experiments.experiment import Settings, Task
from paramsym.experiments.running.backends import RETRIES, Outcome
from paramsym.experiments.running.local import LocalPool
from paramsym.experiments.running.results import Results, open_results
from paramsym.experiments.running.task_files import TaskResult
from tests.experiments.running.tiny import (
    counts_slowly,
    kills_its_worker,
    noise,
    noises,
    raises,
    threads,
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return open_results(tmp_path / "out")


def dying(folder: Path, times: int, name: str) -> Task:
    (folder / name).mkdir()
    return Task(name, kills_its_worker, {"deaths": str(folder / name), "times": times})


def read(results: Results, task: Task) -> TaskResult:
    found = results.read(task)
    assert found is not None
    return found


def test_a_killed_worker_a_failing_task_and_the_others(tmp_path: Path, results: Results) -> None:
    """One pool goes through all of it, and every task but the one that cannot ends well."""
    once = dying(tmp_path, 1, "once")
    failing, threaded = Task("fails", raises, {"x": 1}), Task("threads", threads, {})
    others = noises(Settings("quick", 3))
    said: list[str] = []
    tasks = [once, failing, threaded, *others]
    outcomes = {each.key: each for each in LocalPool(2).run(tasks, results, said.append)}
    assert len(outcomes) == len(tasks)
    assert int(read(results, once).arrays["deaths"]) == 1
    assert f"'once' was killed; trying again (1 of {RETRIES})" in "\n".join(said)
    assert outcomes[failing.key].failure == "ValueError: no minimum was found"
    assert "in raises" in outcomes[failing.key].traceback
    for task in others:
        expected = noise(task.settings, tmp_path)["sum"]
        assert torch.equal(read(results, task).arrays["sum"], expected)
    found = read(results, threaded).arrays
    assert (int(found["torch"]), int(found["omp"])) == (1, 1)
    assert int(found["process"]) != os.getpid()


def test_nothing_runs_on_when_it_is_closed(tmp_path: Path, results: Results) -> None:
    log = tmp_path / "log"
    slow = {"log": str(log), "to": 10_000, "pause": 0.02, "name": "slow"}
    quick = {**slow, "to": 1, "name": "quick"}
    tasks = [Task("slow", counts_slowly, slow), Task("quick", counts_slowly, quick)]
    running = LocalPool(2).run(tasks, results, print)
    assert next(running) == Outcome(tasks[1].key)
    running.close()
    before = log.read_text()
    time.sleep(0.5)
    assert log.read_text() == before
    assert results.read(tasks[1]) is not None


@pytest.mark.slow
def test_a_task_that_no_worker_survives(tmp_path: Path, results: Results) -> None:
    """It is given up, by name; the others are not touched."""
    always, other = dying(tmp_path, 99, "always"), Task("noise", noise, {"seed": 0})
    outcomes = {each.key: each for each in LocalPool(2).run([always, other], results, print)}
    assert len(list((tmp_path / "always").iterdir())) == RETRIES + 1
    assert f"worker was killed {RETRIES + 1} times" in outcomes[always.key].failure
    assert not outcomes[other.key].failure
