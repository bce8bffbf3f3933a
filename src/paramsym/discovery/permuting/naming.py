"""Names of discrete families: writers → readers, and what they do."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from paramsym.discrete.family import DiscreteFamily
from paramsym.ports import Port


def name_of(ports: Iterable[Port], what: str) -> str:
    """Writers → readers, by modules, and what is done to them."""
    writers, readers = [], []
    for p in ports:
        (readers if p.dual else writers).append(_module(p.parameter))
    sides = " → ".join(_short(side) for side in (writers, readers) if side)
    return f"{sides} ({what})"


def distinct_names(families: Sequence[DiscreteFamily]) -> list[DiscreteFamily]:
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
