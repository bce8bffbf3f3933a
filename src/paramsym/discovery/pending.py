"""Squares and products whose facts wait for what reads them: a sum makes norms and inner products
of them, for which other facts hold."""

from dataclasses import replace

from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Value


def read_by_entries(value: Value, facts: Facts) -> Value:
    """A value that something other than a sum reads: the entries of a square or product that waits
    do not mix."""
    if value.product is not None:
        value.product(())
        return replace(value, product=None)
    if not value.is_square:
        return value
    for layer in value.layers:
        facts.isolate(layer.labels)
    return replace(value, is_square=False)
