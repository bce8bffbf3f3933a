"""A checkpoint moved along its orbit: other weights, the same function."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.files import finished_file, finished_folder, write_text
from paramsym.symmetry import Symmetry
from paramsym.transform.choices import Choice
from paramsym.transform.fitting import fitted
from paramsym.transform.invariance import Invariance, Outputs, measured
from paramsym.transform.weight_files import (
    Header,
    copy_with_metadata,
    mapped,
    read_header,
    weight_files,
)

RECORD = "paramsym"
"""Key of a file's metadata with the list of its transformations."""

FOLDER_RECORD = "paramsym.json"
"""File with the transformation and what was measured, in a folder that was written."""

LARGEST_IN_DOUBLE = 300_000_000
"""Parameters of the largest model whose outputs are compared in float64."""


@final
@dataclass(frozen=True)
class Transformed:
    """A checkpoint that was written.

    Attributes:
        out: Where it is.
        moved: Parameters that changed.
        distance: Length of the move relative to that of the parameters.
        invariance: How much the outputs changed.
        dtype: What the outputs were computed in.
    """

    out: Path
    moved: int
    distance: float
    invariance: Invariance
    dtype: torch.dtype


def transform(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    symmetry: Symmetry,
    checkpoint: Path,
    out: Path,
    choose: Choice,
    record: Mapping[str, Any],
    *,
    ignored: tuple[str, ...] = (),
    tolerance: float = 0.0,
    force: bool = False,
    seed: int = 0,
) -> Transformed:
    """Write a checkpoint of the same function at another point of its orbit.

    The file is copied and moved in a memory map, one parameter after the other. The function is
    compared before the copy takes its name. Everything that is not moved stays bit for bit, as do
    the metadata, to which the record is added.

    Args:
        model: The model, in the mode in which the symmetry was discovered; its own values do not
            matter.
        args: Inputs on which the function is compared.
        kwargs: Keyword inputs.
        symmetry: Its symmetry.
        checkpoint: A safetensors file, or a folder with such files.
        out: The file or folder to write.
        choose: Where to go.
        record: What to write into the metadata about this transformation.
        ignored: Patterns of tensors that the checkpoint may have and the model does not.
        tolerance: Relative change of the outputs that is accepted beyond rounding; families that
            are exact only as a normalisation's ε vanishes need one.
        force: Replace `out` if it is such a file, or a folder written by this function.
        seed: Seed of random ops in the model, and of the rounding that the change is held against.

    Raises:
        ValueError: If the checkpoint does not fit the model, or there is no such point; or if the
            outputs would change by more than rounding explains. Nothing is written then.
        FileExistsError: If `out` exists and may not be replaced.
    """
    headers = [read_header(path) for path in weight_files(checkpoint)]
    entries = _merged(headers)
    names, buffers = fitted(
        entries, symmetry.parameters, [name for name, _ in model.named_buffers()], ignored
    )
    dtypes = {p.name: entries[names[p.name]]["dtype"] for p in symmetry.parameters}
    count = sum(p.numel for p in symmetry.parameters)
    in_double = count <= LARGEST_IN_DOUBLE or "F64" in dtypes.values()
    dtype = torch.float64 if in_double else torch.float32
    with _place(checkpoint, out, force) as place, ExitStack() as maps:
        copies = []
        for header in headers:
            target = place / header.path.name if checkpoint.is_dir() else place
            copies.append(copy_with_metadata(header, target, _noted(header, record)))
        source = _opened(headers, maps)
        written = _opened(copies, maps, writable=True)
        before = {name: _moveable(source, key, dtypes[name]) for name, key in names.items()}
        after = {name: written[key] for name, key in names.items()}
        g = choose(symmetry, before)
        symmetry.act_(g, after)
        state = {name: source[key] for name, key in buffers.items() if key in source}
        outputs = Outputs(model, state, args, kwargs, dtype, seed)
        invariance = measured(outputs, before, after)
        if not invariance.holds(tolerance):
            raise ValueError(
                f"the outputs would change by {invariance.change:.1e} of their size, and rounding "
                f"explains {invariance.rounding:.1e}. Nothing was written. Families that are exact "
                "only as a normalisation's ε vanishes need a tolerance; if there is none among "
                "these, this is a bug of paramsym: please report it."
            )
        moved, distance = _compared(before, after)
        done = Transformed(out, moved, distance, invariance, dtype)
        if checkpoint.is_dir():
            _finish_folder(checkpoint, place, record, done)
    return done


def _merged(headers: list[Header]) -> dict[str, Mapping[str, Any]]:
    entries: dict[str, Mapping[str, Any]] = {}
    for header in headers:
        for name, entry in header.entries.items():
            if name in entries:
                raise ValueError(
                    f"two files of the checkpoint hold {name!r}; {str(header.path)!r} is one. "
                    "Name the file that counts."
                )
            entries[name] = entry
    return entries


def _noted(header: Header, record: Mapping[str, Any]) -> dict[str, str]:
    earlier = json.loads(header.metadata.get(RECORD, "[]"))
    return {**header.metadata, RECORD: json.dumps([*earlier, dict(record)])}


def _opened(headers: list[Header], maps: ExitStack, *, writable: bool = False) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for header in headers:
        tensors |= maps.enter_context(mapped(header, writable=writable))
    return tensors


def _moveable(tensors: Mapping[str, Tensor], key: str, dtype: str) -> Tensor:
    if key not in tensors:
        raise ValueError(
            f"the checkpoint's {key!r} is stored as {dtype}, which is not moved. Convert it to "
            "float32, float16 or bfloat16 first."
        )
    return tensors[key]


@contextmanager
def _place(checkpoint: Path, out: Path, force: bool) -> Iterator[Path]:
    if checkpoint.is_dir():
        with finished_folder(out, FOLDER_RECORD, force=force) as folder:
            yield folder
    else:
        with finished_file(out, force=force) as path:
            yield path


def _compared(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[int, float]:
    moved, change, size = 0, 0.0, 0.0
    for name, old in before.items():
        square = float((after[name].double() - old.double()).square().sum())
        moved += bool(square)
        change += square
        size += float(old.double().square().sum())
    return moved, (change / size) ** 0.5 if size else 0.0


def _finish_folder(
    checkpoint: Path, place: Path, record: Mapping[str, Any], done: Transformed
) -> None:
    """Configuration, tokenizer and index, and what was done, beside the weights."""
    for path in checkpoint.iterdir():
        if path.is_file() and not (place / path.name).exists() and path.name != FOLDER_RECORD:
            shutil.copy2(path, place / path.name)
    measured_now = {"change": done.invariance.change, "rounding": done.invariance.rounding}
    text = json.dumps({**record, **measured_now}, indent=2)
    write_text(place / FOLDER_RECORD, text + "\n")
