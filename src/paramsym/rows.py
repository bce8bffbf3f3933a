"""Rows of parameters, scaled and multiplied, each parameter read once.

What scalings do to a parameter, and their moment maps, are limited by memory alone; so all that
happens to one parameter happens in one pass over it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from paramsym.ports import Port
from paramsym.sharded import aligned, here, is_sharded, joined, part_of, summed, whole

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

BLOCK = 2**17
"""Entries that are multiplied at a time, so that products stay in the cache."""


class RowsOf(NamedTuple):
    """The rows of a parameter along some axes of a view of it."""

    parameter: str
    view: tuple[int, ...]
    axes: tuple[int, ...]


def rows_of(port: Port) -> RowsOf:
    """The rows that a port takes part in."""
    return RowsOf(port.parameter, port.view, port.axes)


def row_dots(
    ports: Iterable[Port], left: Mapping[str, Tensor], right: Mapping[str, Tensor]
) -> dict[RowsOf, Tensor]:
    """Inner products of two parameter dicts' corresponding rows, for the rows of every port.

    Returns:
        For each kind of row a tensor `[row_count]`.
    """
    wanted: dict[tuple[str, tuple[int, ...]], dict[tuple[int, ...], None]] = {}
    for rows in map(rows_of, ports):
        wanted.setdefault((rows.parameter, rows.view), {})[rows.axes] = None
    found = {}
    for (name, view), kinds in wanted.items():
        for axes, dots in zip(
            kinds, _joint_dots(left[name], right[name], view, list(kinds)), strict=True
        ):
            found[RowsOf(name, view, axes)] = dots
    return found


def _joint_dots(
    left: Tensor, right: Tensor, view: tuple[int, ...], kinds: Sequence[tuple[int, ...]]
) -> list[Tensor]:
    """As `_dots`, of parameters that may be sharded."""
    if not is_sharded(left) or view != left.shape:
        left = whole(left)
        return _dots(left.reshape(view), aligned(right, left).reshape(view), kinds)
    x, y = left.to_local(), here(aligned(right, left))
    if x.numel():
        parts = _dots(x, y, kinds)
    else:
        parts = [summable(x.new_zeros(math.prod(x.shape[a] for a in axes))) for axes in kinds]
    return [
        summed(dots.reshape([x.shape[a] for a in axes]), left, axes).flatten()
        for dots, axes in zip(parts, kinds, strict=True)
    ]


def _dots(x: Tensor, y: Tensor, kinds: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """For each set of axes the sums of x·y over the other axes, block by block."""
    step = max(1, BLOCK * x.shape[0] // max(x.numel(), 1))
    along: dict[tuple[int, ...], list[Tensor]] = {axes: [] for axes in kinds if 0 in axes}
    total: Tensor | None = None
    for start in range(0, x.shape[0], step):
        product = summable(x[start : start + step]) * summable(y[start : start + step])
        for axes, pieces in along.items():
            pieces.append(_sum_except(product, axes))
        if len(along) < len(kinds):
            share = product.sum(0, keepdim=True)
            total = share if total is None else total + share
    sums = []
    for axes in kinds:
        if 0 in axes:
            sums.append(torch.cat(along[axes]).flatten())
        else:
            assert total is not None
            sums.append(_sum_except(total, axes).flatten())
    return sums


def summable(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least: Q is a small difference of large sums of products, of which
    half precision would keep nothing."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def _sum_except(product: Tensor, axes: tuple[int, ...]) -> Tensor:
    others = [a for a in range(product.ndim) if a not in axes]
    return product.sum(others) if others else product


def scale(
    tensor: Tensor,
    factors: Iterable[tuple[Port, Tensor]],
    *,
    rest: float = 1.0,
    overwrite: bool = False,
) -> Tensor:
    """Multiply a parameter by all the scalings that it takes part in.

    Args:
        tensor: The parameter.
        factors: Ports on it, each with scales `[copies, n]`.
        rest: What multiplies rows that a port leaves out.
        overwrite: Whether the tensor's memory may hold the result, which is new otherwise.
    """
    joint: dict[RowsOf, Tensor] = {}
    for port, scales in factors:
        factor = port.spread(scales.to(here(tensor)), rest)
        rows = rows_of(port)
        joint[rows] = joint[rows] * factor if rows in joint else factor
    if is_sharded(tensor):
        return joined(_scaled_part(tensor, joint, overwrite), tensor)
    result = tensor
    for rows, factor in joint.items():
        view, factor = result.reshape(rows.view), _widened(factor, rows.view)
        # Memory is dear: what was made here is overwritten, where no transform forbids it.
        free = (overwrite or result is not tensor) and is_plain(view, factor)
        result = (view.mul_(factor) if free else view * factor).reshape(tensor.shape)
    return result


def _scaled_part(tensor: "DTensor", joint: Mapping[RowsOf, Tensor], overwrite: bool) -> Tensor:
    """This process's part of a sharded parameter, scaled."""
    part = tensor.to_local()
    for rows, factor in joint.items():
        if rows.view != tensor.shape:
            factor = factor.expand(rows.view).reshape(tensor.shape)
        factor = part_of(factor, tensor)
        part = part.mul_(factor) if overwrite and is_plain(part, factor) else part * factor
        overwrite = True
    return part


def _widened(factor: Tensor, view: tuple[int, ...]) -> Tensor:
    """The factor spread over the last axes, if that is cheap: long runs multiply faster."""
    last = max((a for a, size in enumerate(factor.shape) if size > 1), default=-1)
    spread = torch.Size(view[last + 1 :]).numel()
    if spread == 1 or last < 0 or factor.numel() * spread * 8 > torch.Size(view).numel():
        return factor
    return factor.expand(*factor.shape[: last + 1], *view[last + 1 :]).contiguous()


def is_plain(*tensors: Tensor) -> bool:
    """Whether neither autograd nor a `torch.func` transform follows these tensors."""
    inside = peek_interpreter_stack() is not None
    return not inside and not any(tensor.requires_grad for tensor in tensors)
