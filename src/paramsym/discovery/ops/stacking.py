"""Parameters that are stacks of matrices: experts, heads, einsum factors.

A matrix of a stack has coordinates of its own, so that its labels depend on its place.
"""

from collections.abc import Sequence

import numpy as np

from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Layer
from paramsym.discovery.ops.registry import Call, layout


def joint(facts: Facts, shape: Sequence[int], axes: Sequence[int]) -> tuple[Layer, ...]:
    """A layer of labels that depend on all of these axes; none where they have size 1."""
    sizes = [size if a in axes else 1 for a, size in enumerate(shape)]
    return (Layer(facts.fresh(tuple(sizes))),) if np.prod(sizes) > 1 else ()


@layout("self", "bmm", "matmul", "select", "unbind", "index", "index_select")
@layout("mat2", "bmm")
@layout("other", "matmul")
@layout("batch1", "baddbmm")
@layout("batch2", "baddbmm")
def stack(call: Call, shape: tuple[int, ...], _: int) -> tuple[Layer, ...] | None:
    """Three axes, of which the first counts matrices."""
    first_only = call.record.op != "index" or len(call["indices"]) == 1
    if len(shape) != 3 or shape[0] == 1 or call.get("dim", 0) not in (0, -3) or not first_only:
        return None
    return joint(call.facts, shape, (0, 1)) + joint(call.facts, shape, (0, 2))


@layout("tensors", "einsum")
def factor(call: Call, shape: tuple[int, ...], position: int) -> tuple[Layer, ...] | None:
    """A matrix of what is summed by what is kept, of several letters each, for every place in
    what both factors share and keep."""
    equation = call["equation"].replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    words = inputs.split(",")
    if len(words) != 2 or not arrow or "." in equation or len(shape) < 3:
        return None
    word, other = words[position], words[1 - position]
    shared = [a for a, x in enumerate(word) if x in other and x in output]
    summed = [a for a, x in enumerate(word) if x not in output]
    kept = [a for a, x in enumerate(word) if x not in other and x in output]
    return joint(call.facts, shape, [*shared, *summed]) + joint(call.facts, shape, [*shared, *kept])
