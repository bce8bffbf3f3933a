"""What the laws run over: a network as a function of its parameters, and its symmetry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import paramsym as ps

Params = Mapping[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A network with the symmetry claimed for it.

    Attributes:
        symmetry: The claim.
        params: Generic float64 parameters.
        forward: The network, `(params, inputs) -> outputs`.
        inputs: A batch.
        depth: Number of layers in sequence, for rounding bounds.
    """

    symmetry: ps.Symmetry
    params: dict[str, Tensor]
    forward: Callable[[Params, Tensor], Tensor]
    inputs: Tensor
    depth: int = 2

    def loss(self, params: Params) -> Tensor:
        """Mean squared distance of the outputs to fixed targets that no symmetry knows of."""
        outputs = self.forward(params, self.inputs)
        targets = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).sin()
        return (outputs - targets.reshape(outputs.shape)).square().mean()

    def gradient(self) -> dict[str, Tensor]:
        return torch.func.grad(self.loss)(self.params)

    def replaced(self, *families: ps.Family) -> "Subject":
        """The same network with other claims."""
        return replace(self, symmetry=ps.Symmetry.of(families, self.params))

    def module(self) -> nn.Module:
        """A module that holds copies of the parameters under the same names."""
        root = nn.Module()
        for name, value in self.params.items():
            *path, leaf = name.split(".")
            owner = root
            for part in path:
                if not hasattr(owner, part):
                    owner.add_module(part, nn.Module())
                owner = getattr(owner, part)
            owner.register_parameter(leaf, nn.Parameter(value.clone()))
        return root


def normal(shape: tuple[int, ...], rng: torch.Generator, scale: float = 1.0) -> Tensor:
    """A float64 Gaussian tensor."""
    return scale * torch.randn(shape, generator=rng, dtype=torch.float64)


def flatten(tree: Params, names: Mapping[str, Tensor]) -> Tensor:
    """The entries named by `names`, in their order, as one vector; zeros where absent."""
    return torch.cat([tree[k].flatten() if k in tree else names[k].flatten() * 0 for k in names])
