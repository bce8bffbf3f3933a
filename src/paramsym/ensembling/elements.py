"""Group elements of a given scale, one a member, and how well they are conditioned."""

import math

import torch
from torch import Tensor

from paramsym.groups import GeneralLinear

ELEMENTS = ("exp", "linear")
"""exp(εT), or I + εT."""


def group_elements(
    h: int, members: int, scale: float, elements: str = "exp", *, generator: torch.Generator
) -> Tensor:
    """Elements g of GL(h) at distance about `scale` from the identity, `[members, h, h]`, float64.

    `"exp"` is exp(εT), which is always in the group; `"linear"` is I + εT, which Appendix I prints
    and which may be singular. T has entries N(0, 1/h), so that its size is free of h and both agree
    to first order in ε. The same generator gives the same T for every scale.

    Args:
        h: Size of the hidden space.
        members: How many.
        scale: ε.
        elements: `"exp"` or `"linear"`.
        generator: Source of randomness.

    Raises:
        ValueError: If `elements` is neither.
    """
    if elements not in ELEMENTS:
        raise ValueError(f"`elements` must be one of {list(ELEMENTS)}; got {elements!r}.")
    shape, device = (members, h, h), generator.device
    noise = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
    T = noise * (scale / math.sqrt(h))
    if elements == "linear":
        return torch.eye(h, dtype=T.dtype, device=device) + T
    return GeneralLinear(h).exp(T)


def condition_numbers(g: Tensor) -> Tensor:
    """cond(g) = ‖g‖₂‖g⁻¹‖₂ of `[..., h, h]`; infinite where g is singular or not finite."""
    finite = torch.isfinite(g).all(-1).all(-1)
    sizes = torch.linalg.svdvals(torch.where(finite[..., None, None], g, 0.0))
    condition = sizes[..., 0] / sizes[..., -1]
    return torch.where(finite & (sizes[..., -1] > 0), condition, float("inf"))


def require_conditioned(condition: Tensor, h: int, scale: float) -> None:
    """Raise unless g is invertible in float64, for every member.

    Args:
        condition: cond(g), `[members]`.
        h: Size of g.
        scale: ε that they were drawn with.

    Raises:
        ValueError: If one is above 1/(h·eps), where a matrix is numerically singular.
    """
    limit = 1 / (h * torch.finfo(torch.float64).eps)
    bad = int((~(condition < limit)).sum())
    if bad:
        raise ValueError(
            f"`scale` is too large for float64: at {scale:g}, {bad} of {len(condition)} group "
            "elements are numerically singular, with condition numbers up to "
            f"{float(condition.max()):.1e} (limit {limit:.1e}). Take a smaller scale: cond(g) "
            "of exp(εT) grows exponentially with it. `check=False` takes them as they are, and "
            "what such members compute is rounding."
        )
