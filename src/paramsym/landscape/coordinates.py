"""The coordinates of R^d: which entry of which parameter each of them is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Coordinates:
    """Parameters side by side as one vector: in the order of the dict, each in row-major order.

    A tensor that stands under several names is one parameter, at the first of them.

    Attributes:
        shapes: Shape of each parameter.
        aliases: The first name of a tensor, by each of its other names.
    """

    shapes: Mapping[str, torch.Size]
    aliases: Mapping[str, str]

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return sum(shape.numel() for shape in self.shapes.values())

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """The vector `[d]` of a dict of tensors."""
        return torch.cat([params[name].flatten() for name in self.shapes])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """The dict of tensors of a vector `[d]`, such as an eigenvector.

        Raises:
            ValueError: If the vector has another shape.
        """
        if vector.shape != (self.dim,):
            raise ValueError(
                f"`vector` must have shape ({self.dim},), one entry a coordinate; "
                f"got {tuple(vector.shape)}."
            )
        parts = vector.split([shape.numel() for shape in self.shapes.values()])
        found = {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return found | {alias: found[name] for alias, name in self.aliases.items()}


def coordinates(params: Mapping[str, Tensor]) -> Coordinates:
    """The coordinates of a parameter dict.

    Raises:
        TypeError: If `params` is no mapping, or an entry is no tensor of real numbers.
        ValueError: If it is empty, or an entry is not finite.
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`params` must be a dict of tensors by parameter name; got {type(params).__name__}. "
            "Pass `dict(model.named_parameters())`."
        )
    first: dict[int, str] = {}
    shapes: dict[str, torch.Size] = {}
    aliases: dict[str, str] = {}
    for name, p in params.items():
        if not isinstance(p, Tensor) or not p.is_floating_point():
            got = p.dtype if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(
                f"`params[{name!r}]` must be a floating-point tensor; got {got}. Convert it with "
                "`.double()`, or leave it to the loss if it is no parameter."
            )
        if not bool(torch.isfinite(p).all()):
            raise ValueError(f"`params[{name!r}]` must be finite; it has NaN or infinite entries.")
        if id(p) in first:
            aliases[name] = first[id(p)]
        else:
            first[id(p)] = name
            shapes[name] = p.shape
    if not sum(shape.numel() for shape in shapes.values()):
        raise ValueError(
            "`params` must hold at least one number; got none. Pass "
            "`dict(model.named_parameters())`."
        )
    return Coordinates(shapes, aliases)
