"""The one primitive behind linear, matmul, convolution, and elementwise products.

Σ over some axes of left · right, in a common broadcast space.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from paramsym.discovery.distinct import distinct
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Layer, compress, first_along, merge, varying


@final
@dataclass(frozen=True)
class Operand:
    """A factor, its axes aligned with the common space.

    Attributes:
        layers: Its layers, with as many axes as the space.
        extent: Its size along every axis, 1 where it does not vary.
        parameter: The parameter that it is a view of.
    """

    layers: tuple[Layer, ...]
    extent: Sequence[int]
    parameter: str | None = None


def contract(
    facts: Facts, left: Operand, right: Operand, summed: tuple[int, ...] = ()
) -> tuple[Layer, ...]:
    """State what a product summed over axes means; the layers of the result.

    Labels that are summed over unify as duals, so that the sum is the pairing of a space with its
    dual; their scales cancel, up to one scale of the whole sum. The rest pass. The result keeps the
    summed axes, with size 1.
    """
    left, right = _added(facts, left, right, summed), _added(facts, right, left, summed)
    left_in, left_out = _split(left, summed)
    right_in, right_out = _split(right, summed)
    kept = tuple(a for a in range(len(left.extent)) if a not in summed)

    for operand, inner, outer in ((left, left_in, left_out), (right, right_in, right_out)):
        if operand.parameter is not None:
            facts.summed += [layer.labels for layer in inner]
            facts.kept += [layer.labels for layer in outer]
    inner = left_in + right_in
    a, b = _space(facts, left_in), _space(facts, right_in)
    if a is not None and b is not None and abs(a.exponent) == abs(b.exponent):
        facts.unify(a.labels, b.labels, dual=a.exponent * b.exponent > 0)
        for layer in (a, b):
            facts.use(layer.labels, kept)
            for other in inner:
                if other is not a and other is not b:
                    facts.use_by(layer.labels, other.labels)
    else:
        for layer in inner:
            facts.isolate(layer.labels)
    for layers, other in ((left_out, right), (right_out, left)):
        for layer in layers:
            facts.use(layer.labels, tuple(a for a, size in enumerate(other.extent) if size > 1))

    outer = left_out + right_out
    if not inner:
        return merge(outer)
    sums = [first_along(layer.labels, summed) for layer in inner]
    axes = {a for labels in sums for a, size in enumerate(labels.shape) if size > 1}
    if _absorbs(facts, right, right_in, right_out, axes) or _absorbs(
        facts, left, left_in, left_out, axes
    ):
        facts.balance(*inner)
        return merge(outer)
    shape = tuple(max(labels.shape[a] for labels in sums) for a in range(len(left.extent)))
    total = Layer(facts.fresh(shape))
    facts.balance(*inner, -total)
    facts.isolate(total.labels)
    return merge([*outer, total])


def _added(facts: Facts, operand: Operand, other: Operand, summed: tuple[int, ...]) -> Operand:
    """The operand, as one vector where the sum is of vectors times numbers of data: those that the
    matrices of a stack write, such as all experts with their weights, are of one space."""
    inner = [layer for layer in operand.layers if set(layer.axes) & set(summed)]
    if other.layers or len(inner) != 1:
        return operand
    (layer,) = inner
    coordinates = facts.coordinates(layer.labels)
    if coordinates is None or set(varying(compress(coordinates))) & set(summed):
        return operand
    first = Layer(first_along(layer.labels, summed), layer.exponent)
    facts.balance(layer, -first)
    facts.unify(layer.labels, first.labels)
    keys = {a for a, size in enumerate(other.extent) if size > 1} | set(summed)
    facts.use(layer.labels, tuple(sorted(keys)))
    layers = tuple(first if x is layer else x for x in operand.layers)
    return replace(operand, layers=layers)


def _space(facts: Facts, inner: list[Layer]) -> Layer | None:
    """The layer whose coordinates are summed over. Others are numbers that multiply them, as the
    norms of several vectors do: coordinates with the same number may mix."""
    if not inner:
        return None
    space = max(inner, key=lambda layer: len(distinct(layer.labels)))
    for layer in inner:
        if layer is not space:
            facts.isolate(layer.labels)
    return space


def _split(operand: Operand, summed: tuple[int, ...]) -> tuple[list[Layer], list[Layer]]:
    inner, outer = [], []
    for layer in operand.layers:
        (inner if set(layer.axes) & set(summed) else outer).append(layer)
    return inner, outer


def _absorbs(
    facts: Facts, operand: Operand, inner: list[Layer], outer: list[Layer], axes: set[int]
) -> bool:
    """Whether the scale of the sum can be given to another axis of a parameter.

    A matrix is unchanged when its rows scale up and its columns down, so one overall scale of its
    labels means nothing; this spends it, once for each parameter.
    """
    name = operand.parameter
    if name is None or not inner or not any(axes <= set(layer.axes) for layer in outer):
        return False
    return facts.spend_gauge(name, inner[0].labels)
