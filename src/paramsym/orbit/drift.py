"""How far a function drifts on an orbit, and what rounding of its parameters alone would do."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from paramsym.residuals import relative_change

Params = Mapping[str, Tensor]
Outputs = Callable[[dict[str, Tensor]], Tensor]


@torch.no_grad()
def drift(function: Outputs, before: Params, after: Params) -> float:
    """Largest change of a function's outputs, relative to the largest output.

    Raises:
        TypeError: If the function returns no tensor.
    """
    return relative_change(_at(function, after), _at(function, before))


@torch.no_grad()
def rounding(function: Outputs, before: Params, after: Params, *, seed: int = 0) -> float:
    """The drift where every parameter is off by up to a unit in its last place, at random, before
    and after: what its dtype costs in any case.

    Moved parameters are rounded to their dtype once. So a drift of many times this number is no
    rounding.
    """
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for params in (before, after):
        off = {
            k: _off(p.detach(), generator) if p.is_floating_point() else p.detach()
            for k, p in params.items()
        }
        total += relative_change(_at(function, off), _at(function, params))
    return total


def _off(p: Tensor, generator: torch.Generator) -> Tensor:
    """The tensor in float64 with relative errors of up to an eps of its dtype."""
    noise = torch.rand(p.shape, generator=generator, dtype=torch.float64).to(p.device)
    off = p.double() * (1 + torch.finfo(p.dtype).eps * (2 * noise - 1))
    return off.to(p.dtype)


def _at(function: Outputs, params: Params) -> Tensor:
    outputs = function({k: p.detach() for k, p in params.items()})
    if not isinstance(outputs, Tensor):
        raise TypeError(
            "`function` must return a tensor, the model's outputs; "
            f"got {type(outputs).__name__}. Choose one of them, or concatenate them."
        )
    return outputs
