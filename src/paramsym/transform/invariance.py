"""How much a model's outputs change when its parameters move, and how much rounding alone would.

Everything is computed in a wider dtype than the checkpoint's, on one copy of the model.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from paramsym.discovery.given_out import tensors_in
from paramsym.residuals import largest, relative_change

MARGIN = 16
"""How many times the change that random rounding causes a true symmetry may cause. The rounding of
the moved parameters is drawn from the same distribution; sums of its effects differ by small
factors."""


@final
@dataclass(frozen=True)
class Invariance:
    """What was measured.

    Attributes:
        change: Relative change of the outputs, in the maximum norm.
        rounding: The change when every parameter is off by one unit in its last place, at random,
            before and after the move; what the checkpoint's dtype costs in any case.
    """

    change: float
    rounding: float

    def holds(self, tolerance: float = 0.0) -> bool:
        """Whether the outputs changed by no more than rounding explains, or the tolerance."""
        return self.change <= max(tolerance, MARGIN * self.rounding)


@final
class Outputs:
    """A model's outputs as a function of its parameters.

    Args:
        model: The model; a copy of it is used.
        buffers: Values of buffers by name, instead of the model's own.
        args: Inputs.
        kwargs: Keyword inputs.
        dtype: What to compute in.
        seed: Seed of torch's random state during a run, and of the rounding.
    """

    def __init__(
        self,
        model: nn.Module,
        buffers: Mapping[str, Tensor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        def widened(x: Any) -> Any:
            return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x

        self._model = copy.deepcopy(model).to(dtype)
        for name, buffer in self._model.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])
        self._args, self._kwargs = pytree.tree_map(widened, (args, dict(kwargs)))
        self._seed = seed

    @torch.no_grad()
    def at(self, params: Mapping[str, Tensor], *, rounded: bool = False) -> list[Tensor]:
        """The outputs at these parameters; or with each off by a unit in its last place.

        Args:
            params: Tensors by the model's names; in their own dtype.
            rounded: Whether to add random rounding errors.

        Raises:
            ValueError: If the model has no output that is a tensor of numbers, or one is not
                finite.
        """
        generator = torch.Generator().manual_seed(self._seed)
        for name, own in (*self._model.named_parameters(), *self._model.named_buffers()):
            if name not in params:
                continue
            own.copy_(params[name])
            if rounded and own.is_floating_point():
                unit = torch.finfo(params[name].dtype).eps
                noise = torch.rand(own.shape, generator=generator, dtype=own.dtype)
                own.mul_(noise.mul_(2 * unit).add_(1 - unit))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            result = self._model(*self._args, **self._kwargs)
        outputs = [x.double() for x in tensors_in(result) if _is_real(x) and x.numel()]
        if not outputs:
            raise ValueError(
                "the model's outputs hold no real numbers, so that nothing can be compared."
            )
        if not all(bool(torch.isfinite(x).all()) for x in outputs):
            raise ValueError(
                "the model's outputs are not finite at the checkpoint, or where it was moved to. "
                "Pass inputs for which it computes finite numbers, or move by less."
            )
        return outputs


def measured(
    outputs: Outputs, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> Invariance:
    """Compare the outputs before and after a move, and with rounding."""
    was, now = outputs.at(before), outputs.at(after)
    noise = _relative(outputs.at(before, rounded=True), was)
    noise += _relative(outputs.at(after, rounded=True), now)
    return Invariance(_relative(now, was), noise)


def _is_real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _relative(moved: list[Tensor], reference: list[Tensor]) -> float:
    pairs = zip(moved, reference, strict=True)
    return largest(0.0, *(relative_change(a, b) for a, b in pairs))
