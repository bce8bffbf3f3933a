"""`paramsym reproduce`: what it prints, its exit codes, and that killing it loses nothing."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from paramsym.cli import app, reproducing
from paramsym.experiments import EXPERIMENTS
from paramsym.experiments.experiment import SCALES, Settings, Task
from paramsym.experiments.running.results import open_results
from tests.experiments.running.inline import Inline
from tests.experiments.running.program import counting
from tests.experiments.running.tiny import experiment, noises, raises

ROOT = Path(__file__).parents[1]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for results, and two experiments that take no time, run without processes."""
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment("tiny"))
    failing = [Task("hopeless", raises, {"lr": 3}), *noises(Settings("quick", 2))]
    monkeypatch.setitem(EXPERIMENTS, "bad", experiment("bad", failing))
    monkeypatch.setattr(reproducing, "_backend", lambda jobs, cluster: Inline())
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["reproduce", *arguments])


def test_findings_are_printed(out: Path) -> None:
    result = run("tiny", "--out", "out")
    assert result.exit_code == 0, result.output
    assert re.search(r"^tiny  A test called tiny$", result.stdout, re.MULTILINE)
    assert re.search(r"^  fails  Sums of noise are positive\. *$", result.stdout, re.MULTILINE)
    assert "Mean -324 over 3 seeds." in result.stdout
    assert str(out / "tiny-quick") in result.stdout
    narrow = [line for line in result.stdout.splitlines() if str(out) not in line]
    assert max(map(cell_len, narrow)) <= 80
    assert re.fullmatch(r"3 tasks computed, 0 kept from before; \d+ s\.\n", result.stderr)


def test_a_second_run_computes_nothing(out: Path) -> None:
    run("tiny", "--out", "out")
    assert run("tiny", "--out", "out").stderr.startswith("0 tasks computed, 3 kept")
    assert run("tiny", "--out", "out", "--fresh").stderr.startswith("3 tasks computed, 0 kept")


def test_json_is_all_there_is(out: Path) -> None:
    result = run("tiny", "--out", "out", "--json", "--seeds", "2", "--seed", "5")
    data = json.loads(result.stdout)
    assert data["schema"] == "paramsym.verdicts/1"
    (verdict,) = data["verdicts"]
    assert (verdict["figure"], verdict["scale"]) == ("tiny", "quick")
    assert (verdict["seeds"], verdict["seed"]) == (2, 5)
    assert Path(verdict["folder"]) == out / "tiny-quick-seeds2-seed5"
    assert verdict["findings"][0]["holds"] in (True, False)
    stored = json.loads((Path(verdict["folder"]) / "verdict.json").read_text())
    assert verdict == {**stored, "folder": verdict["folder"]}


def test_a_failed_task(out: Path) -> None:
    """The other figure is finished all the same."""
    result = run("bad", "tiny", "--out", "out")
    assert result.exit_code == 1
    assert "tiny  A test" in result.stdout
    assert (
        "error: task 'hopeless' (tests.experiments.running.tiny:raises, settings "
        '{"lr": 3}) failed: ValueError: no minimum was found\n' in result.stderr
    )
    assert "Traceback" not in result.stderr
    assert "in raises" in run("bad", "--out", "out", "--debug").stderr


def test_a_damaged_result_is_computed_again_and_said(out: Path) -> None:
    run("tiny", "--out", "out")
    results = open_results(out)
    results.task_file(noises(Settings("quick", 3))[0]).write_bytes(b"\0" * 100)
    result = run("tiny", "--out", "out")
    assert result.exit_code == 0
    assert "is damaged: it cannot be read" in result.stderr
    assert "1 tasks computed, 2 kept" in result.stderr


