"""The command line: what it prints where, its exit codes, and how fast it answers."""

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import typer
from rich.cells import cell_len
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from paramsym import certify_blocks, discover
from paramsym.cli import app
from paramsym.loading import load_model
from paramsym.storage import from_dict
from paramsym.zoo import BUILTIN, mlp

MODELS = """
import torch
from torch import nn

def twice():
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)), (torch.randn(2, 3),)

def deep():
    blocks = [nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.Tanh())
              for _ in range(22)]
    return nn.Sequential(*blocks), (torch.randn(2, 4),)

def wide():
    return nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 2)), (torch.randn(2, 64),)

def rejected():
    return nn.Linear(3, 2), (torch.randn(2, 5),)

def not_finite():
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, float("nan"))
    return model, (torch.randn(2, 3),)

class Branch(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y if y.sum() > 0 else -y

def branch():
    return Branch(3, 2), (torch.randn(2, 3),)

def no_parameters():
    return nn.ReLU(), (torch.randn(2, 3),)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a user who wrote `users_nets.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delitem(sys.modules, "users_nets", raising=False)
    (tmp_path / "users_nets.py").write_text(MODELS)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def shell(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that runs the command line, then `code`."""
    start = f"import sys\nfrom paramsym.cli import main\ntry: main()\nfinally: {code or 'pass'}"
    return subprocess.run(
        [sys.executable, "-c", start, *arguments], capture_output=True, text=True, timeout=120
    )


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--help",), ("inspect", "-h"), ("demo", "-h"), ()])
def test_help_does_not_wait_for_torch(arguments: tuple[str, ...]) -> None:
    result = shell(*arguments, code="print('torch' in sys.modules, file=sys.stderr)")
    assert "Usage:" in result.stdout + result.stderr
    assert result.stderr.splitlines()[-1] == "False"


def test_help_shows_examples_within_80_columns(folder: Path) -> None:
    for command in ("inspect", "demo"):
        text = run(command, "--help").stdout
        assert re.search(rf"Examples:\n +paramsym {command}", text)
        assert max(map(len, text.splitlines())) <= 80


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    expected = rf"paramsym \S+, torch {re.escape(version('torch'))}, python \d+\.\d+\.\d+\n"
    assert re.fullmatch(expected, result.stdout)


def test_list_describes_every_model() -> None:
    result = run("inspect", "--list")
    assert result.exit_code == 0
    assert all(re.search(rf"^{name}  +\w", result.stdout, re.MULTILINE) for name in BUILTIN)


# -- inspect ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_every_builtin_model(name: str, folder: Path) -> None:
    result = run("inspect", name)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(name)
    assert "flat directions" in result.stdout
    assert max(map(cell_len, result.stdout.splitlines())) <= 80
    assert result.stderr == ""


def test_json_is_the_symmetry_and_its_circumstances(folder: Path) -> None:
    result = run("inspect", "cnn", "--json", "--seed", "3")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert from_dict(data) == discover(*BUILTIN["cnn"]())
    assert data["model"] == "cnn"
    assert data["seed"] == 3
    assert data["totals"] == {
        "parameters": 3682,
        "group_dim": 128,
        "flat_directions": 128,
        "conserved_quantities": 92,
    }
    assert data["versions"]["torch"] == version("torch")
    assert data["versions"]["python"] == platform.python_version()
    assert data["versions"]["paramsym"]


def test_the_certificate_on_request(folder: Path) -> None:
    result = run("inspect", "users_nets:twice", "--certify", "--out", "page.html")
    assert result.exit_code == 0, result.output
    assert "Certificate: complete" in result.stdout
    assert "page.html" in result.stderr
    data = json.loads(run("inspect", "users_nets:twice", "--certify", "--json").stdout)
    counts = data["certificate"]
    assert (
        counts["nullity"]
        == counts["explained"]
        >= counts["rank"]
        == data["totals"]["flat_directions"]
    )
    assert (counts["verdict"], counts["extra"]) == ("complete", 0)
    assert "certificate" not in json.loads(run("inspect", "users_nets:twice", "--json").stdout)


