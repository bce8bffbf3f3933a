"""Weights in safetensors files, seen through a memory map and rewritten beside the original.

A rewritten file is a copy whose tensors are changed in the map, so that the operating system pages
them in and out: a file larger than memory can be moved. It takes its name when it is whole.
"""

import json
import mmap
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

ALIGNMENT = 64
"""Tensors start at a multiple of this many bytes, as every dtype needs it."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Of what a file may hold, that which models compute with; other tensors are copied unread."""


@final
@dataclass(frozen=True)
class Header:
    """What a safetensors file says before its data.

    Attributes:
        path: The file.
        metadata: Texts by name.
        entries: For every tensor its dtype and shape, and where its bytes are in the data.
        start: Where in the file the data start.
    """

    path: Path
    metadata: Mapping[str, str]
    entries: Mapping[str, Mapping[str, Any]]
    start: int


def read_header(path: Path) -> Header:
    """The header of a file, after the library has checked it.

    Raises:
        ValueError: If there is no such file, or it is no safetensors file.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{str(path)!r} is no safetensors file ({error}). Pickled weights (.bin, .pt) are not "
            "read; convert them with `safetensors.torch.save_file`."
        ) from error
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(size))
    return Header(path, entries.pop("__metadata__", {}), entries, 8 + size)


def weight_files(checkpoint: Path) -> list[Path]:
    """The safetensors files of a checkpoint: the file itself, or all those of a folder.

    Raises:
        ValueError: If there is none.
    """
    if not checkpoint.is_dir():
        return [checkpoint]
    files = sorted(checkpoint.glob("*.safetensors"))
    if not files:
        raise ValueError(f"the folder {str(checkpoint)!r} has no weights as safetensors.")
    return files


@contextmanager
def mapped(header: Header, *, writable: bool = False) -> Iterator[dict[str, Tensor]]:
    """The tensors of a file, in the memory of a map of it.

    Args:
        header: The file's header.
        writable: Whether what is written to the tensors goes into the file. Otherwise it stays in
            this process.
    """
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_COPY
    with header.path.open("r+b" if writable else "rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=access)
        yield {
            name: _tensor(view, header.start, entry)
            for name, entry in header.entries.items()
            if entry["dtype"] in DTYPES
        }
        if writable:
            view.flush()
    # The map is closed when the last tensor in it is gone.


def _tensor(view: mmap.mmap, start: int, entry: Mapping[str, Any]) -> Tensor:
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    first, stop = entry["data_offsets"]
    if first == stop:
        return torch.empty(shape, dtype=dtype)
    count = (stop - first) // dtype.itemsize
    return torch.frombuffer(view, dtype=dtype, count=count, offset=start + first).reshape(shape)


def copy_with_metadata(header: Header, out: Path, metadata: Mapping[str, str]) -> Header:
    """A copy of a file with other metadata; the header of the copy."""
    text = json.dumps({"__metadata__": dict(metadata), **header.entries}).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with header.path.open("rb") as source, out.open("xb") as copy:
        copy.write(len(text).to_bytes(8, "little") + text)
        source.seek(header.start)
        shutil.copyfileobj(source, copy, 1 << 24)
    return read_header(out)
