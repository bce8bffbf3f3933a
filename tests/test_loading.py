"""Model names on the command line, good and bad; and that reading a file runs nothing in it."""

import io
import json
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paramsym import discover
from paramsym.loading import load_model
from paramsym.zoo import BUILTIN

INPUTS = "data/sample_inputs/model.pt"
GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


class Net(nn.Module):
    """Tied weights, a buffer, a frozen parameter, a keyword input."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(4, 6)
        self.down = nn.Linear(6, 4)
        self.again = self.down
        self.norm = nn.BatchNorm1d(4)
        self.up.bias.requires_grad_(False)

    def forward(self, x: Tensor, *, shift: Tensor) -> Tensor:
        y = self.norm(self.down(torch.relu(self.up(x))))
        return self.again(torch.relu(self.up(y))) + shift


def inputs() -> tuple[tuple[Tensor], dict[str, Tensor]]:
    return (torch.randn(3, 4),), {"shift": torch.ones(4)}


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    args, kwargs = inputs()
    return torch.export.export(Net(), args, kwargs)


@pytest.fixture(scope="module")
def entries(program: torch.export.ExportedProgram) -> dict[str, bytes]:
    """Entries of a sound archive by name, without the root folder."""
    file = io.BytesIO()
    torch.export.save(program, file)
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, entries: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
    return str(path)


def with_graph(entries: dict[str, bytes], change: Callable[[Any], None]) -> dict[str, bytes]:
    graph = json.loads(entries[GRAPH])
    change(graph)
    return {**entries, GRAPH: json.dumps(graph).encode()}


class Touch:
    """Pickled, it creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


# -- built-in models and factories ---------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin(name: str) -> None:
    loaded = load_model(name)
    assert loaded.title == name
    assert isinstance(loaded.model, nn.Module)
    loaded.model(*(loaded.args or ()), **loaded.kwargs)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of the user's, whose modules leave no trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name.startswith("users_")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


FACTORIES = """
import torch
from torch import nn

def net():
    return nn.Linear(3, 2), (torch.randn(1, 3),)

def with_kwargs():
    return nn.Linear(3, 2), (), {"input": torch.randn(1, 3)}

class Inner:
    make = staticmethod(net)

def fails():
    raise RuntimeError("the weights are elsewhere\\nsecond line")

def needs(width):
    return net()

def bare(): return nn.Linear(3, 2)
def one(): return (nn.Linear(3, 2),)
def klass(): return nn.Linear, (torch.randn(1, 3),)
def tensor(): return nn.Linear(3, 2), torch.randn(1, 3)
def listed(): return nn.Linear(3, 2), (), [1]
number = 3
instance = nn.Linear(3, 2)
"""


def test_factories_of_the_working_folder(folder: Path) -> None:
    (folder / "users_models.py").write_text(FACTORIES)
    loaded = load_model("users_models:net")
    assert loaded.title == "users_models:net"
    assert discover(loaded.model, loaded.args, loaded.kwargs).parameters
    assert load_model("users_models:with_kwargs").kwargs.keys() == {"input"}
    assert load_model("users_models:Inner.make").args


