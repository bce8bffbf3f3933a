"""Elements of a symmetry: words of group elements, and elements of the Lie algebra."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from paramsym.discrete.groups import DiscreteGroup
from paramsym.groups import Group


@final
@dataclass(frozen=True, eq=False)
class GroupElement(Mapping[str, Tensor]):
    """An ordered word of group elements, each of one family; the first acts first.

    Letters of discrete families (permutations, signs) may stand among the others.

    Families may overlap and need not commute, so a product is a longer word. As a mapping, it gives
    for every family the product of its letters.

    Attributes:
        names: Family of each letter.
        groups: Group of each letter.
        tensors: The letters, each of its group's shape.
    """

    names: tuple[str, ...]
    groups: tuple[Group | DiscreteGroup, ...] = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)

    def __matmul__(self, other: "GroupElement") -> "GroupElement":
        """The product: first `other`, then `self`."""
        return GroupElement(
            other.names + self.names, other.groups + self.groups, other.tensors + self.tensors
        )

    def inverse(self) -> "GroupElement":
        """The word of inverses, in reverse order."""
        letters = zip(self.groups, self.tensors, strict=True)
        inverses = tuple(group.inverse(g) for group, g in letters)
        return GroupElement(self.names[::-1], self.groups[::-1], inverses[::-1])

    def __getitem__(self, name: str) -> Tensor:
        letters = [
            (group, g)
            for letter, group, g in zip(self.names, self.groups, self.tensors, strict=True)
            if letter == name
        ]
        if not letters:
            raise KeyError(name)
        product = letters[0][1]
        for group, g in letters[1:]:
            product = group.compose(g, product)
        return product

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self.names))

    def __len__(self) -> int:
        return len(set(self.names))

    def condition(self) -> float:
        """Largest condition number among the letters' linear parts; bounds rounding errors."""
        worst = 1.0
        for group, g in zip(self.groups, self.tensors, strict=True):
            linear = group.linear(g) if isinstance(group, Group) else None
            if linear is None or isinstance(group, DiscreteGroup):
                continue
            if group.diagonal:
                worst = max(worst, float(linear.max()), float(1 / linear.min()))
            else:
                worst = max(worst, float(torch.linalg.cond(linear).max()))
        return worst


@final
@dataclass(frozen=True, eq=False)
class AlgebraElement(Mapping[str, Tensor]):
    """An element of the Lie algebra: for every family a tensor of its group's shape.

    Attributes:
        groups: Group of each family.
        tensors: One tensor a family, in the same order.
    """

    groups: Mapping[str, Group] = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def _map(self, f: Callable[[str, Tensor], Tensor]) -> "AlgebraElement":
        return AlgebraElement(self.groups, {k: f(k, M) for k, M in self.tensors.items()})

    def __mul__(self, factor: float) -> "AlgebraElement":
        return self._map(lambda _, M: M * factor)

    __rmul__ = __mul__

    def __neg__(self) -> "AlgebraElement":
        return self * -1.0

    def __add__(self, other: "AlgebraElement") -> "AlgebraElement":
        names = dict.fromkeys([*self.tensors, *other.tensors])
        sums = {
            k: self.tensors[k] + other.tensors[k]
            if k in self.tensors and k in other.tensors
            else (self.tensors if k in self.tensors else other.tensors)[k]
            for k in names
        }
        return AlgebraElement({**self.groups, **other.groups}, sums)

    def __sub__(self, other: "AlgebraElement") -> "AlgebraElement":
        return self + -other

    def symmetric(self) -> "AlgebraElement":
        """The symmetric part, whose generators have conserved quantities."""
        return self._map(lambda k, M: self.groups[k].symmetric(M))

    def antisymmetric(self) -> "AlgebraElement":
        """The antisymmetric part, whose angular momentum vanishes along gradient flow."""
        return self._map(lambda k, M: self.groups[k].antisymmetric(M))

    def exp(self, t: float = 1.0) -> GroupElement:
        """The word of the families' one-parameter subgroups at time t.

        Its derivative at t = 0 is this element. Where families do not commute it is the product of
        their exponentials, in the order of the families, not the exponential of the sum.
        """
        names = tuple(self.tensors)
        groups = tuple(self.groups[k] for k in names)
        flows = tuple(self.groups[k].exp(self.tensors[k] * t) for k in names)
        return GroupElement(names, groups, flows)


def _flatten_word(g: GroupElement) -> tuple[list[Any], Any]:
    return list(g.tensors), (g.names, g.groups)


def _unflatten_word(tensors: Any, context: Any) -> GroupElement:
    names, groups = context
    return GroupElement(names, groups, tuple(tensors))


def _flatten_algebra(M: AlgebraElement) -> tuple[list[Any], Any]:
    return list(M.tensors.values()), (tuple(M.tensors), tuple(M.groups[k] for k in M.tensors))


def _unflatten_algebra(tensors: Any, context: Any) -> AlgebraElement:
    names, groups = context
    return AlgebraElement(
        dict(zip(names, groups, strict=True)), dict(zip(names, tensors, strict=True))
    )


# So that `torch.func` transforms (vmap over many elements, grad in an element) accept both.
pytree.register_pytree_node(GroupElement, _flatten_word, _unflatten_word)
pytree.register_pytree_node(AlgebraElement, _flatten_algebra, _unflatten_algebra)
