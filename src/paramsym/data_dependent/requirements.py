"""What the arguments of the data-dependent action must be, and the errors where they are not."""

import torch
from torch import Tensor


def require_rank(values: Tensor, argument: str) -> None:
    """Raise unless the rows of `[..., k, h]` have full numerical rank; reads values.

    Raises:
        ValueError: If a singular value is below max(k, h)·eps times the largest. The batch is off
            the non-degenerate locus of Lemma D.6.
    """
    sizes = _singular_values(values)
    floor = max(values.shape[-2:]) * torch.finfo(values.dtype).eps * sizes[..., :1]
    ranks = (sizes > floor).sum(-1)
    full = min(values.shape[-2:])
    if int(ranks.min()) < full:
        raise ValueError(
            f"`{argument}` must have full rank {full}, because invertible maps keep rank (Lemma "
            f"D.6); its numerical rank is {int(ranks.min())}. Remove samples that repeat or are "
            "dead (all zeros), or use an activation that keeps them independent."
        )


def require_invertible(name: str, g: Tensor) -> None:
    """Raise unless g is finite and numerically invertible; reads values."""
    require_finite(name, g)
    sizes = _singular_values(g)
    floor = g.shape[-1] * torch.finfo(g.dtype).eps * sizes[..., 0]
    if not bool((sizes[..., -1] > floor).all()):
        condition = float((sizes[..., 0] / sizes[..., -1]).max())
        raise ValueError(
            f"`{name}` must be invertible, an element of GL(h); its condition number is "
            f"{condition:.1e}. Take for instance I + εM with a small ε."
        )


def _singular_values(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix.float() if matrix.dtype == torch.bfloat16 else matrix)


def require_locus(argument: str, z: Tensor) -> None:
    """Raise unless every vector along the last axis is finite and not zero; reads values.

    Raises:
        ValueError: If one is not; it is off the non-degenerate locus of Theorem D.4.
    """
    require_finite(argument, z)
    zeros = int((z == 0).all(-1).sum())
    if zeros:
        raise ValueError(
            f"`{argument}` must not be the zero vector, which has no frame (Theorem D.4); "
            f"{zeros} of {z[..., 0].numel()} vectors are zero. Use another input, or an "
            "activation without zeros, such as a sigmoid."
        )


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise unless all entries are finite; reads values."""
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(
            f"`{name}` must be finite; {bad} of {tensor.numel()} entries are NaN or infinite."
        )


def require_float(name: str, tensor: object) -> None:
    """Raise unless it is a floating-point tensor."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"`{name}` must be a floating-point tensor; got {got}.")


def require_square(g: Tensor, h: int, why: str, name: str = "g") -> None:
    """Raise unless g has shape `[..., h, h]`."""
    if g.ndim < 2 or tuple(g.shape[-2:]) != (h, h):
        raise ValueError(
            f"`{name}` must have shape [..., {h}, {h}], because {why}; got {list(g.shape)}."
        )
