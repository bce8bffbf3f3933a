"""The demo's quick run: its numbers keep their promises, its page stands alone, it is atomic."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import paramsym.demo as demo
from paramsym.nets import DigitsCNN
from paramsym.storage import from_dict
from tests.report.pages import Page, require_self_contained

CONSOLE = Console(file=io.StringIO(), width=100)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One quick run that the tests of its contents share."""
    page = demo.run(tmp_path_factory.mktemp("demo") / "out", quick=True, console=CONSOLE)
    assert page.name == "index.html"
    return page.parent


@pytest.fixture(scope="module")
def data(result: Path) -> dict[str, Any]:
    return json.loads((result / "demo.json").read_text(encoding="utf-8"))


def test_the_folder_is_complete(result: Path) -> None:
    names = sorted(str(p.relative_to(result)) for p in result.rglob("*") if p.is_file())
    figures = [
        f"figures/{name}.{ending}"
        for name in ("drift", "law", "paths", "weights")
        for ending in ("pdf", "svg")
    ]
    assert names == ["demo.json", *figures, "index.html"]
    assert [p.name for p in result.parent.iterdir()] == ["out"]


def test_the_network_moves_and_its_outputs_stay(data: dict[str, Any]) -> None:
    move = data["move"]
    assert move["distance"] > 1
    assert move["change_float64"] < 1e-12
    assert move["change_float32"] < 1e-6
    assert move["accuracy_before"] == move["accuracy_after"]
    assert max(move["orbit"]["change"]) < 1e-12
    assert move["straight"]["change"][-1] > 0.1
    assert move["orbit"]["distance"] == pytest.approx(move["straight"]["distance"], rel=1e-12)


def test_every_claim_is_recorded_and_holds(data: dict[str, Any]) -> None:
    assert len(data["claims"]) == 5
    for claim in data["claims"]:
        assert claim["holds"] is True
        assert math.isfinite(claim["value"])


def test_the_law_is_followed(data: dict[str, Any]) -> None:
    training = data["training"]
    assert training["largest_residual"] < 1e-12
    # The law explains a drift that is there: it is far larger than the residual.
    assert training["final_drift"] > 1e-4
    for name, measured in training["measured"].items():
        first, last = torch.tensor(measured[0]), torch.tensor(measured[-1])
        assert not torch.equal(first, last)
        assert torch.allclose(last, torch.tensor(training["predicted"][name][-1]), rtol=1e-6)


def test_drift_is_proportional_to_the_rate_for_gradient_descent_alone(
    data: dict[str, Any],
) -> None:
    by_name = {entry["optimizer"]: entry for entry in data["drift"]}
    for slope in by_name["SGD"]["slopes"]:
        assert slope == pytest.approx(1, abs=0.3)
    for slope in by_name["Adam"]["slopes"]:
        assert abs(slope) < 0.5
    assert len(by_name["SGD"]["slopes"]) == 2


def test_the_symmetry_and_the_run_are_recorded(data: dict[str, Any]) -> None:
    assert data["totals"] == {"parameters": 3682, "group_dim": 128, "dim": 128, "laws": 92}
    symmetry = from_dict(data["symmetry"])
    assert symmetry.dim == 128
    assert data["seed"] == 0
    assert data["versions"]["torch"] == torch.__version__
    assert data["settings"]["epochs"] == 3
    assert 0 < data["seconds"] < 60


def test_the_recorded_element_moves_any_such_network(data: dict[str, Any]) -> None:
    symmetry = from_dict(data["symmetry"])
    g = {k: torch.tensor(v, dtype=torch.float64) for k, v in data["move"]["element"].items()}
    model = DigitsCNN(dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    params = {k: p.detach() for k, p in model.named_parameters()}
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = model(x)
        after = torch.func.functional_call(model, symmetry.act(g, params), (x,))
    assert float((after - before).norm() / before.norm()) < 1e-13


def test_the_page_stands_alone(result: Path) -> None:
    page = Page((result / "index.html").read_text(encoding="utf-8"))
    require_self_contained(page)
    # Four figures, the drawing of the symmetry, and the neuron.
    assert page.tags.count("svg") == 6
    for family in ("conv1 → conv2", "conv2 → fc", "fc → bottleneck", "bottleneck → head"):
        assert family in page.text
    assert "✗" not in page.text
    assert "nan" not in page.text.lower().split()


def test_an_earlier_result_is_kept_unless_forced(result: Path) -> None:
    before = (result / "index.html").read_bytes()
    with pytest.raises(FileExistsError, match="holds an earlier result"):
        demo.run(result, quick=True)
    assert (result / "index.html").read_bytes() == before


def test_other_folders_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="never replaced"):
        demo.run(tmp_path, quick=True, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(demo, "drift", fails)
    with pytest.raises(RuntimeError, match="the disk is full"):
        demo.run(tmp_path / "out", quick=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("result")
def test_progress_is_shown() -> None:
    assert isinstance(CONSOLE.file, io.StringIO)
    shown = CONSOLE.file.getvalue()
    for step in ("discovering symmetries", "training on digits", "drift under SGD", "300/300"):
        assert step in shown


@pytest.mark.slow  # a second run of the demo
def test_the_seed_decides_everything(tmp_path: Path, data: dict[str, Any]) -> None:
    out = demo.run(tmp_path / "out", quick=True).parent
    again = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    for key in ("settings", "totals", "symmetry"):
        assert again[key] == data[key]
    # Sums may be ordered otherwise in another run, so not to the last bit.
    for mine, first in zip(again["drift"], data["drift"], strict=True):
        assert mine["slopes"] == pytest.approx(first["slopes"], rel=1e-6)
    assert again["training"]["loss_last"] == pytest.approx(data["training"]["loss_last"], rel=1e-9)