def test_a_large_model_is_certified_by_blocks(folder: Path) -> None:
    result = run("inspect", "users_nets:wide", "--certify", "--out", "page.html")
    assert result.exit_code == 0, result.output
    assert "Certificate by blocks: undecided, inside of each block" in result.stdout
    assert re.search(r"not looked at: 12800 parameters need \d\S* GB +0\.weight", result.stdout)
    assert "Directions across blocks are not seen" in result.stdout
    assert (folder / "page.html").is_file()


@pytest.mark.parametrize("columns", ["50", "80"])
def test_a_certificate_is_folded_and_not_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """A narrow terminal shows every word of it."""
    monkeypatch.setenv("COLUMNS", columns)
    wide = load_model("users_nets:wide")
    told = str(certify_blocks(wide.model, wide.args))
    printed = run("inspect", "users_nets:wide", "--certify").stdout
    shown = printed[printed.index("Certificate") :]
    assert shown.split() == told.split()
    assert max(map(cell_len, printed.splitlines())) <= int(columns)


def test_no_line_ends_in_blanks(folder: Path) -> None:
    for arguments in (["mlp", "--certify"], ["cnn"], ["--list"]):
        lines = run("inspect", *arguments).stdout.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []


def test_a_very_large_model_is_not_certified_by_accident(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paramsym.cli.inspecting.BLOCKWISE", 1000)
    result = run("inspect", "users_nets:wide", "--certify")
    assert result.exit_code == 2
    assert "`certify` needs about" in result.stderr
    assert "`certify_blocks`" in result.stderr


def test_json_repeats() -> None:
    assert run("inspect", "mlp", "--json").stdout == run("inspect", "mlp", "--json").stdout


def test_a_pt2_file_in_a_fresh_interpreter(folder: Path) -> None:
    torch.export.save(torch.export.export(*mlp()), folder / "net.pt2")
    result = shell("inspect", "net.pt2", "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    data = json.loads(result.stdout)
    assert (data["mode"], data["totals"]["flat_directions"]) == ("exported", 48)


def test_the_mode_decides(folder: Path) -> None:
    """Dropout acts on each coordinate, so that only scalings pass it; in evaluation it is gone."""
    dims = {
        option: json.loads(run("inspect", "users_nets:twice", "--json", option).stdout)["totals"]
        for option in ("--train", "--eval")
    }
    assert dims["--train"]["group_dim"] == 4
    assert dims["--eval"]["group_dim"] == 16 + 4  # GL(4), and a shift that the last bias takes up
    assert "eval mode" in run("inspect", "users_nets:twice", "--eval").stdout


def test_all_shows_every_family(folder: Path) -> None:
    grouped, everything = (run("inspect", "users_nets:deep", *a).stdout for a in ([], ["--all"]))
    assert "{0…21}" in grouped
    assert "×22" in grouped
    assert all(re.search(rf" {k}\.0 → {k}\.2 ", everything) for k in range(22))


@pytest.mark.parametrize("model", ["cnn", "users_nets:deep", "hf:tiny-bert"])
def test_meta_looks_at_the_structure_alone(model: str, folder: Path) -> None:
    data = json.loads(run("inspect", model, "--meta", "--json").stdout)
    real = json.loads(run("inspect", model, "--no-verify", "--json").stdout)
    assert data["verification"] is None
    assert data["totals"] == real["totals"]
    assert "Unverified" in run("inspect", model, "--meta").stdout


def test_no_verify_says_so(folder: Path) -> None:
    result = run("inspect", "mlp", "--no-verify")
    assert result.exit_code == 0
    assert "Unverified" in result.stdout
    assert "unchecked" in result.stdout


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mlpp"], "there is no model 'mlpp'. Did you mean 'mlp'?"),
        (["nowhere.pt2"], "'nowhere.pt2' does not exist"),
        (["users_nets:deeep"], "has no 'deeep'. Did you mean 'deep'?"),
        (["users_nets:rejected"], "the model rejects these inputs ((2, 5) float32)"),
        (["users_nets:not_finite"], "parameters that are not finite"),
        (["users_nets:no_parameters"], "has no parameters"),
        (["hf:tiny-gtp2"], "Did you mean 'tiny-gpt2'"),
        (["hf:./nowhere"], "there is no folder 'nowhere'. Nothing is downloaded"),
        (["hf:llama-2-7b"], "Use --meta"),
        (["users_nets:branch", "--meta"], "cannot be inspected without values"),
        (["mlp", "--certify", "--meta"], "Leave out --meta."),
        (["mlp", "--out", "users_nets.py"], "users_nets.py exists."),
        (["mlp", "--out", "."], "is a folder"),
        (["mlp", "--out", "none/page.html"], "the folder none does not exist"),
        (["--json"], "MODEL is missing"),
    ],
)
def test_user_errors_are_one_message_on_stderr(
    folder: Path, arguments: list[str], message: str
) -> None:
    result = run("inspect", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_adds_the_traceback(folder: Path) -> None:
    result = run("inspect", "mlpp", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: there is no model")


def test_a_program_has_the_mode_of_its_export(folder: Path) -> None:
    torch.export.save(torch.export.export(*mlp()), folder / "net.pt2")
    result = run("inspect", "net.pt2", "--eval")
    assert result.exit_code == 2
    assert "was fixed at export" in result.stderr


def test_bugs_keep_their_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AssertionError("an invariant of ours")

    monkeypatch.setattr("paramsym.loading.load_model", broken)
    result = run("inspect", "mlp")
    assert isinstance(result.exception, AssertionError)


def test_withdrawn_families_are_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault in the check: a tolerance that nothing can meet."""
    check = sys.modules["paramsym.discovery.verify"]
    monkeypatch.setattr(check, "_tolerance", lambda *_: -1.0)
    result = run("inspect", "mlp")
    assert result.exit_code == 1
    assert "WITHDRAWN: 2 families" in result.stdout
    assert "layers.0 → layers.1; layers.1 → layers.2" in result.stderr
    assert "please report it" in result.stderr


def test_a_page_is_not_overwritten(folder: Path) -> None:
    page = folder / "page.html"
    result = run("inspect", "mlp", "--out", "page.html")
    assert result.exit_code == 0, result.output
    assert "<html" in page.read_text()
    assert result.stderr == "Wrote page.html\n"
    page.write_text("mine")
    assert run("inspect", "mlp", "--out", "page.html").exit_code == 2
    assert page.read_text() == "mine"
    assert run("inspect", "mlp", "--out", "page.html", "--force").exit_code == 0
    assert "<html" in page.read_text()


def test_the_documented_output_is_real(folder: Path) -> None:
    """Every command in docs/cli.md prints what is pasted there, but for the size of rounding."""
    text = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    factory = next(code for code in blocks(text, "python") if code.startswith("# my_models.py"))
    (folder / "my_models.py").write_text(factory)
    torch.export.save(torch.export.export(*mlp()), folder / "net.pt2")
    save_file(mlp()[0].state_dict(), folder / "mlp.safetensors")
    steps = [step for block in blocks(text, "console") for step in block.split("$ paramsym ")[1:]]
    assert len(steps) > 8
    for step in steps:
        arguments, _, documented = step.partition("\n")
        result = CliRunner().invoke(app, arguments.split(), prog_name="paramsym")
        printed = "\n".join(line.rstrip() for line in result.output.strip("\n").splitlines())
        assert masked(printed) == masked(documented.rstrip()), f"docs/cli.md: {arguments}"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def masked(text: str) -> str:
    return re.sub(r"\de[+-]\d\d", "#", text)


def test_the_commands_are_these() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert list(commands) == ["inspect", "transform", "verify", "reproduce", "report", "demo"]
