"""Which tensor of a checkpoint is which parameter of a model."""

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from paramsym.parameters import Parameter


def fitted(
    entries: Mapping[str, Mapping[str, Any]],
    parameters: Iterable[Parameter],
    buffers: Iterable[str] = (),
    ignored: Iterable[str] = (),
) -> tuple[dict[str, str], dict[str, str]]:
    """The name in the checkpoint of every parameter, and of every buffer that is there.

    One prefix may stand before all names on either side, as `module.` or `transformer.` does.

    Args:
        entries: The checkpoint's tensors, each with its `shape`.
        parameters: The model's parameters; of a tied one any name may be in the checkpoint.
        buffers: Names of the model's buffers.
        ignored: Patterns of tensors that the checkpoint may have and the model does not.

    Raises:
        ValueError: If a parameter is missing or has another shape, or the checkpoint has tensors
            that the model does not: moved without them, it would compute something else.
    """
    parameters, buffers, ignored = tuple(parameters), tuple(buffers), tuple(ignored)
    found: dict[str, str] = {}
    state: dict[str, str] = {}
    missing: list[str] = []
    for rename in _renamings(entries, parameters):
        found = {}
        missing = []
        for p in parameters:
            keys = [rename(name) for name in (p.name, *p.aliases)]
            key = next((k for k in keys if k in entries), None)
            if key is None:
                missing.append(p.name)
            else:
                found[p.name] = key
        if not missing:
            known = {rename(name) for p in parameters for name in (p.name, *p.aliases)}
            state = {name: rename(name) for name in buffers if rename(name) in entries}
            _require_nothing_else(entries, known | set(state.values()), ignored)
            break
    if missing:
        close = difflib.get_close_matches(missing[0], entries, 1)
        hint = f" Its {close[0]!r} is similar." if close else ""
        raise ValueError(
            f"the checkpoint does not fit the model: it lacks {len(missing)} of "
            f"{len(parameters)} parameters, such as {missing[0]!r}.{hint}"
        )
    for p in parameters:
        shape = tuple(entries[found[p.name]]["shape"])
        if shape != p.shape:
            raise ValueError(
                f"the checkpoint does not fit the model: {p.name!r} must have shape {p.shape}; "
                f"got {shape}."
            )
    return found, state


def _renamings(entries: Iterable[str], parameters: tuple[Parameter, ...]) -> list[Any]:
    """Ways to turn the model's names into the checkpoint's: none, a prefix more, a prefix less."""
    more: dict[str, None] = {}
    less: dict[str, None] = {}
    for p in parameters[:1]:
        for key in entries:
            for name in (p.name, *p.aliases):
                if key.endswith(f".{name}"):
                    more[key.removesuffix(name)] = None
                if name.endswith(f".{key}"):
                    less[name.removesuffix(key)] = None
    return [
        lambda name: name,
        *(lambda name, prefix=prefix: prefix + name for prefix in more),
        *(lambda name, prefix=prefix: name.removeprefix(prefix) for prefix in less),
    ]


def _require_nothing_else(
    entries: Iterable[str], known: set[str], ignored: tuple[str, ...]
) -> None:
    other = [
        key
        for key in entries
        if key not in known and not any(fnmatchcase(key, pattern) for pattern in ignored)
    ]
    if other:
        raise ValueError(
            f"the checkpoint has {len(other)} tensors that the model does not have, such as "
            f"{other[0]!r}. If they do not matter, name them in `--ignore`, as in "
            f"`--ignore '{other[0]}'`; they are copied as they are."
        )