def test_the_seed_decides_random_parameters(folder: Path) -> None:
    (folder / "users_models.py").write_text(FACTORIES)
    weights = []
    for seed in (1, 1, 2):
        model = load_model("users_models:net", seed=seed).model
        assert isinstance(model, nn.Module)
        weights.append(next(model.parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cnnn", "there is no model 'cnnn'. Did you mean 'cnn'?"),
        ("zzz", "Built-in models are mlp, "),
        ("users_models.net", "with a colon"),
        ("users_models.py", "with a colon"),
        ("users_models:", "must name a module and a factory"),
        (":net", "must name a module and a factory"),
        ("users_models.py:net", "Write `users_models:net`"),
        ("users_nowhere:net", "there is no module 'users_nowhere'"),
        ("users_models.inner:net", "there is no module 'users_models.inner'"),
        ("users_models:nett", "module 'users_models' has no 'nett'. Did you mean 'net'?"),
        ("users_models:qqqqqqq", "module 'users_models' has no 'qqqqqqq'"),
        ("users_models:fails", "failed: RuntimeError: the weights are elsewhere ("),
        ("users_models:needs", "called without arguments"),
        ("users_broken:net", r"importing 'users_broken' failed: ZeroDivisionError: division by"),
        ("users_lacking:net", "importing 'users_lacking' failed: ModuleNotFoundError: No module "),
    ],
)
def test_what_does_not_load(folder: Path, name: str, message: str) -> None:
    (folder / "users_models.py").write_text(FACTORIES)
    (folder / "users_broken.py").write_text("1 / 0")
    (folder / "users_lacking.py").write_text("import a_package_that_is_nowhere")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("bare", "got a Linear. Return the example inputs as well."),
        ("one", "got a tuple of 1"),
        ("klass", "must be a torch.nn.Module; got a type. Return an instance, not the class."),
        ("tensor", "must be a tuple, as for `model(*args)`; got a Tensor. Return (model, (x,))."),
        ("listed", "must be a dict; got a list."),
        ("number", "must be a function that returns (model, args); got an int."),
        ("instance", "`users_models:instance` is a model. Name a function that returns it"),
    ],
)
def test_what_a_factory_must_return(folder: Path, factory: str, message: str) -> None:
    (folder / "users_models.py").write_text(FACTORIES)
    with pytest.raises(TypeError, match=re.escape(message)):
        load_model(f"users_models:{factory}")


def test_weights_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"net\.safetensors holds weights and no model"):
        load_model(str(tmp_path / "net.safetensors"))


# -- .pt2 files ------------------------------------------------------------------------------------


def test_a_saved_program(tmp_path: Path, program: torch.export.ExportedProgram) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(program, path, extra_files={"notes.txt": "of mine"})
    loaded = load_model(str(path))
    assert loaded.title == "net.pt2"
    found, direct = discover(loaded.model), discover(program)
    assert found.families == direct.families
    assert found.parameters == direct.parameters
    assert [p.aliases for p in found.parameters if p.name == "down.weight"] == [("again.weight",)]
    assert [p.name for p in found.parameters if not p.trainable] == ["up.bias"]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's, in run_decompositions
def test_a_saved_program_in_the_inference_form(
    tmp_path: Path, program: torch.export.ExportedProgram
) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(program.run_decompositions({}), path)
    assert discover(load_model(str(path)).model).families == discover(program).families


def test_rewriting_alone_changes_nothing(tmp_path: Path, entries: dict[str, bytes]) -> None:
    """The planted faults below are what is refused, not the way they are written."""
    discover(load_model(write(tmp_path / "net.pt2", entries)).model)


