"""A point of parameter space at which a symmetry is checked, and the outputs around it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from paramsym.discovery.gradients import unaltered
from paramsym.discovery.recording import Recording
from paramsym.discovery.replaying import replay
from paramsym.residuals import largest, relative_change

LARGEST = 2**31
"""Bytes of intermediate values beyond which no gradient is taken, which keeps them all."""


@final
@dataclass(frozen=True)
class Point:
    """Parameters and inputs, and the outputs there.

    Attributes:
        recording: The run that is made again.
        params: By canonical name, in float64.
        inputs: Value number → tensor, as `recording.inputs`.
        seed: Seed of random ops.
    """

    recording: Recording
    params: Mapping[str, Tensor]
    inputs: Mapping[int, Tensor]
    seed: int

    @property
    def outputs(self) -> list[Tensor]:
        """Those of the run."""
        return self._evaluated[0]

    @property
    def gradient(self) -> dict[str, Tensor] | None:
        """Derivative of a random function of the outputs, which is of size 1, by every parameter.

        `None` where gradients cannot be had, or would need much memory.
        """
        return self._evaluated[1]

    def run(self, params: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs at other parameters."""
        return replay(self.recording, params, self.inputs, seed=self.seed)

    def change(self, params: Mapping[str, Tensor]) -> float:
        """Largest relative change of an output from here to other parameters."""
        return _largest_change(self.run(params), self.outputs)

    def change_of(self, recording: Recording, params: Mapping[str, Tensor]) -> float:
        """As `change`, of the outputs of another run on the same parameters and inputs."""
        here, there = (
            replay(recording, each, self.inputs, seed=self.seed) for each in (self.params, params)
        )
        return _largest_change(there, here)

    @property
    def is_finite(self) -> bool:
        """Whether the outputs are."""
        return all(
            bool(torch.isfinite(y).all())
            for y in self.outputs
            if y.is_floating_point() or y.is_complex()
        )

    @cached_property
    def _evaluated(self) -> tuple[list[Tensor], dict[str, Tensor] | None]:
        """Outputs and gradient of one run."""
        if 8 * sum(map(math.prod, self.recording.shapes.values())) > LARGEST:
            return self.run(self.params), None
        leaves = {
            name: p.detach().requires_grad_() if p.is_floating_point() else p
            for name, p in self.params.items()
        }
        try:
            with torch.enable_grad():
                outputs = replay(unaltered(self.recording), leaves, self.inputs, seed=self.seed)
                total = _random_function(outputs)
        except RuntimeError:  # running statistics have no gradient
            return self.run(self.params), None
        outputs = [y.detach() for y in outputs]
        try:
            if total is not None:
                total.backward()
        except (NotImplementedError, RuntimeError):
            return outputs, None
        return outputs, {
            name: p.new_zeros(()).expand(p.shape) if p.grad is None else p.grad
            for name, p in leaves.items()
        }


def _largest_change(outputs: Sequence[Tensor], references: Sequence[Tensor]) -> float:
    changes = (relative_change(a, b) for a, b in zip(outputs, references, strict=True))
    return largest(0.0, *changes)


def _random_function(outputs: Sequence[Tensor]) -> Tensor | None:
    """A random sum of all entries, each relative to the largest of its output."""
    generator = torch.Generator().manual_seed(0)
    total: Tensor | None = None
    count = 0
    for y in outputs:
        y = torch.view_as_real(y) if y.is_complex() else y
        if not y.requires_grad or y.numel() == 0:
            continue
        size = float(y.detach().abs().max())
        weights = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        share = (y * weights.to(y)).sum() / (size if size > torch.finfo(y.dtype).tiny else 1.0)
        total = share if total is None else total + share
        count += y.numel()
    return None if total is None else total / math.sqrt(count)
