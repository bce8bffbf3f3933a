"""Ways to place a parameter on a mesh of processes."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import Placement, _StridedShard

Layout = Callable[[Tensor], list[Placement] | None]
"""Placements of a parameter, one for each dimension of the mesh; `None` to leave it plain."""


def _cut(tensor: Tensor, axis: int) -> Placement:
    """Cut along the axis, or along the last there is; a scalar is replicated."""
    return Shard(min(axis, tensor.ndim - 1)) if tensor.ndim else Replicate()


def _strided(tensor: Tensor) -> list[Placement]:
    if not tensor.ndim:
        return [Replicate(), Replicate()]
    return [_StridedShard(0, split_factor=2), Shard(0)]


FLAT: dict[str, Layout] = {
    "replicated": lambda _: [Replicate()],
    "rows": lambda p: [_cut(p, 0)],
    "columns": lambda p: [_cut(p, 1)],
    "matrices only": lambda p: [_cut(p, 0)] if p.ndim > 1 else None,
    "vectors only": lambda p: [_cut(p, 0)] if p.ndim == 1 else None,
}
"""Layouts on a line of processes."""

SQUARE: dict[str, Layout] = {
    "rows twice": lambda p: [_cut(p, 0), _cut(p, 0)],
    "rows and columns": lambda p: [_cut(p, 0), _cut(p, 1)],
    "replicas of rows": lambda p: [Replicate(), _cut(p, 0)],
    "strided rows": _strided,
}
"""Layouts on a rectangle of processes; the last is `fully_shard` over tensor parallelism."""


def mesh(*shape: int) -> DeviceMesh:
    return init_device_mesh("cpu", shape)


def placed(params: Mapping[str, Tensor], layout: Layout, on: DeviceMesh) -> dict[str, Tensor]:
    """The parameters laid out so; every process gives the same ones."""
    return {k: _placed(p.detach().clone(), layout(p), on) for k, p in params.items()}


def _placed(tensor: Tensor, placements: list[Placement] | None, on: DeviceMesh) -> Tensor:
    if placements is None:
        return tensor
    if any(isinstance(p, _StridedShard) for p in placements):
        copies = DTensor.from_local(tensor, on, [Replicate()] * on.ndim)
        return copies.redistribute(placements=placements)
    return distribute_tensor(tensor, on, placements)


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: p.full_tensor() if isinstance(p, DTensor) else p for k, p in tensors.items()}


def placements_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Placement, ...] | None]:
    return {k: p.placements if isinstance(p, DTensor) else None for k, p in tensors.items()}


def generator(seed: int = 7) -> torch.Generator:
    """The same in every process."""
    return torch.Generator().manual_seed(seed)
