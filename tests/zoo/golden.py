"""What the zoo yields, kept in `golden.json`: a guard against losing families.

`make golden` (or `python -m tests.zoo.golden [NAME]...`) writes it anew; look at the difference
before you commit it.
"""

import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from paramsym.discovery import discover
from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.ports import Port
from paramsym.symmetry import Symmetry
from tests.zoo.registry import load, made

FILE = Path(__file__).with_name("golden.json")
Summary = dict[str, Any]


def summary(symmetry: Symmetry) -> Summary:
    """A symmetry in words that a person can compare."""
    return {
        "dim": symmetry.dim,
        "laws": symmetry.law_dim,
        "mode": symmetry.mode,
        "families": {family.name: _described(family) for family in symmetry},
        "discrete": {family.name: _described(family) for family in symmetry.discrete},
        "barriers": {b.op: b.count for b in sorted(symmetry.barriers, key=lambda b: b.op)},
        "unused": sorted(symmetry.unused),
    }


def _described(family: Family | DiscreteFamily) -> list[str]:
    moved = [_port(port) for port in family.ports]
    if isinstance(family, DiscreteFamily):
        return [str(family.group), *moved]
    limit = " as ε→0" if family.exactness.as_eps_vanishes else ""
    moved += sorted({f"shift {term.target.parameter}" for term in family.terms})
    return [f"{family.group}{limit}", *moved]


def _port(port: Port) -> str:
    """`reads fc2.weight[1]^2 ×49`: the axis, the degree, the rows of a coordinate."""
    axes = ",".join(map(str, port.axes))
    degree = "" if port.degree == 1 else f"^{port.degree:g}"
    times = "" if port.multiplicity == 1 else f" ×{port.multiplicity}"
    frame = "" if port.frame is None else f" through {port.frame.parameter}"
    verb = "reads" if port.dual else "writes"
    return f"{verb} {port.parameter}[{axes}]{degree}{times}{frame}"


def differences(before: Summary, now: Summary) -> list[str]:
    """What was lost and gained, a line each; families are told by what they do, names aside."""
    found = []
    for key in ("families", "discrete", "barriers"):
        old, new = _lines(key, before.get(key, {})), _lines(key, now[key])
        found += [f"lost {line}" for line in _only_in(old, new)]
        found += [f"gained {line}" for line in _only_in(new, old)]
    for key in ("dim", "laws", "mode", "unused"):
        if before[key] != now[key]:
            found.append(f"{key}: {before[key]}, now {now[key]}")
    return found


def _lines(key: str, entries: dict[str, Any]) -> list[str]:
    if key == "barriers":
        return [f"barrier {op} ×{count}" for op, count in entries.items()]
    return [f"family {name}: {'; '.join(what)}" for name, what in entries.items()]


def _only_in(these: list[str], those: list[str]) -> list[str]:
    spare = Counter(map(_unnamed, those))
    left = []
    for line in these:
        if spare[_unnamed(line)]:
            spare[_unnamed(line)] -= 1
        else:
            left.append(line)
    return left


def _unnamed(line: str) -> str:
    """What a line says, whatever the family is called."""
    return line.partition(": ")[2] if line.startswith("family ") else line


def read() -> dict[str, Summary]:
    """The summaries on record."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def write(names: list[str]) -> None:
    """Discover the models named, all of them by default, and put what is found on record."""
    zoo = load()
    kept = read() if names and FILE.exists() else {}
    for name in names or zoo:
        print(name, file=sys.stderr, flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept[name] = summary(discover(*made(name)))
    text = json.dumps({k: kept[k] for k in sorted(kept)}, indent=1, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1:])
