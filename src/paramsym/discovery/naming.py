"""Names of families, continuous and discrete: the modules that write → those that read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.groups import GeneralLinear, Group, HyperplaneFixing, Orthogonal
from paramsym.ports import Port

AnyFamily = TypeVar("AnyFamily", Family, DiscreteFamily)


def sides(ports: Iterable[Port]) -> tuple[str, str]:
    """The modules that write to a space and those that read from it, each in a few words."""
    ports = list(ports)
    both = {_module(p.parameter) for p in ports if p.dual} & {
        _module(p.parameter) for p in ports if not p.dual
    }
    writers, readers = [], []
    for port in ports:
        module = _module(port.parameter)
        part = _part(port) if module in both else ""
        (readers if port.dual else writers).append(module + part)
    return _short(writers), _short(readers)


def _part(port: Port) -> str:
    """The rows of a port as a slice, `[0:64]`, where they are one and not the whole axis: it tells
    queries from keys in one projection."""
    rows = port.index.unique()
    first, last = int(rows[0]), int(rows[-1])
    is_slice = last - first + 1 == len(rows) < port.row_count
    return f"[{first}:{last + 1}]" if is_slice else ""


_ALONE = ((Orthogonal, "rotation"), (GeneralLinear | HyperplaneFixing, "matrix"))
"""What a group does that moves one side only; others scale."""


def family_name(ports: Iterable[Port], group: Group) -> str:
    """Name of a continuous family: writers → readers."""
    left, right = sides(ports)
    does = next((word for kind, word in _ALONE if isinstance(group, kind)), "scale")
    return f"{left} → {right}" if right else f"{left} ({does})"


def distinct_names(families: Sequence[AnyFamily]) -> list[AnyFamily]:
    """The families with repeated names numbered."""
    total = Counter(family.name for family in families)
    seen: Counter[str] = Counter()
    named = []
    for family in families:
        seen[family.name] += 1
        number = f" #{seen[family.name]}" if total[family.name] > 1 else ""
        named.append(replace(family, name=family.name + number))
    return named


def _short(modules: list[str]) -> str:
    distinct = list(dict.fromkeys(modules))
    if len(distinct) > 3:
        return f"{distinct[0]}, … {len(distinct) - 2} more …, {distinct[-1]}"
    return ", ".join(distinct)


def _module(parameter: str) -> str:
    module, _, leaf = parameter.rpartition(".")
    return module if module and leaf in ("weight", "bias") else parameter
