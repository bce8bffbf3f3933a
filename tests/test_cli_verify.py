"""`paramsym verify`, on the claims that take no time."""

import json
import math
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from typer.testing import CliRunner, Result

import paramsym.claims as claims
from paramsym.claims import CLAIMS, Claim, Evidence, Residual, Verdict
from paramsym.claims.claim import Measure
from paramsym.cli import app
from tests.report.pages import Page, require_self_contained

QUICK = "thm-3.3"
"""Beginning of the ids of some claims."""


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(app, ["verify", *arguments], env={"COLUMNS": str(columns)})


def test_a_table_of_verdicts() -> None:
    result = run(QUICK)
    assert result.exit_code == 0, result.output
    chosen = [id for id in CLAIMS if id.startswith(QUICK)]
    assert len(chosen) > 1
    assert all(id in result.output for id in chosen)
    assert f"{len(chosen)} claims: " in result.output
    assert "all as documented" in result.output
    assert max(map(cell_len, result.output.splitlines())) <= 80


def test_json_is_all_there_is() -> None:
    result = run(QUICK, "--json", "--seed", "3")
    data = json.loads(result.stdout)
    assert data["seed"] == 3
    assert data["schema"] == "paramsym.claims/1"
    assert {entry["verdict"] for entry in data["claims"]} <= {str(v) for v in Verdict}
    for entry in data["claims"]:
        assert entry["verdict"] == entry["documented"]
        assert entry["printed"]["holds"] == (entry["verdict"] == "holds")


def test_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run(QUICK, "--out", str(page)).exit_code == 0
    text = page.read_text(encoding="utf-8")
    require_self_contained(Page(text))
    assert all(id in text for id in CLAIMS if id.startswith(QUICK))
    again = run(QUICK, "--out", str(page))
    assert again.exit_code == 2
    assert "--force" in again.output


def test_the_list() -> None:
    result = run("--list")
    assert result.exit_code == 0
    assert all(id in result.output for id in CLAIMS)


def test_a_claim_that_is_none() -> None:
    result = run("thm-99")
    assert result.exit_code == 2
    assert "there is no claim 'thm-99'" in result.output
    assert "--list" in result.output


def test_an_id_means_that_claim_alone() -> None:
    """Though it is the beginning of others."""
    assert any(id.startswith("c.8") for id in CLAIMS if id != "c.8")
    entries = json.loads(run("c.8", "--json").stdout)["claims"]
    assert [entry["id"] for entry in entries] == ["c.8"]
    entries = json.loads(run("ex-d.1", "c.8", "ex-d.1-2", "--json").stdout)["claims"]
    assert [entry["id"] for entry in entries] == ["ex-d.1-1", "ex-d.1-2", "ex-d.1-3", "c.8"]


def test_the_empty_name_is_no_beginning() -> None:
    result = run("")
    assert result.exit_code == 2
    assert "there is no claim ''" in result.output


@pytest.mark.parametrize("seed", ["-1", str(2**63), "one"])
def test_a_seed_that_is_none(seed: str) -> None:
    result = run("c.8", "--seed", seed)
    assert result.exit_code == 2
    assert "--seed" in result.output


def test_the_schema() -> None:
    data = json.loads(run("c.8", "sec-5-flat", "--json").stdout)
    assert set(data) == {"schema", "claims", "seed", "versions"}
    for entry in data["claims"]:
        assert list(entry) == [
            "id", "reference", "statement", "correction", "printed", "corrected", "verdict",
            "documented", "seconds",
        ]  # fmt: skip
        assert bool(entry["correction"]) == bool(entry["corrected"])
        for residual in (entry["printed"], entry["corrected"] or entry["printed"]):
            assert list(residual) == ["value", "bound", "what", "holds"]
            assert residual["holds"] == (residual["value"] <= residual["bound"])


def replaced(id: str, measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    known = CLAIMS[id]
    changed = Claim(
        id, known.reference, known.statement, known.correction, known.documented, measure
    )
    monkeypatch.setitem(claims.CLAIMS, id, changed)


def test_numbers_that_are_none_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN or an infinity is not JSON; it is written as null, and does not hold."""
    for value in (math.nan, math.inf):
        replaced("c.8", lambda _, value=value: Evidence(Residual(value, 1, "")), monkeypatch)
        result = run("c.8", "--json")
        assert result.exit_code == 1
        (entry,) = json.loads(result.stdout, parse_constant=pytest.fail)["claims"]
        assert entry["printed"] == {"value": None, "bound": 1, "what": "", "holds": False}


def test_a_measurement_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: torch.Generator) -> Evidence:
        raise ArithmeticError("no such integral")

    replaced("c.8", measure, monkeypatch)
    result = run("c.8", "--seed", "7")
    assert result.exit_code == 1
    assert result.exception is not None
    assert result.exception.__notes__ == ["The claim c.8 could not be measured with seed 7."]


def test_interrupting_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: torch.Generator) -> Evidence:
        raise KeyboardInterrupt

    replaced("c.8", measure, monkeypatch)
    result = run("c.8", "--json")
    assert result.exit_code == 130
    assert not result.stdout


def test_a_verdict_that_is_not_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code says so."""
    id = next(id for id in CLAIMS if id.startswith(QUICK))
    known = CLAIMS[id]
    wrongly = next(v for v in Verdict if v is not known.documented)
    changed = Claim(id, known.reference, known.statement, known.correction, wrongly, known.measure)
    monkeypatch.setitem(claims.CLAIMS, id, changed)
    result = run(id)
    assert result.exit_code == 1
    assert "1 NOT as documented" in result.output
