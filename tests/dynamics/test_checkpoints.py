"""A descent that was interrupted ends as one that was not, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import paramsym as ps
from paramsym.dynamics import saving
from paramsym.dynamics.gradient_descent import Descent
from paramsym.dynamics.two_layer import TwoLayer
from tests.dynamics.descents import loss_of_one, start

STEPS = 2300


class Interrupted(Exception):
    """As a user's Ctrl-C, or a machine that goes away."""


def descend(path: Path | None, *, stop: int | None = None, **changes: Any) -> Descent:
    """Two runs with all that has a state, one of which diverges; interrupted after `stop`."""
    params, Y = start(torch.Generator().manual_seed(3), 2)

    def progress(step: int) -> None:
        if stop is not None and step >= stop:
            raise Interrupted

    options: dict[str, Any] = {
        "loss": TwoLayer("identity", Y), "params": params, "runs": 2, "steps": STEPS,
        "lr": torch.tensor([10.0, 0.01], dtype=torch.float64), "momentum": 0.5, "nesterov": True,
        "weight_decay": 0.01, "at": [0, 1, 700, 1500, STEPS],
        "record": {"V": lambda p: p["V"], "signs": lambda p: (p["V"] > 0).sum()},
        "checkpoint": path, "progress": progress,
    }  # fmt: skip
    return ps.gradient_descent(**{**options, **changes})


def assert_identical(a: Descent, b: Descent) -> None:
    def same(x: Tensor, y: Tensor) -> bool:
        return x.dtype == y.dtype and torch.equal(x.nan_to_num(0.5), y.nan_to_num(0.5))

    assert same(a.steps, b.steps)
    assert same(a.loss, b.loss)
    assert a.recorded.keys() == b.recorded.keys()
    assert all(same(a.recorded[k], b.recorded[k]) for k in a.recorded)
    assert list(a.params) == list(b.params)
    assert all(same(a.params[k], b.params[k]) for k in a.params)
    assert torch.equal(torch.as_tensor(a.diverged_at), torch.as_tensor(b.diverged_at))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "descent.safetensors"


@pytest.fixture(scope="module")
def whole() -> Descent:
    found = descend(None)
    assert torch.as_tensor(found.diverged_at).tolist() == [700, -1]
    return found


@pytest.mark.parametrize("stops", [[0], [1, 500], [700], [400, 1400, 2100], [STEPS]])
def test_interrupted_anywhere(stops: list[int], path: Path, whole: Descent) -> None:
    """Again and again, at saves that are recorded steps and at saves that are not."""
    for stop in stops:
        with pytest.raises(Interrupted):
            descend(path, stop=stop, every=100)
    assert_identical(descend(path, every=100), whole)
    assert os.listdir(path.parent) == [path.name]


def test_goes_on_from_where_it_was(path: Path) -> None:
    with pytest.raises(Interrupted):
        descend(path, stop=1500, every=250)
    seen: list[int] = []
    descend(path, every=250, progress=seen.append)
    assert seen == [1750, 2000, 2250, STEPS]
    seen.clear()
    descend(path, progress=seen.append)
    assert seen == []  # it was finished


def test_how_often_does_not_matter(path: Path, whole: Descent) -> None:
    assert_identical(descend(path, every=77), whole)


def test_by_time(path: Path, monkeypatch: pytest.MonkeyPatch, whole: Descent) -> None:
    """Without `every`, saves follow the clock; it has never been long enough, and then always."""
    monkeypatch.setattr(saving, "SECONDS", float("inf"))
    with pytest.raises(Interrupted):
        descend(path, stop=1500)
    assert not path.exists()
    monkeypatch.setattr(saving, "SECONDS", 0.0)
    with pytest.raises(Interrupted):
        descend(path, stop=1500)
    with safe_open(path, framework="pt") as file:
        # What a callback interrupts was saved before it was called.
        assert file.metadata()["step"] == "1500"
    assert_identical(descend(path), whole)


def test_order_of_parameters_does_not_matter(path: Path, whole: Descent) -> None:
    with pytest.raises(Interrupted):
        descend(path, stop=700, every=100)
    params, _ = start(torch.Generator().manual_seed(3), 2)
    found = descend(path, params={k: params[k] for k in ("V", "U")})
    assert list(found.params) == ["V", "U"]
    assert torch.equal(found.params["U"][1], whole.params["U"][1])


