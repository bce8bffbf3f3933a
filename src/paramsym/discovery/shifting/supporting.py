"""How a fact Σ n x = c continues through products and sums."""

from dataclasses import replace

from paramsym.discovery.shifting.values import Support, Value


def times(support: Support, factor: Value, axis: int) -> Support | None:
    """The fact of a product with a factor whose axis `axis` falls on that of the fact."""
    if not factor.shape or axis < 0 or factor.shape[axis] == 1:
        # The same number all along the axis, whatever it is.
        zero = support.bias is None and support.constant == 0
        return support if zero else None
    view = factor.view
    alone = view is not None and view.is_whole and len(view.shape) == 1
    if support.gain is not None or support.bias is not None or support.constant or not alone:
        return None
    assert view is not None
    return replace(support, gain=(view.parameter, 0.0))


def plus(support: Support, summand: Value, axis: int) -> Support | None:
    """The fact of a sum with a summand whose axis `axis` falls on that of the fact."""
    view = summand.view
    alone = view is not None and view.is_whole and len(view.shape) == 1
    if support.bias is not None or support.constant or not alone or not summand.shape:
        return None
    assert view is not None
    if axis < 0 or summand.shape[axis] == 1:
        return None
    return replace(support, bias=view.parameter)
