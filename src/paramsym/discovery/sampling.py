"""Numbers that stand in for data, to see what holds of an analytic function of it.

The angles of rotary positions may be computed from positions that are an input, or from buffers of
which nothing but a shape is known. That cosine and sine are of one angle, and angles the same for
two coordinates, are identities of analytic functions: if they hold at a point drawn with a density,
they hold everywhere, with probability one (docs/derivations.md §13). So only such functions are
followed: no comparisons, no rounding, no look-ups.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from paramsym.discovery.arguments import leaves
from paramsym.discovery.combinations import LARGEST
from paramsym.discovery.labels import Value
from paramsym.discovery.recording import Record, Ref

ANALYTIC = (
    "add", "sub", "rsub", "mul", "div", "neg", "reciprocal", "pow", "square", "exp", "sin", "cos",
    "polar", "complex", "view_as_complex", "view_as_real", "matmul", "mm", "bmm", "einsum",
    "cat", "stack", "view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand",
    "expand_as", "permute", "transpose", "t", "slice", "select", "split", "chunk", "unbind",
    "repeat", "repeat_interleave", "flatten", "unflatten", "clone", "alias", "contiguous",
    "_to_copy", "to", "type_as", "detach",
)  # fmt: skip


def drawn(shape: tuple[int, ...], i: int) -> Tensor | None:
    """Positive numbers of order one in the place of the value with this number."""
    rng = torch.Generator().manual_seed(i)
    size = torch.Size(shape).numel()
    return torch.rand(shape, generator=rng, dtype=torch.float64) + 0.5 if size <= LARGEST else None


def numbers(value: Value) -> Tensor | None:
    """A value's entries: its own, or those that stand in for them."""
    constant = value.constant
    return constant if constant is not None and constant.device.type != "meta" else value.sample


def sampled(
    record: Record,
    values: Mapping[int, Value],
    shapes: Sequence[tuple[int, ...] | None],
) -> list[Tensor | None]:
    """What a call of an analytic op makes of numbers that stand in for data."""
    unknown: list[Tensor | None] = [None] * len(shapes)
    given = [numbers(values[i]) for i in record.inputs()]
    sizes = [torch.Size(shape).numel() for shape in shapes if shape is not None]
    every = leaves((record.args, dict(record.kwargs)))
    rounds = any(isinstance(x, torch.dtype) and _wide(x) is None for x in every)
    if record.op not in ANALYTIC or record.mutates or rounds or record.kwargs.get("rounding_mode"):
        return unknown
    if any(x is None for x in given) or max(sizes, default=0) > LARGEST:
        return unknown

    def resolve(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            tensor = numbers(values[leaf.id])
            assert tensor is not None
            return tensor.to(_wide(tensor.dtype) or tensor.dtype)
        if isinstance(leaf, torch.dtype):
            return _wide(leaf)
        return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

    args, kwargs = record.filled(resolve)
    try:
        with torch.no_grad():
            result = record.target(*args, **kwargs)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return unknown
    return list(result) if isinstance(result, tuple | list) else [result]


def _wide(dtype: torch.dtype) -> torch.dtype | None:
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else None