def test_missing_damaged_and_other_files(tmp_path: Path, entries: dict[str, bytes]) -> None:
    whole = Path(write(tmp_path / "whole.pt2", entries)).read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(entries["data/weights/weight_0"])] ^= 1
    checkpoint = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, checkpoint)
    cases = {
        "empty": (b"", "is not a .pt2 file"),
        "text": (b"hello there", "is not a .pt2 file"),
        "short": (whole[: len(whole) // 2], "is damaged"),
        "flipped": (bytes(flipped), "is damaged in 'archive/data/weights/weight_0'"),
        "checkpoint": (checkpoint.getvalue(), "holds no exported program"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / f"{name}.pt2"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            load_model(str(path))
    with pytest.raises(ValueError, match="does not exist"):
        load_model(str(tmp_path / "nowhere.pt2"))
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        load_model(str(tmp_path / "folder.pt2"))


def test_pickled_inputs_run_only_when_trusted(tmp_path: Path, entries: dict[str, bytes]) -> None:
    marker = tmp_path / "executed"
    inputs = io.BytesIO()
    torch.save(((Touch(marker),), {}), inputs)
    path = write(tmp_path / "net.pt2", {**entries, INPUTS: inputs.getvalue()})
    with pytest.raises(ValueError, match=r"sample inputs are pickled objects.*--trust"):
        load_model(path)
    assert not marker.exists()
    load_model(path, trust=True)
    assert marker.exists()


def test_pickled_weights_are_refused(tmp_path: Path, entries: dict[str, bytes]) -> None:
    marker = tmp_path / "executed"
    config = json.loads(entries[WEIGHTS])
    payload = config["config"]["up.weight"]
    payload["use_pickle"] = True
    weight = io.BytesIO()
    torch.save(Touch(marker), weight)
    changed = {WEIGHTS: json.dumps(config).encode()}
    changed[f"data/weights/{payload['path_name']}"] = weight.getvalue()
    path = write(tmp_path / "net.pt2", {**entries, **changed})
    with pytest.raises(ValueError, match=r"'up.weight' is pickled in 'data/weights'"):
        load_model(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/constants/opaque_obj_0",
        "data/constants/custom_obj_0",
        "data/weights/model.pt",
        "data/aotinductor/model/model.so",
        "models/another.json",
    ],
)
def test_entries_that_could_run_are_refused(
    tmp_path: Path, entries: dict[str, bytes], name: str
) -> None:
    path = write(tmp_path / "net.pt2", {**entries, name: pickle.dumps(Touch(tmp_path / "x"))})
    with pytest.raises(ValueError, match=f"entry '{name}' would be unpickled or run as code"):
        load_model(path)


def first_node(graph: Any) -> Any:
    return graph["graph_module"]["graph"]["nodes"][0]


def evaluated_size(graph: Any) -> None:
    sizes = next(iter(graph["graph_module"]["graph"]["tensor_values"].values()))["sizes"]
    sizes[0] = {"as_expr": {"expr_str": "__import__('os').getpid()", "hint": None}}


def pytree_of_a_class(graph: Any) -> None:
    signature = graph["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps(
        [1, {"type": "collections.defaultdict", "context": "[]", "children_spec": []}]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (evaluated_size, "would be evaluated"),
        (pytree_of_a_class, "names containers other than"),
        (lambda g: g.update(guards_code=["print()"]), "guards, which are compiled"),
        (lambda g: g.update(range_constraints={"s0": {}}), "symbolic shapes"),
        (lambda g: first_node(g).update(target="torch.hub.load"), "'torch.hub.load' is not one"),
        (lambda g: first_node(g).update(target="torch.ops.load_library"), "is not one of aten"),
        (lambda g: first_node(g).update(target="torch.ops.aten.from_file.default"), "is not one"),
        (lambda g: first_node(g).update(target="_operator.call"), "is not one of aten"),
        (lambda g: first_node(g).update(name="x = print()"), "is not an identifier"),
        (lambda g: g.pop("graph_module"), "layout is unknown to torch"),
    ],
)
def test_graphs_that_could_run_are_refused(
    tmp_path: Path, entries: dict[str, bytes], change: Callable[[Any], None], message: str
) -> None:
    path = write(tmp_path / "net.pt2", with_graph(entries, change))
    with pytest.raises(ValueError, match=message):
        load_model(path)


def test_two_tables_of_contents_are_refused(tmp_path: Path, entries: dict[str, bytes]) -> None:
    path = Path(write(tmp_path / "net.pt2", entries))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("elsewhere/models/model.json", b"{}")
    with pytest.raises(ValueError, match="refused"):
        load_model(str(path))


def test_what_torch_cannot_read_is_one_message(tmp_path: Path, entries: dict[str, bytes]) -> None:
    path = write(
        tmp_path / "net.pt2",
        with_graph(entries, lambda g: g["schema_version"].update(major=999)),
    )
    with pytest.raises(ValueError, match=r"cannot read .*Save it again"):
        load_model(path)
