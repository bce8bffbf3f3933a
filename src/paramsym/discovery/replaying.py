"""A recorded run, made again in float64 on other parameters and inputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paramsym.discovery.recording import Recording, Ref


def _over(x: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(x.dtype).expand(x.shape)


def _by_parts(op: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An op that writes a part of a tensor, with a derivative for complex ones."""

    def run(x: Tensor, source: Tensor, *place: Any, **named: Any) -> Tensor:
        if not x.is_complex():
            return op(x, source, *place, **named)
        real, imaginary = (
            op(x.real, source.real, *place, **named),
            op(x.imag, source.imag, *place, **named),
        )
        return torch.complex(real, imaginary)

    return run


def _grouped_mm(
    left: Tensor,
    right: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """Products of matrices group by group, up to where each ends; torch has them up to float32."""
    if offs is None:
        product = left @ right
    else:
        stops = offs.tolist()
        groups = list(zip([0, *stops[:-1]], stops, strict=True))
        if left.ndim == 2 and right.ndim == 3:
            parts = [left[i:j] @ right[k] for k, (i, j) in enumerate(groups)]
            rest = left.new_zeros(len(left) - stops[-1], right.shape[-1])
            product = torch.cat([*parts, rest])
        elif left.ndim == 3:
            parts = [left[k] @ right[:, i:j] for k, (i, j) in enumerate(groups)]
            product = torch.cat(parts, 1)
        else:
            product = torch.stack([left[:, i:j] @ right[i:j] for i, j in groups])
    return product if bias is None else product + bias


_RUN_AS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.view.default: torch.ops.aten.reshape.default,
    torch.ops.aten._unsafe_view.default: torch.ops.aten.reshape.default,
    torch.ops.aten.copy.default: _over,
    torch.ops.aten._grouped_mm.default: _grouped_mm,
    torch.ops.aten.slice_scatter.default: _by_parts(torch.ops.aten.slice_scatter.default),
    torch.ops.aten.select_scatter.default: _by_parts(torch.ops.aten.select_scatter.default),
}
"""Ops that a replay runs by another one: its tensors may lie in memory in another order, or the op
has no derivative, or no float64."""


def run_as(op: Callable[..., Any]) -> Callable[..., Any]:
    """What a replay runs for an op."""
    return _RUN_AS.get(op, op)


def replay(
    recording: Recording,
    params: Mapping[str, Tensor],
    inputs: Mapping[int, Tensor],
    *,
    seed: int = 0,
) -> list[Tensor]:
    """Run the recorded calls again in float64, on other parameters and inputs.

    Casts to a narrower floating type inside the model are lifted to float64. Random ops draw the
    same numbers at every replay with the same seed; the caller's random state is left alone.

    Args:
        params: Parameters by canonical name; used in the dtype that they have.
        inputs: Value number → tensor, as `recording.inputs`.
        seed: Seed of random ops.

    Returns:
        The outputs, in order.
    """
    mutated = {i for record in recording.records for i in record.mutates}
    values: dict[int, Tensor] = {
        i: params[name].clone() if i in mutated else params[name]
        for i, name in recording.parameter_ids.items()
    }
    for i, tensor in (*recording.constants.items(), *inputs.items()):
        # A copy, because batch norm writes to its statistics.
        values[i] = tensor.detach().to(_wide_dtype(tensor.dtype), copy=True)

    def argument(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return values[leaf.id]
        if isinstance(leaf, torch.dtype):
            return _wide_dtype(leaf)
        return leaf

    # The plain attention kernel has a forward derivative.
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), _wide_by_default():
        torch.manual_seed(seed)
        for position, record in enumerate(recording.records):
            args, kwargs = record.filled(argument)
            result = run_as(record.target)(*args, **kwargs)
            results = result if isinstance(result, tuple | list) else (result,)
            for i, tensor in zip(record.outputs, results, strict=False):
                if i is not None:
                    values[i] = tensor
            for i in (*record.inputs(), *record.outputs):
                if i is not None and recording.last_reads.get(i, -1) <= position:
                    values.pop(i, None)
    return [values[i] for i in recording.outputs]


@contextmanager
def _wide_by_default() -> Iterator[None]:
    """Tensors that the model makes of numbers, without naming a dtype, are float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def widen(tensor: Tensor) -> Tensor:
    """The tensor in float64 or complex128; others as they are."""
    return tensor.detach().to(_wide_dtype(tensor.dtype))


def _wide_dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype
