"""The tensors that a model gives out, in whatever they stand."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor, nn


def tensors_in(result: Any) -> list[Tensor]:
    """All tensors in a result: in containers, in dataclasses, and in the attributes of other
    objects, as of a distribution."""
    return list(_tensors(result, set()))


def _tensors(result: Any, seen: set[int]) -> Iterator[Tensor]:
    for leaf in pytree.tree_leaves(result):
        if isinstance(leaf, Tensor):
            yield leaf
        elif id(leaf) not in seen and not isinstance(leaf, nn.Module | type):
            seen.add(id(leaf))
            yield from _tensors(_attributes(leaf), seen)


def _attributes(thing: Any) -> list[Any]:
    if is_dataclass(thing):
        return [getattr(thing, field.name) for field in fields(thing)]
    return list(getattr(thing, "__dict__", {}).values())
