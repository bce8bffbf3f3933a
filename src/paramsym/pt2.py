"""What is inside a `.pt2` file, and whether reading it could run code.

`torch.export.save` (torch 2.13) writes a zip archive with one root folder:

==================================  ==============================================================
`models/model.json`                 the graph
`data/weights/weight_N`             raw bytes of parameters and buffers; a tensor subclass is
                                    pickled instead, which the config says (`use_pickle`)
`data/weights/model_weights_config.json`, `data/constants/model_constants_config.json`
`data/constants/tensor_N`           raw bytes of constants, or a pickle as above
`data/constants/custom_obj_N`       a pickled TorchScript object
`data/constants/opaque_obj_N`       a pickled Python object
`data/sample_inputs/model.pt`       the example inputs, always `torch.save`
`data/aotinductor/…`                compiled code, if a compiler put it there
`extra/…`                           text of the user
`archive_format`, `archive_version`, `byteorder`, `.data/…`
==================================  ==============================================================

`torch.export.load` runs `torch.load(weights_only=False)` or `pickle.loads` on whatever is pickled.
The sample inputs it first tries with `weights_only=True`, which builds tensors and plain containers
alone, and falls back to unrestricted unpickling. The graph is code as well: symbolic sizes go
through `sympy.sympify`, which evaluates them; guards are compiled; names end up in Python that
torch generates; and an operator can be any attribute of torch. `check` therefore accepts what a
plain program with static shapes needs and refuses the rest.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch

TRUST = "If you trust where the file comes from, say so with `--trust` (`trust=True`)."

_HARMLESS = (
    "archive_format",
    "archive_version",
    "byteorder",
    ".data/",
    "extra/",
    "data/weights/weight_",
    "data/constants/tensor_",
)
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_GRAPH = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_OPERATOR_MODULES = ("aten", "prims", "higher_order")
_FILE_OPS = ("torch.ops.aten.from_file",)
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def read(path: Path) -> bytes:
    """The file's bytes, if they are a zip archive of `torch.export.save`.

    Raises:
        ValueError: If the file is missing, not a zip archive, damaged, or something else's archive.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{str(path)!r} {kind}. Save a program with `torch.export.save`.")
    data = path.read_bytes()
    if not data.startswith(b"PK"):
        raise ValueError(
            f"{str(path)!r} is not a .pt2 file: it must be a zip archive written by "
            f"`torch.export.save`, and begins with {data[:8]!r}."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}). Copy or save it again.") from error
    if damaged:
        raise ValueError(f"{str(path)!r} is damaged in {damaged!r}. Copy or save it again.")
    if not any(name.partition("/")[2] == _GRAPH for name in names):
        raise ValueError(
            f"{str(path)!r} holds no exported program ({_GRAPH} is missing). A checkpoint or a "
            "TorchScript archive is not enough: export the model and save it with "
            "`torch.export.save`, or name a factory as `package.module:factory`."
        )
    return data


def check(data: bytes) -> None:
    """Raise unless `torch.export.load` can read the archive without unpickling or running code.

    Raises:
        ValueError: If an entry would be unpickled, evaluated or loaded as code, which is named; or
            if the archive is not laid out as this version of torch does.
    """
    try:
        _check_entries(data)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        _refuse(f"its layout is unknown to torch {torch.__version__} ({error!r})")


def _check_entries(data: bytes) -> None:
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    entries = set(reader.get_all_records())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    root = names[0].partition("/")[0]
    if sorted(names) != sorted(f"{root}/{entry}" for entry in entries):
        _refuse("its table of contents is ambiguous (two readers see different entries)")
    for entry in sorted(entries):
        if entry not in (*_CONFIGS, _GRAPH, _INPUTS) and not entry.startswith(_HARMLESS):
            _refuse(f"the entry {entry!r} would be unpickled or run as code")
    for config in _CONFIGS:
        for name, payload in _json(reader.get_record(config))["config"].items():
            if payload["use_pickle"]:
                _refuse(f"the tensor {name!r} is pickled in {config.rpartition('/')[0]!r}")
    _check_inputs(reader.get_record(_INPUTS))
    _check_graph(_json(reader.get_record(_GRAPH)))


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TypeError(f"an entry is not JSON: {error}") from error


def _check_inputs(data: bytes) -> None:
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        _refuse(f"its sample inputs are pickled objects other than tensors ({first})")


def _check_graph(program: dict[str, Any]) -> None:
    if program.get("guards_code"):
        _refuse("it has guards, which are compiled as code")
    if program.get("range_constraints"):
        _refuse("it has symbolic shapes, which are evaluated as code; export it with static shapes")
    for key, value in _entries(program["graph_module"]):
        if key == "expr_str":
            _refuse(f"the symbolic size {value!r} would be evaluated; export with static shapes")
        if key in ("target", "as_operator") and not _is_plain_operator(value):
            _refuse(f"the operator {value!r} is not one of aten")
        if key == "name" and value and not (isinstance(value, str) and value.isidentifier()):
            _refuse(f"the name {value!r} is not an identifier, and ends up in generated code")
        if key == "forward_arg_names" and not all(name.isidentifier() for name in value or ()):
            _refuse(f"the argument names {value} are not identifiers")
        if key in ("in_spec", "out_spec") and value and not _is_plain_tree(_json(value)[1]):
            _refuse(f"the {key} {value} names containers other than tuple, list and dict")


def _entries(data: Any) -> Iterator[tuple[str, Any]]:
    """All (key, value) pairs of nested JSON."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(data, list):
        for value in data:
            yield from _entries(value)


def _is_plain_operator(target: Any) -> bool:
    if not isinstance(target, str):
        return isinstance(target, dict)  # the target of an output or an input is a record
    if target == "_operator.getitem":
        return True
    parts = target.split(".")
    return (
        parts[:2] == ["torch", "ops"]
        and len(parts) >= 4
        and parts[2] in _OPERATOR_MODULES
        and not target.startswith(_FILE_OPS)
        and all(part.isidentifier() and not part.startswith("__") for part in parts)
    )


def _is_plain_tree(spec: dict[str, Any]) -> bool:
    return (
        spec["type"] in _CONTAINERS
        and "{" not in (spec["context"] or "")
        and all(_is_plain_tree(child) for child in spec["children_spec"])
    )


def _refuse(reason: str) -> NoReturn:
    raise ValueError(f"the .pt2 file is refused, because {reason}. {TRUST}")
