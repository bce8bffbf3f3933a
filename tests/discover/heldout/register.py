"""A held-out architecture, and what a person derives for it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class HeldOut:
    """A model and the dimensions of its families.

    Attributes:
        model: Makes it.
        inputs: Shapes of its inputs; whole numbers below `words` where the name says so.
        scales: Dimension of all positive scalings.
        linear: Dimension of all GL.
        rotations: Dimension of all O.
        planes: Dimension of scales and rotations of planes.
        gap: Directions beyond these four kinds: shifts, and what is known to be missed. `None`
            where the Jacobian is too large, or dead units make it degenerate.
        barriers: Ops that are not analysed.
        words: Bound of whole numbers, for inputs that are indices.
        indices: Which inputs are indices.
    """

    model: Callable[[], nn.Module]
    inputs: tuple[Shape, ...]
    scales: int = 0
    linear: int = 0
    rotations: int = 0
    planes: int = 0
    gap: int | None = None
    barriers: tuple[str, ...] = ()
    words: int = 5
    indices: tuple[int, ...] = ()

    def args(self) -> tuple[Tensor, ...]:
        """Generic inputs."""
        rng = torch.Generator().manual_seed(7)
        return tuple(
            torch.randint(0, self.words, shape, generator=rng)
            if i in self.indices
            else torch.randn(shape, generator=rng, dtype=torch.float64)
            for i, shape in enumerate(self.inputs)
        )


MODELS: dict[str, HeldOut] = {}


def heldout(name: str, *inputs: Shape, **known: object) -> Callable[..., Callable[[], nn.Module]]:
    """Register a factory."""

    def register(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        assert name not in MODELS, name
        MODELS[name] = HeldOut(make, inputs, **known)  # type: ignore[arg-type]
        return make

    return register


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def free(n: int, m: int) -> nn.Linear:
    """A linear layer without bias."""
    return nn.Linear(n, m, bias=False)
