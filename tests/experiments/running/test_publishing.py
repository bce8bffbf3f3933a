"""The folder of a figure: complete, readable by others, and honest about what it holds."""

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.figure import Figure

from paramsym.experiments.experiment import Drawing, Settings, Summary
from paramsym.experiments.running.publishing import folder_name, publish
from paramsym.experiments.running.results import Results, open_results
from paramsym.experiments.running.tables import write_table
from paramsym.experiments.running.task_files import TaskResult, software
from tests.experiments.running.tiny import experiment

TINY = experiment("tiny")
SETTINGS = Settings("quick", 3)
FOUND = [TaskResult({}, 1.5, software()), TaskResult({}, 2.0, {**software(), "torch": "0.1"})]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return open_results(tmp_path / "out")


def summary() -> Summary:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    return Summary([], {"loss": Drawing(figure, "The loss.")}, {"runs": {"seed": [0, 1]}})


def test_one_drawing_and_one_table_have_standard_names(results: Results) -> None:
    folder = publish(TINY, SETTINGS, summary(), FOUND, results)
    names = {path.name for path in folder.iterdir()}
    assert names == {"figure.svg", "figure.pdf", "figure.png", "data.parquet", "verdict.json"}
    height, width = matplotlib.image.imread(folder / "figure.png").shape[:2]
    assert (width, height) == (600, 300)
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_several_have_their_own(results: Results) -> None:
    one = summary()
    several = Summary(
        [],
        {"loss": one.drawings["loss"], "drift": one.drawings["loss"]},
        {"runs": {"seed": [0]}, "points": {"x": [1.0, 2.0]}},
        interactive='{"data": [], "layout": {}}',
    )
    folder = publish(TINY, SETTINGS, several, FOUND, results)
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.{kind}" for name in ("loss", "drift") for kind in ("svg", "pdf", "png")),
        "runs.parquet", "points.parquet", "interactive.json", "verdict.json",
    }  # fmt: skip
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["figures"][1] == {"name": "drift", "caption": "The loss."}
    assert verdict["tables"][1] == {"name": "points", "columns": ["x"], "rows": 2}
    assert verdict["interactive"] is True


def test_the_verdict_names_every_version_that_took_part(results: Results) -> None:
    folder = publish(TINY, SETTINGS, summary(), FOUND, results)
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["versions"]["torch"] == f"0.1, {torch.__version__}"
    assert verdict["seconds"] == 3.5
    assert verdict["settings"] == {"loss": "‖θ‖²"}


def test_the_data_say_where_they_come_from(results: Results) -> None:
    folder = publish(TINY, SETTINGS, summary(), FOUND, results)
    table = pq.read_table(folder / "data.parquet")
    assert table.to_pydict() == {"seed": [0, 1]}
    about = json.loads(table.schema.metadata[b"paramsym"])
    assert about["figure"] == "tiny"
    assert about["scale"] == "quick"
    assert about["versions"]["python"]


def test_an_earlier_folder_is_replaced_as_a_whole(results: Results) -> None:
    folder = publish(TINY, SETTINGS, summary(), FOUND, results)
    (folder / "old.parquet").touch()
    left = folder.with_name(f".{folder.name}.0123456789ab")
    left.mkdir()
    (left / "figure.svg").touch()
    publish(TINY, SETTINGS, summary(), FOUND, results)
    assert not (folder / "old.parquet").exists()
    assert not left.exists()


def test_a_folder_that_is_not_ours_stays(results: Results) -> None:
    other = results.folder / "tiny-quick"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="never replaced"):
        publish(TINY, SETTINGS, summary(), FOUND, results)
    assert (other / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings("quick", 3), "tiny-quick"),
        (Settings("paper", 4), "tiny-paper"),
        (Settings("paper", 3), "tiny-paper-seeds3"),
        (Settings("quick", 3, 7), "tiny-quick-seed7"),
        (Settings("quick", 9, 7), "tiny-quick-seeds9-seed7"),
    ],
)
def test_what_differs_from_the_defaults_is_in_the_name(settings: Settings, name: str) -> None:
    assert folder_name(TINY, settings) == name


def test_columns_of_several_kinds(tmp_path: Path) -> None:
    table = {
        "name": ["a", "b"],
        "tensor": torch.tensor([1.0, float("nan")]).double(),
        "array": np.array([1, 2]),
        "maybe": [None, True],
    }
    write_table(table, tmp_path / "t.parquet", {})  # type: ignore[arg-type]
    read = pq.read_table(tmp_path / "t.parquet")
    assert [str(kind) for kind in read.schema.types] == ["string", "double", "int64", "bool"]
    assert read["maybe"].to_pylist() == [None, True]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [1, 2], "y": [1]}, r"columns of t.parquet differ in length: \{'x': 2, 'y': 1\}"),
        ({"x": [1, "two"]}, r"column t.parquet, 'x' cannot be written"),
        ({"x": torch.ones(2, 2)}, r"column t.parquet, 'x' cannot be written"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, table: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_table(table, tmp_path / "t.parquet", {})
