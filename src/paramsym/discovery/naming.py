"""Names of families, continuous and discrete: the modules that write → those that read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.ports import Port

AnyFamily = TypeVar("AnyFamily", Family, DiscreteFamily)


def sides(ports: Iterable[Port]) -> tuple[str, str]:
    """The modules that write to a space and those that read from it, each in a few words."""
    writers, readers = [], []
    for port in ports:
        (readers if port.dual else writers).append(_module(port.parameter))
    return _short(writers), _short(readers)


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
