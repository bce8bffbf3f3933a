"""Weights that read values of which Σ nᵢ xᵢ = c is known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.contracting import Contraction, Product
from paramsym.discovery.shifting.convolving import Convolution
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.values import Support, View
from paramsym.discovery.shifting.walk import Run, Use


@final
@dataclass(frozen=True)
class Reading:
    """A parameter that reads a value of which a support is known.

    Attributes:
        use: Where.
        view: As what the parameter is seen there.
        axis: The axis of the parameter (of `view.shape`) that is summed.
        support: The fact.
        taps: Other axes of the parameter that are summed, those of a kernel, and the block of
            positions along each that read the value, and no padding, for every output.
        product: Which axes of the parameter are which of the output.
    """

    use: Use
    view: View
    axis: int
    support: Support
    taps: tuple[tuple[int, tuple[int, int]], ...]
    product: Product

    def components(self) -> Labels:
        """A component for every row of the parameter and tap, those of one tap next to one
        another."""
        lengths = [b - a for a, b in self.view.blocks]
        lengths[self.axis] = 1
        inside = np.ones((1,) * len(lengths), dtype=bool)
        number, step = np.zeros((1,) * len(lengths), dtype=np.int64), 1
        blocks = dict(self.taps)
        rows = [a for a in range(len(lengths)) if a not in blocks]
        for a in (*reversed(rows), *reversed(list(blocks))):
            start, stop = blocks.get(a, (0, lengths[a]))
            position = np.arange(lengths[a]) - start
            there = (position >= 0) & (position < stop - start)
            shape = [-1 if b == a else 1 for b in range(len(lengths))]
            number = number + step * position.reshape(shape)
            inside = inside & there.reshape(shape)
            step *= stop - start
        return np.where(inside, number, NONE)

    def on_output(self, rows: Labels, shape: tuple[int, ...]) -> Labels:
        """Labels of rows, `[axes of view.shape]` with size 1 along what is summed, on the output;
        `shape` is that of the parameter as it is seen."""
        product, view = self.product, self.view
        own = product.letters[product.keys.index(self.use.key)]
        summed = {self.axis, *dict(self.taps)}
        order = [a for axis in view.axes for a in axis]
        rest = [a for a in range(rows.ndim) if a not in order]
        extent = [1 if a in summed else b[1] - b[0] for a, b in enumerate(view.blocks)]
        full = np.broadcast_to(rows, extent).transpose([*order, *rest])
        lengths = [
            1 if not axes or summed & set(axes) else size
            for axes, size in zip(view.axes, shape, strict=True)
        ]
        there = full.reshape(lengths)
        sizes = dict(zip(own, there.shape, strict=True))
        kept = [x for x in product.result if x in own]
        moved = there.transpose([*(own.index(x) for x in kept),
                                 *(a for a, x in enumerate(own) if x not in kept)])  # fmt: skip
        return compress(moved.reshape([sizes.get(x, 1) for x in product.result]))

    def same_as(self, other: "Reading") -> bool:
        """Whether the same changes of the parameter have the same effect there."""
        return (
            (self.view.shape, self.view.blocks, self.axis, self.taps)
            == (other.view.shape, other.view.blocks, other.axis, other.taps)
            and self.product.number == other.product.number
            and replace(self.support, axis=0) == replace(other.support, axis=0)
        )


def readings_of(run: Run, use: Use) -> Iterator[Reading]:
    """What a use of a parameter reads, as far as something is known of it."""
    step = run.steps[use.step]
    if not isinstance(step.op, Contraction | Convolution):
        return
    product = step.op.product(step.call)
    if product is None or use.key not in product.keys:
        return
    side = product.keys.index(use.key)
    own, other = product.letters[side], product.letters[1 - side]
    value, read = step.call.value(use.key), step.call.value(product.keys[1 - side])
    summed = [x for x in own if x not in product.result]
    shared = [x for x in summed if x in other]
    view = value.view
    if len(shared) != 1 or view is None:
        return
    axes = {x: view.axes[own.index(x)] for x in summed}
    seen = {a for axis in view.axes for a in axis}
    rest = (block for a, block in enumerate(view.blocks) if a not in seen)
    alone = all(stop - start == 1 for start, stop in rest)
    if not alone or any(len(a) != 1 for a in axes.values()):
        return
    (axis,) = axes[shared[0]]
    for support in read.supports:
        if support.axis != other.index(shared[0]):
            continue
        taps = []
        for x in summed:
            if x == shared[0]:
                continue
            (a,) = axes[x]
            k, whole = own.index(x), (0, value.shape[own.index(x)])
            inner = step.op.inner_taps(step.call, k) if isinstance(step.op, Convolution) else whole
            # Of zeros the sum is 0, and so known as well.
            taps.append((a, whole if support.is_zero else inner))
        if all(start < stop for _, (start, stop) in taps):
            yield Reading(use, view, axis, support, tuple(taps), product)
