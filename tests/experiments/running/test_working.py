"""A worker computes a task once, goes on from checkpoints, and hands over files it cannot write."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from paramsym.experiments.experiment import Arrays, Task
from paramsym.experiments.running.results import Results, open_results
from paramsym.experiments.running.task_files import decode
from paramsym.experiments.running.working import complete
from tests.experiments.running.tiny import counts_slowly, noise, raises, returns_numbers


def counting(folder: Path, to: int = 5, pause: float = 0.0) -> Task:
    settings = {"log": str(folder / "log"), "to": to, "pause": pause, "name": "a"}
    return Task("counting", counts_slowly, settings)


def logged(folder: Path) -> list[int]:
    """The steps that were done, by all workers."""
    return [int(line.split()[1]) for line in (folder / "log").read_text().splitlines()]


def test_a_result_is_written_and_its_checkpoints_go(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    task = counting(tmp_path)
    outcome = complete(task, results)
    assert (outcome.failure, outcome.content) == ("", None)
    found = results.read(task)
    assert found is not None
    assert int(found.arrays["steps"]) == 5
    assert found.seconds > 0
    assert not results.scratch(task).exists()


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    task = counting(tmp_path)
    results.scratch(task).mkdir()
    (results.scratch(task) / "step").write_text("3")
    assert not complete(task, results).failure
    assert logged(tmp_path) == [4, 5]


def test_a_checkpoint_that_cannot_be_used_is_dropped_and_said(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    task = counting(tmp_path)
    results.scratch(task).mkdir()
    (results.scratch(task) / "step").write_text("thr")
    outcome = complete(task, results)
    assert not outcome.failure
    assert "'counting' began anew: its checkpoint could not be used (invalid lit" in outcome.note
    assert logged(tmp_path) == [1, 2, 3, 4, 5]


def test_what_is_finished_is_not_computed_again(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    complete(counting(tmp_path), results)
    complete(counting(tmp_path), results)
    assert logged(tmp_path) == [1, 2, 3, 4, 5]


def test_of_several_workers_one_computes(tmp_path: Path) -> None:
    """The others wait, and find it finished."""
    results = open_results(tmp_path / "out")
    task = counting(tmp_path, pause=0.05)
    with ThreadPoolExecutor(4) as workers:
        outcomes = list(workers.map(complete, [task] * 4, [results] * 4))
    assert all(not outcome.failure for outcome in outcomes)
    assert logged(tmp_path) == [1, 2, 3, 4, 5]


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    task = counting(tmp_path)
    results.task_file(task).write_bytes(b"damaged")
    assert not complete(task, results).failure
    assert results.read(task) is not None


def test_a_worker_elsewhere_returns_the_file(tmp_path: Path) -> None:
    """It does not see the folder, and writes nothing of that name on its own machine."""
    results = open_results(tmp_path / "out")
    elsewhere = Results(results.folder, "the folder of another machine")
    task = Task("noise", noise, {"seed": 1})
    outcome = complete(task, elsewhere)
    assert outcome.content is not None
    assert results.read(task) is None
    returned = decode(outcome.content, task).arrays
    assert torch.equal(returned["sum"], noise({"seed": 1}, tmp_path)["sum"])
    assert not list((tmp_path / "out" / "partial").iterdir())


def test_an_error_is_an_outcome(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    outcome = complete(Task("x", raises, {}), results)
    assert outcome.failure == "ValueError: no minimum was found"
    assert "in raises" in outcome.traceback
    assert "TypeError" in complete(Task("y", returns_numbers, {}), results).failure


def count_threads(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    return {"threads": torch.tensor(torch.get_num_threads())}


def test_a_task_has_one_thread(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        task = Task("threads", count_threads, {})
        complete(task, results)
        found = results.read(task)
        assert found is not None
        assert int(found.arrays["threads"]) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
