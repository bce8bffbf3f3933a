"""`paramsym verify`, on the claims that take no time."""

import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

import paramsym.claims as claims
from paramsym.claims import CLAIMS, Claim, Verdict
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
