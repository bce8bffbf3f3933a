"""The folder of results: finished tasks, tasks under way, and locks between runs that share it."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import final
from uuid import uuid4

from filelock import FileLock

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.task_files import CorruptResultError, TaskResult, decode
from paramsym.files import write_bytes, write_text

MARKER = "paramsym-results.json"
"""A folder with this file in it is ours; no other is written to unless it is empty."""
SCHEMA = "paramsym.results/1"


@final
@dataclass(frozen=True)
class Results:
    """A folder of results. It may be used by several runs at once.

    Attributes:
        folder: Its absolute path.
        id: Tells it from a folder of the same name on another machine.
    """

    folder: Path
    id: str

    def task_file(self, task: Task) -> Path:
        """Where the task's result is, or will be."""
        return self.folder / "tasks" / f"{task.key}.safetensors"

    def scratch(self, task: Task) -> Path:
        """The folder for the task's checkpoints."""
        return self.folder / "partial" / task.key

    def lock(self, name: str) -> FileLock:
        """A lock that one process holds at a time; it is let go when the process dies."""
        return FileLock(self.folder / ".locks" / f"{name}.lock", thread_local=False)

    def is_here(self) -> bool:
        """Whether this process sees the folder itself, and may write to it."""
        try:
            return _identity(self.folder) == self.id and os.access(self.folder, os.W_OK)
        except (OSError, ValueError):
            return False

    def read(self, task: Task) -> TaskResult | None:
        """The task's result, if it is finished.

        Raises:
            CorruptResultError: If there is a file, but it is damaged.
        """
        try:
            content = self.task_file(task).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CorruptResultError(str(error)) from error
        return decode(content, task)

    def write(self, task: Task, content: bytes) -> None:
        """Keep the task's result, in one step. The caller holds the task's lock."""
        remove_left_over(self.task_file(task))
        write_bytes(self.task_file(task), content, force=True)

    def forget(self, task: Task) -> None:
        """Remove the task's result and its checkpoints, so that it is computed anew."""
        with self.lock(task.key):
            self.task_file(task).unlink(missing_ok=True)
            shutil.rmtree(self.scratch(task), ignore_errors=True)


def open_results(folder: Path) -> Results:
    """The results in a folder, which is made if it is absent.

    Raises:
        FileExistsError: If the folder holds anything else.
        OSError: If it cannot be written.
        ValueError: If another version of paramsym wrote it, or its marker cannot be read.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; results are a folder. Choose another name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _mark(folder)
        for name in ("tasks", "partial", ".locks"):
            (folder / name).mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "tasks"):
            pass
    except FileExistsError:
        raise
    except OSError as error:
        raise OSError(
            f"the folder {folder} cannot be written ({error.strerror or error}). "
            "Choose another folder."
        ) from error
    return Results(folder, _identity(folder))


def _mark(folder: Path) -> None:
    marker = folder / MARKER
    if marker.exists():
        return
    # A run that was killed here, or is just here, leaves a temporary file of that name.
    if any(not path.name.startswith(f".{MARKER}.") for path in folder.iterdir()):
        if marker.exists():
            return
        raise FileExistsError(
            f"{folder} is not empty and holds no results of `paramsym reproduce` (it has no "
            f"{MARKER}), so nothing is written there. Choose another folder."
        )
    text = json.dumps({"schema": SCHEMA, "id": uuid4().hex}, indent=2) + "\n"
    with FileLock(folder / f".{MARKER}.lock"):
        if not marker.exists():
            write_text(marker, text)


def _identity(folder: Path) -> str:
    marker = folder / MARKER
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
        schema, identity = content["schema"], content["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{marker} cannot be read as the marker of a folder of results. Choose another folder."
        ) from error
    if schema != SCHEMA:
        raise ValueError(
            f"{marker} has the schema {schema!r}; this version of paramsym reads {SCHEMA!r}. "
            "Choose another folder."
        )
    return identity


def remove_left_over(path: Path) -> None:
    """Remove what killed runs left beside `path`; only where no other run is writing it."""
    for old in path.parent.glob(f".{path.name}.*"):
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