def test_one_run_of_a_functional_loss(path: Path) -> None:
    params, Y = start(torch.Generator().manual_seed(3), 1)
    options: dict[str, Any] = {
        "loss": loss_of_one("tanh", Y[0]), "params": {k: p[0] for k, p in params.items()},
        "runs": None, "lr": 0.01, "steps": 200, "at": [0, 200], "record": {},
    }  # fmt: skip
    with pytest.raises(Interrupted):
        descend(path, stop=100, every=50, **options)
    assert_identical(descend(path, every=50, **options), descend(None, **options))


SCRIPT = """
import sys
import time
from pathlib import Path
from tests.dynamics.test_checkpoints import descend
descend(Path(sys.argv[1]), steps=60_000, at=[0, 1, 700, 60_000], every=500,
        progress=lambda step: time.sleep(0.05))
"""


def test_killed(path: Path) -> None:
    """A process that is killed with SIGKILL while it works loses nothing that it had saved."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)], cwd=Path(__file__).parents[2]
    )
    try:
        deadline = time.monotonic() + 200
        while not (path.exists() and saved_step(path) >= 2000):
            assert process.poll() is None, "the process ended by itself"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    step = saved_step(path)
    assert 2000 <= step < 60_000
    seen: list[int] = []

    def progress(done: int) -> None:
        seen.append(done)

    options: dict[str, Any] = {"steps": 60_000, "at": [0, 1, 700, 60_000]}
    found = descend(path, progress=progress, **options)
    assert step < seen[0] <= step + 1000
    assert_identical(found, descend(None, **options))


def saved_step(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return int(file.metadata()["step"])


def others() -> Iterator[Any]:
    params, Y = start(torch.Generator().manual_seed(4), 2)
    yield pytest.param({"loss": TwoLayer("relu", Y)}, "activation: 'identity' there, 'relu' here",
                       id="activation")  # fmt: skip
    yield pytest.param({"loss": TwoLayer("identity", Y)}, r"Y: 'torch.float64 \(2, 3, 5\)", id="Y")
    yield pytest.param({"params": params}, r"params\['U'\]: ", id="start")
    yield pytest.param({"lr": 0.02}, "lr: ", id="lr")
    yield pytest.param({"steps": STEPS + 1}, "steps: 2300 there, 2301 here", id="steps")
    yield pytest.param({"at": [0, STEPS]}, "at: ", id="at")
    yield pytest.param({"momentum": 0.6}, "momentum: 0.5 there, 0.6 here", id="momentum")
    yield pytest.param({"nesterov": False}, "nesterov: True there, False here", id="nesterov")
    yield pytest.param({"weight_decay": 0.0}, "weight_decay: 0.01 there", id="weight decay")
    yield pytest.param({"record": {}}, r"record: \['V', 'signs'\] there, \[\] here", id="record")


@pytest.mark.parametrize(("change", "message"), list(others()))
def test_other_settings(change: dict[str, Any], message: str, path: Path) -> None:
    with pytest.raises(Interrupted):
        descend(path, stop=200, every=100)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"is the checkpoint of another descent.*{message}"):
        descend(path, **change)
    assert path.read_bytes() == before


def test_another_loss_of_the_same_name(path: Path) -> None:
    """The settings of functions are their names; their values at the start tell them apart."""
    params, Y = start(torch.Generator().manual_seed(3), 1)
    common: dict[str, Any] = {"params": params, "runs": 1, "lr": 0.01, "steps": 10, "at": [10]}
    descend(path, loss=loss_of_one("tanh", Y[0]), **common)
    with pytest.raises(ValueError, match="is the checkpoint of a descent with another loss"):
        descend(path, loss=loss_of_one("tanh", 2 * Y[0]), **common)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated(length: int, path: Path) -> None:
    descend(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"is no whole checkpoint.*Remove the file to start anew"):
        descend(path)


def test_a_flipped_bit(path: Path) -> None:
    descend(path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        descend(path)


@pytest.mark.parametrize("metadata", [None, {"schema": "paramsym.descent/0"}])
def test_another_file(metadata: dict[str, str] | None, path: Path) -> None:
    save_file({"w": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match=r"is no checkpoint of schema 'paramsym.descent/1'; got"):
        descend(path)
    path.write_text(json.dumps({"not": "tensors"}))
    with pytest.raises(ValueError, match=r"is no whole checkpoint"):
        descend(path)


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"`checkpoint` must be a file; .* is a folder"):
        descend(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"`checkpoint` must be in a folder that exists"):
        descend(tmp_path / "absent" / "c.safetensors")


@pytest.mark.parametrize("every", [0, -5, 1.5, True])
def test_bad_every(every: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="`every` must be a positive number of steps; got"):
        descend(path, every=every)


def test_every_needs_a_file() -> None:
    with pytest.raises(ValueError, match="needs a `checkpoint`; pass both"):
        descend(None, every=10)
