"""`paramsym transform`: a checkpoint in, another out, the same function."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call
from typer.testing import CliRunner, Result

import paramsym as ps
from paramsym.cli import app
from paramsym.transform.choices import OBJECTIVES
from paramsym.zoo import mlp


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, Tensor]:
    """The built-in network, with weights of its own in `net.safetensors`."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    model, (x,) = mlp()
    model = model.double()
    for p in model.parameters():
        nn.init.normal_(p)
    save_file({k: v.clone() for k, v in model.state_dict().items()}, "net.safetensors")
    return model, x.double()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["transform", "mlp", *arguments])


def change(net: tuple[nn.Module, Tensor], path: str) -> float:
    model, x = net
    with torch.no_grad():
        was, now = model(x), functional_call(model, load_file(path), (x,))
    return float((now - was).abs().max() / was.abs().max())


def conserved(path: str) -> dict[str, Tensor]:
    model, args = mlp()
    return ps.discover(model.eval(), args).conserved(load_file(path))


def test_balance(net: tuple[nn.Module, Tensor]) -> None:
    result = run("net.safetensors", "--balance", "-o", "balanced.safetensors")
    assert result.exit_code == 0, result.output
    assert "parameters moved" in result.stdout
    assert change(net, "balanced.safetensors") < 1e-12
    before = conserved("net.safetensors")
    after = conserved("balanced.safetensors")
    assert max(float(Q.abs().max()) for Q in before.values()) > 1
    assert max(float(Q.abs().max()) for Q in after.values()) < 1e-11


