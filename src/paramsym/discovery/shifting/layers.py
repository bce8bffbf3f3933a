"""Parameters that are matrices of layers, and what these read and give."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from paramsym.discovery.shifting.contracting import Contraction, Entrywise, Product
from paramsym.discovery.shifting.uses import final_uses
from paramsym.discovery.shifting.walk import Run, Use
from paramsym.discovery.shifting.words import Axis, Factor


@final
@dataclass(frozen=True)
class Layer:
    """A parameter that multiplies the vectors that lie along an axis of a value.

    Attributes:
        use: Where.
        name: The parameter, a matrix that is used nowhere else.
        rows: Its axis that is one of the output.
        source: Number of the value that it reads.
        output: Number of what it gives.
        axis: The axis of both along which vectors lie.
        size: Shape of the parameter.
        number: What the product is multiplied by.
        adds: Whether something is added.
    """

    use: Use
    name: str
    rows: int
    source: int
    output: int
    axis: int
    size: tuple[int, int]
    number: float
    adds: bool

    @property
    def columns(self) -> int:
        return 1 - self.rows

    def factor(self, row: int, column: int) -> Factor:
        """The matrix in a word, with letters for its rows and columns."""
        return Factor(self.name, self.axes(Axis(row, *self._whole(self.rows)), column))

    def axes(self, row: Axis, column: int) -> tuple[Axis, ...]:
        own = {self.rows: row, self.columns: Axis(column, *self._whole(self.columns))}
        return own[0], own[1]

    def _whole(self, axis: int) -> tuple[int, int, int]:
        return self.size[axis], 0, self.size[axis]


def layers(run: Run) -> Iterator[Layer]:
    """The layers of a run whose matrices are used nowhere else."""
    for k, step in enumerate(run.steps):
        op, output = step.op, step.outputs[0] if step.outputs else None
        if not isinstance(op, Contraction) or isinstance(op, Entrywise) or output is None:
            continue
        product = run.ask(lambda op=op, step=step: op.product(step.call), None)
        for key in product.keys if product is not None else ():
            found = _layer(run, Use(k, key), product, output)
            if found is not None:
                yield found


def _layer(run: Run, use: Use, product: Product | None, output: int) -> Layer | None:
    assert product is not None
    call, side = run.steps[use.step].call, product.keys.index(use.key)
    own, other = product.letters[side], product.letters[1 - side]
    view, partner = call.value(use.key).view, call.value(product.keys[1 - side])
    if view is None or partner.view is not None or len(view.shape) != 2:
        return None
    rows, columns = view.shape
    whole = view.blocks == ((0, rows), (0, columns)) and sorted(view.axes) == [(0,), (1,)]
    name = view.parameter
    if not whole or run.parameters[name].shape != view.shape or len(final_uses(run, name)) != 1:
        return None
    if any(number in run.outputs for number in run.views_of[name]):
        return None
    kept = [x for x in own if x in product.result]
    summed = [x for x in own if x not in product.result]
    if len(kept) != 1 or len(summed) != 1 or kept[0] in other:
        return None
    # All other axes of what is read are those of the result, in order.
    if tuple(kept[0] if x == summed[0] else x for x in other) != product.result:
        return None
    op = run.steps[use.step].op
    assert isinstance(op, Contraction)
    return Layer(
        use,
        name,
        view.axes[own.index(kept[0])][0],
        partner.number,
        output,
        product.result.index(kept[0]),
        (rows, columns),
        product.number,
        op.added(call) is not None,
    )
