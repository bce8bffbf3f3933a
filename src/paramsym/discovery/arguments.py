"""Arguments of a call: leaves in tuples, lists and dicts.

Every analysis reads those of every call, and torch's own functions over trees, which know many
kinds of containers, take longer than the rules do.
"""

from collections.abc import Callable, Iterator
from typing import Any


def leaves(given: Any) -> Iterator[Any]:
    """What is in it, in order."""
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, tuple | list):
        yield given
        return
    for item in given:
        yield from leaves(item)


def mapped(change: Callable[[Any], Any], given: Any) -> Any:
    """The same with every leaf changed."""
    if isinstance(given, dict):
        return {name: mapped(change, item) for name, item in given.items()}
    if not isinstance(given, tuple | list):
        return change(given)
    items = [mapped(change, item) for item in given]
    return tuple(items) if isinstance(given, tuple) else items
