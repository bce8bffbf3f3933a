"""Saving a descent under way, and taking it up again where it was.

A checkpoint is a safetensors file: tensors, and in its metadata the settings that they belong to
and a digest of their bytes. It is replaced in one step, so that a process killed at any moment
leaves a whole one behind.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from paramsym.files import write_bytes

SCHEMA = "paramsym.descent/1"


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What is known after some steps.

    Attributes:
        step: Steps done.
        tensors: All that the descent goes on from, by name.
    """

    step: int
    tensors: dict[str, Tensor]


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON values, tensors as their dtype, shape and SHA-256."""
    return {name: _plain(value) for name, value in values.items()}


def write(path: Path, checkpoint: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Write a checkpoint in one step, in place of an earlier one.

    Raises:
        FileNotFoundError: If the file's folder does not exist.
        IsADirectoryError: If the path is a folder.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    metadata = {
        "schema": SCHEMA,
        "step": str(checkpoint.step),
        "settings": json.dumps(settings),
        "digest": _digest(tensors),
    }
    write_bytes(path, save(tensors, metadata), force=True)


def read(path: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint in a file; `None` if there is no file.

    Args:
        path: The file.
        settings: Those of the descent that wants to go on, by `settings_of`.

    Raises:
        FileNotFoundError: If the file's folder does not exist, so that none can be written.
        IsADirectoryError: If the path is a folder.
        ValueError: If the file is no whole checkpoint, or one of other settings.
    """
    if path.is_dir():
        raise IsADirectoryError(f"`checkpoint` must be a file; {path} is a folder.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`checkpoint` must be in a folder that exists; create {path.parent} first."
        )
    if not path.exists():
        return None
    start_anew = "Remove the file to start anew."
    try:
        # safe_open is annotated as a class without an __enter__ of its own type.
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no whole checkpoint: {error}. {start_anew}") from error
    if metadata.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} is no checkpoint of schema {SCHEMA!r}; got {metadata.get('schema')!r}. "
            "Choose another file."
        )
    if metadata.get("digest") != _digest(tensors):
        raise ValueError(f"{path} is damaged: its tensors are not those written. {start_anew}")
    theirs = json.loads(metadata["settings"])
    ours = json.loads(json.dumps(settings))
    if theirs != ours:
        names = [k for k in {**theirs, **ours} if theirs.get(k) != ours.get(k)]
        shown = "; ".join(f"{k}: {_short(theirs.get(k))} there, {_short(ours.get(k))} here"
                          for k in names)  # fmt: skip
        raise ValueError(
            f"{path} is the checkpoint of another descent ({shown}). "
            f"Choose another file, or ask for the same descent. {start_anew}"
        )
    return Checkpoint(int(metadata["step"]), tensors)


def _plain(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return f"{value.dtype} {tuple(value.shape)} {_digest({'': value})}"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        # Cloned, since a single entry counts as contiguous whatever its stride is.
        tensor = tensors[name].detach().cpu().clone(memory_format=torch.contiguous_format)
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