def test_ctrl_c(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducing, "_backend", lambda *_: Inline(interrupt_after=1))
    result = run("tiny", "--out", "out")
    assert result.exit_code == 130
    assert "kept in out; the same command goes on from there" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FIGURE is missing. `paramsym reproduce --list` shows them"),
        (["tinny"], "there is no figure 'tinny'. Did you mean 'tiny'?"),
        (["tiny", "--scale", "huge"], "there is no scale 'huge'. Choose quick or paper."),
        (["tiny", "--seeds", "0"], "--seeds must be at least 1; got 0."),
        (["tiny", "--seed", "-1"], "--seed must not be negative; got -1."),
        (["tiny", "--jobs", "0"], "--jobs must be at least 1; got 0."),
        (["tiny", "--out", "notes"], "is not empty and holds no results of `paramsym reproduce`"),
        (["tiny", "--out", "notes/thesis.tex"], "is a file; results are a folder"),
        (["tiny", "--out", "notes/thesis.tex/out"], "cannot be written (Not a directory)"),
    ],
)
def test_user_errors_are_one_message(out: Path, arguments: list[str], message: str) -> None:
    notes = out.parent / "notes"
    notes.mkdir()
    (notes / "thesis.tex").write_text("years of work")
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert [path.name for path in notes.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("joblib", [], "joblib is not installed. Write: pip install 'paramsym[experiments]'"),
        ("pyarrow", [], "pyarrow is not installed. Write: pip install 'paramsym[experiments]'"),
        ("distributed", ["--cluster", "local"], "Write: pip install 'paramsym[cluster]'"),
    ],
)
def test_what_is_not_installed_is_named_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment("tiny"))
    monkeypatch.setattr(reproducing, "find_spec", lambda name: None if name == package else 1)
    result = run("tiny", "--out", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of this machine that nothing listens on."""
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment("tiny"))
    monkeypatch.setattr(reproducing, "_PATIENCE", 0.5)
    address = "tcp://127.0.0.1:9"
    result = run("tiny", "--out", str(tmp_path / "out"), "--cluster", address)
    assert result.exit_code == 2
    assert f"no scheduler of dask.distributed answers at {address} within 0.5 s" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, "tiny", experiment("tiny"))
    result = run("tiny", "--out", str(tmp_path / "out"), "--cluster", "everything")
    assert result.exit_code == 2
    assert "--cluster must be" in result.stderr


def test_the_list(out: Path) -> None:
    result = run("--list")
    assert result.exit_code == 0
    assert re.search(r"^tiny +A test called tiny +3 s +4 s$", result.stdout, re.MULTILINE)
    assert max(map(cell_len, result.stdout.splitlines())) <= 80
    assert all(re.search(rf"^{name} ", result.stdout, re.MULTILINE) for name in EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_figure_has_tasks_that_can_be_sent(name: str) -> None:
    """Their keys exist, and their names tell them apart."""
    figure = EXPERIMENTS[name]
    assert figure.name == name
    for scale in SCALES:
        tasks = figure.tasks(Settings(scale, figure.seeds[scale]))
        assert len({task.key for task in tasks}) == len(tasks)
        assert len({task.name for task in tasks}) == len(tasks)


def test_all_means_all(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(EXPERIMENTS):
        if name != "tiny":
            monkeypatch.delitem(EXPERIMENTS, name)
    monkeypatch.setitem(EXPERIMENTS, "more", experiment("more"))
    result = run("all", "--out", "out")
    assert result.exit_code == 0
    assert "3 tasks computed" in result.stderr
    assert (out / "tiny-quick").is_dir()
    assert (out / "more-quick").is_dir()


# -- real processes --------------------------------------------------------------------------------


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`paramsym reproduce counting` as a process group of its own."""
    command = [
        sys.executable, "-m", "tests.experiments.running.program", str(folder / "log"),
        "reproduce", "counting", "--out", str(folder / "out"), *arguments,
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def steps(folder: Path) -> list[tuple[str, int]]:
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def wait_for(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 100
    while len(steps(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(steps(folder)) >= count


def test_a_killed_run_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    """Kill -9 of the process itself, at a random moment; its workers end, too."""
    at = random.randrange(1, 110)
    process = start(tmp_path, "--jobs", "2")
    wait_for(tmp_path, at)
    process.kill()
    process.communicate()
    time.sleep(1)
    before = steps(tmp_path)
    time.sleep(0.5)
    assert steps(tmp_path) == before
    results = open_results(tmp_path / "out")
    tasks = counting(str(tmp_path / "log")).tasks(Settings("quick", 3))
    finished = [task for task in tasks if results.read(task) is not None]
    assert len(finished) < len(tasks), at
    printed, errors = (again := start(tmp_path, "--jobs", "2")).communicate(timeout=120)
    assert again.returncode == 0, errors
    assert "counting  A test called counting" in printed
    assert f"{len(tasks) - len(finished)} tasks computed, {len(finished)} kept" in errors
    done = Counter(steps(tmp_path))
    assert set(done) == {(name, step) for name in "abcdef" for step in range(1, 21)}
    # A step is lost only between its end and its checkpoint, once for each worker.
    assert sum(done.values()) <= len(done) + 2, at


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_reaches_workers_too(tmp_path: Path) -> None:
    process = start(tmp_path, "--jobs", "2")
    wait_for(tmp_path, 5)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.startswith("Interrupted. What is finished is kept in ")
    assert len(errors.splitlines()) == 1
