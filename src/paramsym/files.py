"""Writing results so that they are complete or absent, and never overwrite others by accident."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def write_text(path: Path, text: str, *, force: bool = False) -> Path:
    """Write a file in one step: a reader sees the old content or all of the new.

    Raises:
        FileExistsError: If the file exists and `force` is not set.
        FileNotFoundError: If its folder does not exist.
        IsADirectoryError: If it is a folder.
    """
    return write_bytes(path, text.encode("utf-8"), force=force)


def write_bytes(path: Path, content: bytes, *, force: bool = False) -> Path:
    """As `write_text`, for a file that is not text."""
    with finished_file(path, force=force) as temporary:
        temporary.write_bytes(content)
    return path


@contextmanager
def finished_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A hidden name beside `path`; what is written there becomes `path` when the block ends.

    On an error it is removed and `path` stays as it was.

    Raises:
        FileExistsError: If the file exists and `force` is not set.
        FileNotFoundError: If its folder does not exist.
        IsADirectoryError: If it is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} exists. Choose another name, or replace it (`force`, `--force`)."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist. Create it first.")
    temporary = _sibling(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_free(out: Path, marker: str, *, force: bool = False) -> None:
    """Raise unless a result may be written to the folder `out`.

    It may where `out` is absent or empty, and with `force` where an earlier result is, known by a
    file called `marker`.

    Raises:
        FileExistsError: If it may not.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise FileExistsError(f"{out} is a file; the result is a folder. Choose another name.")
    if not (out / marker).is_file():
        raise FileExistsError(
            f"{out} is not empty and holds no earlier result (it has no {marker}), so it is never "
            "replaced. Choose another folder."
        )
    if not force:
        raise FileExistsError(
            f"{out} holds an earlier result. Choose another, or replace it (`force`, `--force`)."
        )


@contextmanager
def finished_folder(out: Path, marker: str, *, force: bool = False) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when the block ends without an error.

    On an error it is removed and `out` stays as it was.

    Raises:
        FileExistsError: As `require_free`.
    """
    require_free(out, marker, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(out)
    temporary.mkdir()
    try:
        yield temporary
        require_free(out, marker, force=force)
        if out.exists():
            old = _sibling(out)
            out.replace(old)
            temporary.replace(out)
            shutil.rmtree(old)
        else:
            temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sibling(path: Path) -> Path:
    """A hidden name beside `path` that nothing has."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}")
