"""What rounding the weights does to the outputs, to first order, as an objective."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paramsym.orbit.objectives.outliers import Per, groups, smooth_range


@final
@dataclass(frozen=True)
class QuantisationNoise:
    """The squared change of the outputs that rounding the weights causes, relative to the outputs.

    Rounding to the nearest of steps Δ = r/(2^{b−1} − 1) changes every weight by an error of
    variance Δ²/12. If errors are independent and small, the squared change of the outputs F is
    Σ_w Δ_w²/12 ‖∂F/∂w‖² in expectation. ‖∂F/∂w‖² is the mean of ⟨z, ∂F/∂w⟩² over random signs z
    (docs/derivations.md §26).

    Attributes:
        function: From a parameter dict to the outputs at some inputs; no labels are needed.
        bits: b, of a weight.
        per: What shares a step: an output `"channel"`, or the whole `"tensor"`.
        power: p of the smooth range (Σ|w|^p)^{1/p}.
        probes: Number of random sign vectors; the same at every call.
        seed: Of the signs.
        names: Weights that are rounded, all of two axes or more when absent.
        axes: Axis of the output channels by name; 0 for all others.
    """

    function: Callable[[dict[str, Tensor]], Tensor]
    bits: int = 4
    per: Per = "channel"
    power: float = 16.0
    probes: int = 4
    seed: int = 0
    names: tuple[str, ...] | None = None
    axes: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.bits < 2 or self.probes < 1 or not self.power > 2:
            raise ValueError(
                "`bits` must be at least 2, `probes` at least 1 and `power` above 2; "
                f"got {self.bits}, {self.probes} and {self.power}."
            )

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        given = {
            k: p if p.requires_grad or not p.is_floating_point() else p.detach().requires_grad_()
            for k, p in params.items()
        }
        rounded = dict(groups(given, self.names, self.per, self.axes))
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            outputs = self.function(given)
            steps = {
                k: smooth_range(rows, self.power) / (2 ** (self.bits - 1) - 1)
                for k, rows in rounded.items()
            }
            generator = torch.Generator().manual_seed(self.seed)
            parts = []
            for _ in range(self.probes):
                signs = 2 * torch.randint(0, 2, outputs.shape, generator=generator) - 1
                slopes = torch.autograd.grad(
                    (outputs * signs.to(outputs)).sum(),
                    [given[k] for k in rounded],
                    create_graph=True,
                    materialize_grads=True,
                )
                by_name = dict(zip(rounded, slopes, strict=True))
                for name, slope in groups(by_name, None, self.per, self.axes):
                    parts.append((steps[name].square() * slope.square().sum(1)).sum() / 12)
            return torch.stack(parts).sum() / self.probes / outputs.square().sum()