def test_the_canonical_point(net: tuple[nn.Module, Tensor]) -> None:
    """Two checkpoints of one orbit become one."""
    elsewhere = ("--random", "5", "--scale", "0.3", "--discrete", "-o", "elsewhere.safetensors")
    assert run("net.safetensors", *elsewhere).exit_code == 0
    result = run("net.safetensors", "--canonical", "-o", "a.safetensors")
    assert result.exit_code == 0, result.output
    assert "All checkpoints of the orbit" in result.stdout
    result = run("elsewhere.safetensors", "--canonical", "-o", "b.safetensors", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["operation"] == "canonical"
    assert (data["unique"], data["ties"], data["unfixed"]) == (True, [], [])
    assert change(net, "a.safetensors") < 1e-12
    a, b = load_file("a.safetensors"), load_file("b.safetensors")
    assert all(float((a[k] - b[k]).abs().max()) < 1e-11 for k in a)
    start = load_file("net.safetensors")
    assert any(not torch.allclose(start[k], a[k]) for k in a)


def test_a_canonical_point_that_is_not_unique(net: tuple[nn.Module, Tensor]) -> None:
    """Two units that nothing tells apart."""
    state = load_file("net.safetensors")
    first, second = "layers.0.weight", "layers.1.weight"
    for k in (first, first.replace("weight", "bias")):
        state[k][1] = state[k][0]
    state[second][:, 1] = -state[second][:, 0]
    save_file(state, "net.safetensors")
    result = run("net.safetensors", "--canonical", "-o", "a.safetensors")
    assert result.exit_code == 0, result.output
    assert "may have another canonical point" in result.stdout
    assert "pairs of units that sums of squares" in result.stdout


@pytest.mark.parametrize("kind", ["number", "array", "tensors"])
def test_a_target(net: tuple[nn.Module, Tensor], kind: str) -> None:
    name, present = next(iter(conserved("net.safetensors").items()))
    wanted = torch.full_like(present, 0.75)
    if kind == "tensors":
        save_file({name: wanted}, "q.safetensors")
    else:
        content = 0.75 if kind == "number" else wanted.tolist()
        Path("q.json").write_text(json.dumps({name: content}), encoding="utf-8")
    target = "q.safetensors" if kind == "tensors" else "q.json"
    result = run("net.safetensors", "--target", target, "-o", "there.safetensors")
    assert result.exit_code == 0, result.output
    assert change(net, "there.safetensors") < 1e-12
    torch.testing.assert_close(conserved("there.safetensors")[name], wanted)


def test_an_objective(net: tuple[nn.Module, Tensor]) -> None:
    """The weight norm is smallest where all is balanced."""
    assert run("net.safetensors", "--balance", "-o", "b.safetensors").exit_code == 0
    result = run("net.safetensors", "--minimise", "weight-norm", "-o", "m.safetensors")
    assert result.exit_code == 0, result.output
    assert change(net, "m.safetensors") < 1e-12
    sizes = [
        sum(float(v.square().sum()) for v in load_file(path).values())
        for path in ("net.safetensors", "b.safetensors", "m.safetensors")
    ]
    assert sizes[0] > 1.01 * sizes[1]
    assert sizes[2] == pytest.approx(sizes[1], rel=1e-9)


def test_a_random_point_as_data(net: tuple[nn.Module, Tensor]) -> None:
    result = run("net.safetensors", "--random", "5", "-o", "r.safetensors", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["operation"] == "random 5, scale 0.1"
    assert data["change"] == pytest.approx(change(net, "r.safetensors"), abs=1e-15)
    assert data["moved"] <= data["parameters"]
    assert {"torch", "paramsym", "python"} <= data["versions"].keys()
    again = run("net.safetensors", "--random", "5", "-o", "again.safetensors")
    assert again.exit_code == 0
    assert Path("again.safetensors").stat().st_size == Path("r.safetensors").stat().st_size
    same = load_file("again.safetensors")
    assert all(torch.equal(same[k], v) for k, v in load_file("r.safetensors").items())


def test_only_some_families(net: tuple[nn.Module, Tensor]) -> None:
    first, *others = conserved("net.safetensors")
    result = run("net.safetensors", "--random", "0", "--families", first, "-o", "r.safetensors")
    assert result.exit_code == 0, result.output
    before, after = conserved("net.safetensors"), conserved("r.safetensors")
    assert not torch.allclose(before[first], after[first])
    moves = ps.discover(*mlp())[first].moves
    now, was = load_file("r.safetensors"), load_file("net.safetensors")
    assert {k for k in was if not torch.equal(now[k], was[k])} <= moves
    assert others or first


def test_given_inputs(net: tuple[nn.Module, Tensor]) -> None:
    _, x = net
    save_file({"0": torch.randn(3, x.shape[1]).double()}, "x.safetensors")
    arguments = ("net.safetensors", "--balance", "--inputs", "x.safetensors", "-o", "o.safetensors")
    assert run(*arguments).exit_code == 0
    save_file({"1": x}, "x.safetensors")
    result = run(*arguments, "--force")
    assert result.exit_code == 2
    assert "numbered from 0" in result.output


def test_the_help_names_every_objective() -> None:
    assert all(name in run("--help").output for name in OBJECTIVES)


BAD = {
    "nothing to do": (["net.safetensors"], "give exactly one of --balance"),
    "two things": (["net.safetensors", "--balance", "--random", "1"], "got --balance and --random"),
    "no checkpoint": (["none.safetensors", "--balance"], "there is no checkpoint"),
    "pickled": (["pickled.bin", "--balance"], "is no safetensors file"),
    "unknown objective": (["net.safetensors", "--minimise", "loss"], "there is no objective"),
    "unknown family": (["net.safetensors", "--balance", "--families", "x*"], "no family matches"),
    "no target file": (["net.safetensors", "--target", "none.json"], "there is no target file"),
    "target is no JSON": (["net.safetensors", "--target", "pickled.bin"], "is no JSON"),
    "target is a list": (["net.safetensors", "--target", "list.json"], "must be an object"),
    "target is text": (["net.safetensors", "--target", "text.json"], "must give numbers"),
    "target of no family": (
        ["net.safetensors", "--target", "other.json"],
        "there is no family",
    ),
    "another model's": (["other.safetensors", "--balance"], "does not fit the model"),
    "a scale of no random point": (
        ["net.safetensors", "--balance", "--scale", "1"],
        "--random too",
    ),
    "discrete, not random": (["net.safetensors", "--balance", "--discrete"], "give --random too"),
    "a negative scale": (
        ["net.safetensors", "--random", "1", "--scale", "-1"],
        "must be 0 or more",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(net: tuple[nn.Module, Tensor], case: str) -> None:
    torch.save({"a": torch.ones(2)}, "pickled.bin")
    Path("list.json").write_text("[1]")
    Path("text.json").write_text('{"a": "b"}')
    Path("other.json").write_text('{"no such family": 1}')
    save_file({"a": torch.ones(2)}, "other.safetensors")
    before = sorted(p.name for p in Path().iterdir())
    arguments, message = BAD[case]
    result = run(*arguments, "-o", "out.safetensors")
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert sorted(p.name for p in Path().iterdir()) == before


def test_the_checkpoint_itself_is_never_the_output(net: tuple[nn.Module, Tensor]) -> None:
    content = Path("net.safetensors").read_bytes()
    result = run("net.safetensors", "--balance", "-o", "./net.safetensors", "--force")
    assert result.exit_code == 2
    assert "must not be CHECKPOINT" in result.output
    assert Path("net.safetensors").read_bytes() == content
