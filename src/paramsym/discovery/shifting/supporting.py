"""How a fact Σ n x = c continues through products and sums."""

from dataclasses import replace

from paramsym.discovery.shifting.values import Support, Value
from paramsym.discovery.shifting.weights import vector_of


def times(support: Support, factor: Value, axis: int) -> Support | None:
    """The fact of a product with a factor whose axis `axis` falls on that of the fact."""
    if not factor.shape or axis < 0 or factor.shape[axis] == 1:
        # The same number all along the axis, whatever it is.
        return support if support.is_zero else None
    name = vector_of(factor.view)
    if support.gain is not None or support.block is not None or not support.is_zero or not name:
        return None
    return replace(support, gain=(name, 0.0))


def plus(support: Support, summand: Value, axis: int) -> Support | None:
    """The fact of a sum with a summand whose axis `axis` falls on that of the fact."""
    name = vector_of(summand.view)
    if support.block is not None or not support.is_zero or not name or not summand.shape:
        return None
    if axis < 0 or summand.shape[axis] == 1:
        return None
    return replace(support, bias=name)
