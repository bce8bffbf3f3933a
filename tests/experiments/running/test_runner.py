"""A run computes what is missing, and nothing else; what goes wrong stops nothing else."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from paramsym.experiments.experiment import Finished, Settings, Summary, Task
from paramsym.experiments.running.results import Results, open_results
from paramsym.experiments.running.runner import ExperimentFailedError, Progress, run, run_all
from tests.experiments.running.inline import Inline
from tests.experiments.running.tiny import counts_slowly, experiment, noise, noises, raises

SETTINGS = Settings("quick", 3)
TINY = experiment("tiny")


def verdict(folder: Path) -> dict[str, object]:
    return json.loads((folder / "verdict.json").read_text())


def value(folder: Path) -> float:
    return json.loads((folder / "verdict.json").read_text())["findings"][0]["value"]


def test_a_figure_from_nothing(tmp_path: Path) -> None:
    backend = Inline()
    folder = run(TINY, SETTINGS, tmp_path / "out", backend=backend)
    assert folder == tmp_path / "out" / "tiny-quick"
    assert backend.ran == ["noise 0", "noise 1", "noise 2"]
    assert verdict(folder)["tasks"] == 3
    last = [float(noise({"seed": seed}, tmp_path)["sum"][-1]) for seed in range(3)]
    assert value(folder) == pytest.approx(sum(last) / 3, rel=1e-15)


def test_what_is_finished_is_kept(tmp_path: Path) -> None:
    """More seeds compute only the new ones."""
    first = run(TINY, SETTINGS, tmp_path, backend=Inline())
    again, more = Inline(), Inline()
    run(TINY, SETTINGS, tmp_path, backend=again)
    assert again.ran == []
    folder = run(TINY, Settings("quick", 5), tmp_path, backend=more)
    assert more.ran == ["noise 3", "noise 4"]
    assert folder.name == "tiny-quick-seeds5"
    assert first.exists()


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(TINY, SETTINGS, tmp_path / "a", backend=Inline(interrupt_after=2))
    assert not (tmp_path / "a" / "tiny-quick").exists()
    rest = Inline()
    folder = run(TINY, SETTINGS, tmp_path / "a", backend=rest)
    assert rest.ran == ["noise 2"]
    assert value(folder) == value(run(TINY, SETTINGS, tmp_path / "b", backend=Inline()))


def test_shared_tasks_run_once_the_longest_first(tmp_path: Path) -> None:
    tasks = noises(SETTINGS)
    long = replace(tasks[2], cost=100.0)
    both = [experiment("one", tasks), experiment("two", [tasks[0], long])]
    backend, seen = Inline(), list[Progress]()
    report = run_all(
        [(each, SETTINGS) for each in both], tmp_path, backend=backend, progress=seen.append
    )
    assert sorted(backend.ran) == ["noise 0", "noise 1", "noise 2"]
    assert set(report.folders) == {"one", "two"}
    assert (report.computed, report.kept) == (3, 0)
    assert [each.done for each in seen] == [0, 1, 2, 3]
    assert seen[-1].cost == seen[-1].total_cost
    longest = Inline()
    run(experiment("three", [*tasks[:2], long]), SETTINGS, tmp_path / "new", backend=longest)
    assert longest.ran[0] == "noise 2"


def test_damaged_files_are_computed_again_and_said(tmp_path: Path) -> None:
    before = value(run(TINY, SETTINGS, tmp_path, backend=Inline()))
    results = open_results(tmp_path)
    file = results.task_file(noises(SETTINGS)[1])
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    said: list[str] = []
    backend = Inline()
    folder = run(TINY, SETTINGS, tmp_path, backend=backend, say=said.append)
    assert backend.ran == ["noise 1"]
    assert said == [f"{file} is damaged: its checksum is wrong. It is computed again."]
    assert value(folder) == before


def test_fresh_forgets(tmp_path: Path) -> None:
    """Results, and checkpoints of tasks under way."""
    settings = {"log": str(tmp_path / "log"), "to": 5, "pause": 0.0, "name": "a"}
    counting = Task("count", counts_slowly, settings)
    figure = experiment("tiny", [counting, *noises(SETTINGS)])
    scratch = open_results(tmp_path / "out").scratch(counting)
    scratch.mkdir()
    (scratch / "step").write_text("3")
    for _ in range(2):
        backend = Inline()
        run(figure, SETTINGS, tmp_path / "out", backend=backend, fresh=True)
        assert len(backend.ran) == 4
    steps = [int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5] * 2


def test_workers_elsewhere_give_the_same(tmp_path: Path) -> None:
    here = run(TINY, SETTINGS, tmp_path / "a", backend=Inline())
    there = run(TINY, SETTINGS, tmp_path / "b", backend=Inline(elsewhere=True))
    assert value(here) == value(there)
    for task in noises(SETTINGS):
        a, b = (open_results(tmp_path / name).read(task) for name in "ab")
        assert a is not None
        assert b is not None
        assert all(torch.equal(a.arrays[name], b.arrays[name]) for name in a.arrays)


def test_a_failing_task_does_not_stop_the_others(tmp_path: Path) -> None:
    bad = experiment("bad", [Task("hopeless", raises, {"lr": 3}), *noises(SETTINGS)])
    report = run_all([(bad, SETTINGS), (TINY, SETTINGS)], tmp_path, backend=Inline())
    assert set(report.folders) == {"tiny"}
    (failure,) = report.failures
    assert failure.message == (
        "task 'hopeless' (tests.experiments.running.tiny:raises, settings {\"lr\": 3}) failed: "
        "ValueError: no minimum was found"
    )
    assert "in raises" in failure.traceback
    assert report.computed == 3
    with pytest.raises(ExperimentFailedError, match="'hopeless'"):
        run(bad, SETTINGS, tmp_path, backend=Inline())


def no_summary(settings: Settings, finished: Sequence[Finished]) -> Summary:
    raise ZeroDivisionError("no runs converged")


def test_a_failing_summary_does_not_stop_the_others(tmp_path: Path) -> None:
    """And leaves an earlier result of the figure as it was."""
    folder = run(TINY, SETTINGS, tmp_path, backend=Inline())
    made = verdict(folder)
    bad = replace(TINY, summarize=no_summary)
    report = run_all([(bad, SETTINGS), (experiment("other"), SETTINGS)], tmp_path, backend=Inline())
    assert set(report.folders) == {"other"}
    (failure,) = report.failures
    assert "tiny: its tasks are finished, but not its summary: ZeroDivisionError" in failure.message
    assert verdict(folder) == made


def test_runs_at_once_share_a_folder(tmp_path: Path) -> None:
    """Each task is computed once, and each result is whole."""
    backends = [Inline() for _ in range(3)]
    settings = Settings("quick", 8)

    def one(backend: Inline) -> Path:
        return run(TINY, settings, tmp_path / "out", backend=backend)

    with ThreadPoolExecutor(3) as threads:
        folders = set(threads.map(one, backends))
    (folder,) = folders
    assert verdict(folder)["tasks"] == 8
    assert {path.name for path in folder.iterdir()} == {
        "figure.svg", "figure.pdf", "figure.png", "data.parquet", "verdict.json",
    }  # fmt: skip
    results: Results = open_results(tmp_path / "out")
    assert len(list((results.folder / "tasks").iterdir())) == 8
    assert not list((results.folder / "partial").iterdir())
    visible = {path.name for path in results.folder.iterdir() if path.name[0] != "."}
    assert visible == {"tasks", "partial", "paramsym-results.json", folder.name}
