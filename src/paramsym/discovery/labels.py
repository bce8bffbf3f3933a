"""Labels: which coordinate of which parameter axis every entry of a value belongs to.

A value carries *layers*. A layer is an integer array that broadcasts to the value's shape, with an
exponent: under a scaling with log-scale φ per label, the entry scales by exp(Σ exponent · φ[label])
over its layers; under a mixing, the entries along the axes where a layer varies transform together.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Labels = NDArray[np.int64]

FIXED = -1
"""The label of entries that no symmetry moves."""


class Layer(NamedTuple):
    """Labels and their exponent."""

    labels: Labels
    exponent: float = 1.0

    def __neg__(self) -> "Layer":
        return Layer(self.labels, -self.exponent)

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes along which the labels vary."""
        return varying(self.labels)


@final
@dataclass(frozen=True, eq=False)
class Value:
    """What is known of one tensor of the run.

    Attributes:
        shape: Its shape.
        layers: How it transforms; none for data and constants, which do not.
        constant: Its entries, where they depend on no parameter and no input.
        is_fixed: Whether it is a buffer that no call writes to, the same in every run.
        parameter: The parameter that it is a view of.
        offset: Number that was added to that parameter, as in gains 1 + γ.
        is_square: Whether it is a square, whose entries may mix if a sum consumes it.
        is_norm: Whether it is a norm or a mean of squares, which an ε may guard.
        extent: Its shape, with 1 along axes that an expansion has made; its shape when absent.
        combination: How its entries combine those of an earlier value, where that is followed.
        holds_pairs: Whether it is a complex tensor, seen as its real and imaginary parts, along one
            more axis than the tensor has.
        stopped: The op, and the module that calls it, behind which training sees no gradient of the
            value.
        product: What states the facts of the product that it is, still to be done: whether a sum
            consumes it decides what they are.
        stand_in: Indices as data may give them, where they choose matrices of a stack.
        sample: Its entries where other data were drawn, if it is an analytic function of data.
        centred: Axes along which its entries add up to zero, whatever the data.
    """

    shape: tuple[int, ...]
    layers: tuple[Layer, ...] = ()
    constant: Tensor | None = None
    is_fixed: bool = False
    parameter: str | None = None
    offset: float = 0.0
    is_square: bool = False
    is_norm: bool = False
    extent: tuple[int, ...] | None = None
    combination: "Combination | None" = None
    holds_pairs: bool = False
    stopped: tuple[str, str] | None = None
    product: "Product | None" = None
    stand_in: Tensor | None = None
    sample: Tensor | None = None
    centred: frozenset[int] = frozenset()

    @property
    def is_zero(self) -> bool:
        """Whether it is known to be zero."""
        constant = self.constant
        if constant is None or constant.device.type == "meta" or constant.is_complex():
            return False
        return bool((constant == 0).all())

    def varies(self) -> list[int]:
        """Its shape, with 1 along axes where it is known not to vary."""
        constant = self.constant
        if constant is None or constant.device.type == "meta" or constant.numel() == 0:
            return list(self.extent or self.shape)
        return [
            1 if bool((constant == constant.narrow(a, 0, 1)).all()) else size
            for a, size in enumerate(self.shape)
        ]


Product = Callable[[tuple[int, ...]], tuple[Layer, ...]]
"""From the axes that a product is summed over, maybe none, to the layers of the sum, which keeps
them with size 1."""


class Term(NamedTuple):
    """coefficient · entry of the base, for every entry of a value; in the shape of the value.

    Entries with the same `place` are coordinates of the same vector of the base.
    """

    coefficient: Tensor
    label: Tensor
    place: Tensor


@final
@dataclass(frozen=True, eq=False)
class Combination:
    """A value whose entries are sums of constants times entries of one earlier value, its base.

    Attributes:
        base: The earlier value.
        terms: The sums, computed when they are needed; `None` where they turn out unknown.
        unstated: Facts that hold in any case, and are too strict if the whole turns out to turn
            pairs of coordinates.
    """

    base: Value
    terms: Callable[[], tuple[Term, ...] | None]
    unstated: tuple[Callable[[], None], ...] = ()


def varying(labels: Labels) -> tuple[int, ...]:
    """Axes along which labels vary (size above 1, once compressed)."""
    return tuple(a for a, size in enumerate(labels.shape) if size > 1)


def compress(labels: Labels) -> Labels:
    """Labels with size 1 along the axes where they do not vary."""
    for axis in varying(labels) if labels.size else ():
        line = labels[(0,) * axis + (slice(None),) + (0,) * (labels.ndim - axis - 1)]
        if labels.strides[axis] == 0 or bool((line == line[0]).all()):
            first = first_along(labels, (axis,))
            if labels.strides[axis] == 0 or bool((labels == first).all()):
                labels = first
    return labels


def first_along(labels: Labels, axes: Iterable[int]) -> Labels:
    """The first labels along some axes, kept as axes of size 1."""
    axes = set(axes)
    return labels[tuple(slice(0, 1) if a in axes else slice(None) for a in range(labels.ndim))]


def pad_left(layers: Iterable[Layer], ndim: int) -> tuple[Layer, ...]:
    """Layers with leading axes of size 1, as broadcasting aligns them."""
    return tuple(
        Layer(
            layer.labels.reshape((1,) * (ndim - layer.labels.ndim) + layer.labels.shape), layer[1]
        )
        for layer in layers
    )


def merge(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Layers with equal labels added, cancelled ones dropped."""
    merged: list[Layer] = []
    for layer in layers:
        for i, other in enumerate(merged):
            if np.array_equal(layer.labels, other.labels):
                merged[i] = Layer(layer.labels, layer.exponent + other.exponent)
                break
        else:
            merged.append(layer)
    return tuple(layer for layer in merged if layer.exponent != 0)


def map_layers(value: Value, view: Callable[[Tensor], Tensor]) -> tuple[Layer, ...]:
    """Layers after a view-type op: the same op, run on the labels."""
    return tuple(
        Layer(compress(view(full_labels(layer.labels, value.shape)).numpy()), layer.exponent)
        for layer in value.layers
    )


def full_labels(labels: Labels, shape: tuple[int, ...]) -> Tensor:
    """Labels broadcast to a shape, as a tensor that ops can run on; entries share memory."""
    return torch.from_numpy(labels.copy()).expand(shape)
