"""A model's parameters in blocks that are small enough to be looked at, by the names of modules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Block:
    """Parameters of modules beside one another.

    Attributes:
        name: The module, or the first and the last of several.
        parameters: Their names.
        fits: Whether it is small enough.
    """

    name: str
    parameters: tuple[str, ...]
    fits: bool = True


def blocks_of(names: Iterable[str], fits: Callable[[tuple[str, ...]], bool]) -> list[Block]:
    """Blocks as large as they may be: a module whole, or in parts, the smallest of which are single
    parameters. Modules beside one another in one that is too large share a block if they fit.

    A layer that is repeated is so a block for each time, unless several fit together.

    Args:
        names: Names of the parameters, in order.
        fits: Whether parameters together are few enough.
    """
    return _blocks("", tuple(names), fits)


def _blocks(
    prefix: str, names: tuple[str, ...], fits: Callable[[tuple[str, ...]], bool]
) -> list[Block]:
    if not names:
        return []
    if fits(names):
        return [Block(prefix or "all", names)]
    if len(names) == 1:
        return [Block(names[0], names, fits=False)]
    children: dict[str, list[str]] = {}
    for name in names:
        children.setdefault(_child(prefix, name), []).append(name)
    found: list[Block] = []
    joined: list[str] = []  # children whose parameters are one block so far
    for child, own in children.items():
        together = tuple(x for c in (*joined, child) for x in children[c])
        if fits(together):
            joined.append(child)
            continue
        found += _joined(prefix, joined, children)
        joined = [child] if fits(tuple(own)) else []
        if not joined:
            found += _blocks(child, tuple(own), fits)
    return found + _joined(prefix, joined, children)


def _child(prefix: str, name: str) -> str:
    """The next module on the way to a parameter, or the parameter."""
    start = len(prefix) + 1 if prefix else 0
    end = name.find(".", start)
    return name if end < 0 else name[:end]


def _joined(prefix: str, joined: list[str], children: dict[str, list[str]]) -> list[Block]:
    if not joined:
        return []
    start = len(prefix) + 1 if prefix else 0
    name = joined[0] if len(joined) == 1 else f"{joined[0]} … {joined[-1][start:]}"
    return [Block(name, tuple(x for child in joined for x in children[child]))]
