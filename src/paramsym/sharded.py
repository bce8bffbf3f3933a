"""Parameters that several processes share, and what one process holds of them.

A sharded parameter is a `DTensor`. Everything here works on the local part of one parameter and
joins parts by a collective over that parameter's own mesh, so that at most one parameter is ever
whole in a process. Plain tensors are whole already: every process holds the same.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor.placement_types import Placement


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether the tensor is distributed over a mesh of processes."""
    # There is no DTensor before its module is loaded, which takes half a second.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def is_fully_sharded(module: nn.Module) -> "TypeGuard[FSDPModule]":
    """Whether `fully_shard` was applied to the module, which then owns its parameters' shards."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def require_placements(tensor: Tensor, where: str) -> None:
    """Raise unless every process holds a shard or the whole of the parameter.

    Raises:
        ValueError: If a placement is another one, such as partial sums.
    """
    known = ("Shard", "_StridedShard", "Replicate")
    if is_sharded(tensor) and any(type(p).__name__ not in known for p in tensor.placements):
        raise ValueError(
            f"{where} must be placed by `Shard` or `Replicate`; got {tensor.placements}. "
            "Redistribute it: `p.redistribute(placements=[Replicate()])`."
        )


def whole(tensor: Tensor) -> Tensor:
    """The tensor, gathered if it is sharded."""
    if not is_sharded(tensor):
        return tensor
    return _on_mesh(tensor).full_tensor().to(tensor.device)


def here(tensor: Tensor) -> Tensor:
    """What this process holds of the tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def part_of(values: Tensor, like: "DTensor") -> Tensor:
    """This process's part of a whole tensor, cut as `like` is. Axes along which it is to be
    broadcast are not cut."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = like.device_mesh
    cut = [
        Replicate() if d is not None and values.shape[d] != like.shape[d] else placement
        for placement, d in zip(like.placements, _axes_cut(like), strict=True)
    ]
    copies = DTensor.from_local(values, mesh, [Replicate()] * mesh.ndim)
    return copies.redistribute(placements=cut).to_local().to(values.device)


def joined(part: Tensor, like: "DTensor") -> "DTensor":
    """The sharded tensor of `like`'s shape and placements of which this process holds `part`."""
    from torch.distributed.tensor import DTensor

    made = DTensor.from_local(
        part, like.device_mesh, like.placements, shape=like.shape, stride=_strides(like.shape)
    )
    return _to(made, part.device)


def aligned(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, whole or cut as `like` is, on its device."""
    if not is_sharded(like):
        return whole(tensor).to(like.device)
    tensor = tensor.to(like.device)
    if not is_sharded(tensor):
        return joined(part_of(tensor, like), like)
    if tensor.device_mesh != like.device_mesh:
        return joined(part_of(whole(tensor), like), like)
    return _redistributed(tensor, like.placements)


def opened(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """The same tensor cut along other axes than these, the longest; else whole."""
    if not is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import Replicate, Shard

    others = [a for a in range(tensor.ndim) if a not in axes]
    longest = max(others, key=lambda a: tensor.shape[a], default=None)
    instead = Replicate() if longest is None else Shard(longest)
    placements = [
        instead if d in axes else placement
        for placement, d in zip(tensor.placements, _axes_cut(tensor), strict=True)
    ]
    return _redistributed(tensor, placements)


def through(tensor: Tensor, axes: Sequence[int], change: Callable[[Tensor], Tensor]) -> Tensor:
    """The tensor after a change of its parts that needs some axes whole."""
    cut = opened(tensor, axes)
    if not is_sharded(tensor) or not is_sharded(cut):
        return change(tensor)
    part = cut.to_local()
    changed = change(part)
    if changed is part and cut is tensor:
        return tensor
    return _redistributed(joined(changed, cut), tensor.placements)


def summed(sums: Tensor, like: Tensor, axes: Sequence[int] = ()) -> Tensor:
    """Whole sums over all axes of `like` but some, from the sums over this process's part.

    Args:
        sums: Sums over the part that `like` has here, with the axes that were kept.
        like: What was summed.
        axes: The axes kept, in increasing order.

    Returns:
        A plain tensor, equal in all processes.
    """
    if not is_sharded(like):
        return sums
    from torch.distributed.tensor import DTensor, Partial, Shard
    from torch.distributed.tensor.placement_types import _StridedShard

    placements: list[Placement] = []
    for placement, d in zip(like.placements, _axes_cut(like), strict=True):
        if d is None:
            placements.append(placement)
        elif d not in axes:
            placements.append(Partial())
        elif isinstance(placement, _StridedShard):
            moved = _StridedShard(axes.index(d), split_factor=placement.split_factor)
            placements.append(moved)
        else:
            placements.append(Shard(axes.index(d)))
    shape = torch.Size([like.shape[a] for a in axes])
    parts = DTensor.from_local(
        sums, like.device_mesh, placements, shape=shape, stride=_strides(shape)
    )
    return parts.full_tensor().to(sums.device)


def require_equal(tensors: Iterable[Tensor], params: Iterable[Tensor], argument: str) -> None:
    """Raise, in every process, unless all of them hold the same tensors.

    Each process moves its own parts: with different elements, the parts would no longer fit
    together, and nothing else would show it. Plain parameters ask for no check.

    Raises:
        ValueError: If the tensors differ between processes.
    """
    meshes = dict.fromkeys(p.device_mesh for p in params if is_sharded(p))
    if not meshes:
        return
    from torch.distributed.tensor import DTensor, Partial

    digest = hashlib.blake2b(digest_size=7)
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    own = torch.tensor([int.from_bytes(digest.digest(), "little")])
    for mesh in meshes:
        extremes = [
            DTensor.from_local(own, mesh, [Partial(kind)] * mesh.ndim).full_tensor()
            for kind in ("min", "max")
        ]
        if not torch.equal(*extremes):
            raise ValueError(
                f"`{argument}` must be the same in every process, because each moves its own part "
                "of the parameters; it differs. Draw it from a generator with one seed: "
                "`symmetry.sample(generator=torch.Generator().manual_seed(0))`."
            )


def _axes_cut(tensor: "DTensor") -> list[int | None]:
    """For each dimension of the mesh the axis that is cut along it."""
    return [getattr(p, "dim", None) for p in tensor.placements]


def _redistributed(tensor: "DTensor", placements: "Sequence[Placement]") -> "DTensor":
    if tuple(placements) == tensor.placements:
        return tensor
    moved = _on_mesh(tensor).redistribute(placements=placements)
    return _to(moved, tensor.device)


def _on_mesh(tensor: "DTensor") -> "DTensor":
    """The tensor on the mesh's own device, where collectives run; parameters that are offloaded to
    the CPU wait elsewhere."""
    kind = tensor.device_mesh.device_type
    return tensor if tensor.device.type == kind else _to(tensor, torch.device(kind))


def _to(tensor: "DTensor", device: torch.device) -> "DTensor":
    if tensor.device == device:
        return tensor
    moved = tensor.to(device)
    assert is_sharded(moved)
    return moved


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
