"""A task's file gives back what was written, or says that it is damaged."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from paramsym.experiments.experiment import Arrays, Task
from paramsym.experiments.running.task_files import CorruptResultError, decode, encode
from tests.experiments.running.tiny import noise

TASK = Task("noise, seed 3", noise, {"seed": 3, "lr": 0.1, "name": "Öl"})


def arrays() -> Arrays:
    table = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    return {
        "shared": table,
        "transposed": table.T,
        "row": table[1],
        "number": torch.tensor(float("nan")),
        "nothing": torch.empty(0, 2),
        "flags": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "steps": torch.tensor([1, 2**40]),
    }


def same(a: Tensor, b: Tensor) -> bool:
    return (
        a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(7), b.nan_to_num(7))
    )


def test_all_kinds_of_arrays_return() -> None:
    before = arrays()
    result = decode(encode(TASK, before, 1.5), TASK)
    assert set(result.arrays) == set(before)
    assert all(same(result.arrays[name], before[name]) for name in before)
    assert result.seconds == 1.5
    assert result.versions["torch"] == torch.__version__


def test_a_task_may_find_nothing() -> None:
    assert decode(encode(TASK, {}, 0.0), TASK).arrays == {}


def test_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "result.safetensors"
    path.write_bytes(encode(TASK, arrays(), 1.5))
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["paramsym"])
        assert file.get_tensor("transposed").shape == (4, 3)
    assert about["name"] == TASK.name
    assert about["settings"] == TASK.settings
    assert about["function"] == "tests.experiments.running.tiny:noise"
    assert about["seconds"] == 1.5


CONTENT = encode(TASK, arrays(), 1.5)


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, change: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= change
    with pytest.raises(CorruptResultError):
        decode(bytes(damaged), TASK)


@pytest.mark.parametrize("length", [0, 4, 8, 100, len(CONTENT) - 1])
def test_a_cut_file_is_noticed(length: int) -> None:
    with pytest.raises(CorruptResultError, match="cannot be read"):
        decode(CONTENT[:length], TASK)


def test_a_file_of_another_task_is_noticed() -> None:
    other = Task("noise, seed 4", noise, {"seed": 4})
    with pytest.raises(CorruptResultError, match=r"another task .*noise, seed 3"):
        decode(CONTENT, other)


@pytest.mark.parametrize("wrong", [{"loss": 1.0}, {1: torch.ones(2)}, [torch.ones(2)], None])
def test_only_tensors_by_name(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"tiny:noise must return tensors by name"):
        encode(TASK, wrong, 0.0)  # type: ignore[arg-type]


def test_the_key_is_of_what_is_computed() -> None:
    """Not of names, costs or the order of settings; of function, revision and settings."""
    settings = {"seed": 3, "lr": 0.1}
    key = Task("a", noise, settings).key
    assert Task("b", noise, dict(reversed(settings.items())), cost=9).key == key
    assert Task("a", noise, settings, revision=2).key != key
    assert Task("a", noise, {**settings, "seed": 4}).key != key


def test_a_task_needs_a_function_that_workers_find() -> None:
    with pytest.raises(ValueError, match=r"task 'a': `compute` must be .* top level"):
        Task("a", lambda settings, scratch: {}, {})
