"""The file of a finished task: its arrays as safetensors, with how they came about."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

import paramsym
from paramsym.experiments.experiment import Arrays, Task

SCHEMA = "paramsym.task/1"


class CorruptResultError(Exception):
    """A file that is damaged, or is not the result that it should be."""


@final
@dataclass(frozen=True, eq=False)
class TaskResult:
    """What a task found, and how.

    Attributes:
        arrays: Its arrays, on the CPU.
        seconds: What it took, on one core; without what an interrupted run spent before.
        versions: Of the software that computed it.
    """

    arrays: Arrays
    seconds: float
    versions: Mapping[str, str]


def software() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "paramsym": paramsym.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "scipy")},
    }


def encode(task: Task, arrays: Mapping[str, Any], seconds: float) -> bytes:
    """The content of the file.

    Raises:
        TypeError: If the arrays are not tensors by name.
    """
    if not isinstance(arrays, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in arrays.items()
    ):
        raise TypeError(
            f"{task.function} must return tensors by name, a dict[str, Tensor]; got {_kind(arrays)}"
        )
    # Copies, because the format refuses tensors that share memory or have gaps.
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in arrays.items()
    }
    about = {
        "schema": SCHEMA,
        "key": task.key,
        "name": task.name,
        "function": task.function,
        "revision": task.revision,
        "settings": dict(task.settings),
        "seconds": seconds,
        "versions": software(),
    }
    text = json.dumps(about, sort_keys=True, ensure_ascii=False)
    return save(copies, metadata={"paramsym": text, "sha256": _checksum(copies, text)})


def decode(content: bytes, task: Task) -> TaskResult:
    """Read the content of a file.

    Raises:
        CorruptResultError: If anything in it is not as it was written, or belongs to another task.
    """
    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text, checksum = header["__metadata__"]["paramsym"], header["__metadata__"]["sha256"]
        about = json.loads(text)
        found = about["schema"], about["key"]
        result = TaskResult(arrays, float(about["seconds"]), about["versions"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptResultError(f"it cannot be read ({error or type(error).__name__})") from error
    if _checksum(arrays, text) != checksum:
        raise CorruptResultError("its checksum is wrong")
    if found != (SCHEMA, task.key):
        raise CorruptResultError(f"it is the result of another task ({about.get('name')!r})")
    return result


def _checksum(arrays: Arrays, about: str) -> str:
    """Of all that is in the file, whatever the layout that the format gives it."""
    digest = hashlib.sha256(about.encode())
    for name, value in sorted(arrays.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _kind(arrays: Any) -> str:
    if not isinstance(arrays, Mapping):
        return type(arrays).__name__
    return ", ".join(f"{name!r}: {type(value).__name__}" for name, value in arrays.items())
