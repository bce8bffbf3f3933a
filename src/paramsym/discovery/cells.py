"""Cells: coordinates of hidden spaces on which matrices act."""

from dataclasses import dataclass
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """Hidden spaces of dimension 2 or more, one after the other.

    Attributes:
        classes: Their coordinates, in the order of their first labels.
        sizes: How many coordinates each cell has.
        orthogonal: For every cell whether only rotations are symmetries.
        turned: Whether it is a plane that some op turns, so that scales and rotations of it are.
        centred: Whether only rotations that fix the mean are.
        framed: Whether gains stand between its coordinates and parameters.
    """

    classes: Labels
    sizes: Labels
    orthogonal: np.ndarray
    turned: np.ndarray
    centred: np.ndarray
    framed: np.ndarray

    @property
    def starts(self) -> Labels:
        """Where each cell begins."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def of(self) -> Labels:
        """For every coordinate its cell."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def have_group(self) -> np.ndarray:
        """For every cell whether there are such symmetries, of a kind that has a name here."""
        # A framed GL(n) holds, but would hide the laws of the scalings inside it. The rotations of
        # a turned plane alone have no name.
        linear = ~(self.orthogonal | self.centred | self.framed)
        rotations = self.orthogonal & ~(self.centred & (self.sizes < 3))
        return linear | (rotations & ~self.turned)

    def __getitem__(self, chosen: np.ndarray) -> "Cells":
        """Some cells, by a mask."""
        return Cells(
            self.classes[chosen[self.of]],
            self.sizes[chosen],
            self.orthogonal[chosen],
            self.turned[chosen],
            self.centred[chosen],
            self.framed[chosen],
        )
