"""The folder of results: ours is gone on with, and nobody else's is written to."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.results import MARKER, SCHEMA, Results, open_results
from paramsym.experiments.running.task_files import CorruptResultError, encode
from tests.experiments.running.tiny import noise

TASK = Task("noise", noise, {"seed": 0})


@pytest.mark.parametrize("make", [False, True])
def test_an_absent_or_empty_folder_becomes_ours(tmp_path: Path, make: bool) -> None:
    out = tmp_path / "a" / "b"
    if make:
        out.mkdir(parents=True)
    results = open_results(out)
    assert json.loads((out / MARKER).read_text())["schema"] == SCHEMA
    assert results.is_here()
    assert open_results(out) == results
    assert results.read(TASK) is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    results.write(TASK, encode(TASK, noise({"seed": 0}, tmp_path), 1.0))
    found = results.read(TASK)
    assert found is not None
    assert set(found.arrays) == {"sum", "count", "none"}
    results.forget(TASK)
    assert results.read(TASK) is None


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    file = results.task_file(TASK)
    left = file.with_name(f".{file.name}.0123456789ab")
    left.write_bytes(b"half of a fi")
    results.write(TASK, encode(TASK, {}, 1.0))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_folder_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    results.task_file(TASK).mkdir()
    with pytest.raises(CorruptResultError):
        results.read(TASK)


def test_other_peoples_folders_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds no results of `paramsym reproduce`"):
        open_results(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FileExistsError, match="is a file"):
        open_results(tmp_path / "thesis.tex")


def test_a_run_killed_while_it_marked_the_folder_does_not_lock_us_out(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.0123456789ab").write_text('{"sch')
    assert open_results(tmp_path).is_here()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be written \(Not a directory\)"):
        open_results(tmp_path / "file" / "out")


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system lets nobody write; root is stopped by nothing less."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    open_results(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(OSError, match=r"cannot be written \(Read-only file system\)"):
        open_results(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": "paramsym.results/9", "id": "x"}', r"schema 'paramsym.results/9'"),
        ("", "cannot be read as the marker"),
        ("[]", "cannot be read as the marker"),
    ],
)
def test_a_marker_that_is_not_ours(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(ValueError, match=message):
        open_results(tmp_path)


def test_a_folder_of_the_same_name_elsewhere_is_another(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    assert not Results(results.folder, "another id").is_here()
    assert not Results(tmp_path / "absent", results.id).is_here()


def test_many_may_open_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        opened = list(threads.map(open_results, [tmp_path / "out"] * 16))
    assert len({results.id for results in opened}) == 1
