"""What op rules say: the vocabulary between the rules and the analyses.

A rule states facts about labels and knows nothing of the solvers. `scaling` reads the balances,
`mixing` the identifications, isolations, uses and gains.
"""

from dataclasses import dataclass, field
from typing import final

import numpy as np

from paramsym.discovery.distinct import (
    count_entries,
    distinct,
    distinct_rows,
    first_occurrences,
    repeats,
)
from paramsym.discovery.labels import FIXED, Labels, Layer, Value, first_along, pad_left, varying
from paramsym.discovery.statements import Compensation, Displaced, Gain, Origin, Use


@final
@dataclass
class Facts:
    """Everything stated during one walk.

    Attributes:
        count: Number of labels.
        balances: Exponents → label rows: Σ exponent · φ[label] = 0 for every row.
        same: Pairs of labels that transform alike.
        dual: Pairs of labels that transform dually.
        isolated: Labels that mix with no other.
        turned: Pairs of labels of which an op turns the plane: only scales and rotations of the
            plane commute with it.
        rotated: Labels whose sums of squares are read: only rotations may mix them.
        centred: Labels whose sums are read, or to all of which the same number is added: only what
            fixes the vector of ones may mix them.
        gains: Parameters that multiply coordinates.
        displaced: For parameters that are read after a number is added, what the sum is.
        compensated: By their biases, normalisations with fixed statistics.
        uses: Ops that act uniformly over labels.
        summed: Labels of parameters that a product sums over: there a layer reads.
        kept: Labels of parameters that a product keeps: there a layer writes.
        eps_guarded: Labels whose scale a normalisation erases only up to its ε.
        vanishing: (record, argument) pairs: where each such ε stands.
        gauges: For every block of every parameter the labels of its axes. Their scales mean
            something only when added up over the axes.
        stacks: For parameters that are stacks of matrices, layer by layer: the first label, labels
            a matrix, and matrices.
        apart: For parameters whose blocks of rows read different vectors, the first label of their
            columns, and how many each block has.
        gauge_spent: (parameter, matrix) pairs whose gauge was used up when the scale of
            a sum was left out.
        barriers: (op, reason, module) → number of calls that were not analysed.
        record: Position of the record whose rule is speaking.
        balanced_by: Exponents → where each block of `balances` comes from.
        isolated_by: Where each of `isolated` comes from.
        refused: Records that were not analysed → the reason.
        ended: Values that depend on parameters and carry no labels → the record that ended them.
    """

    count: int = 0
    balances: dict[tuple[float, ...], list[Labels]] = field(default_factory=dict)
    same: list[Labels] = field(default_factory=list)
    dual: list[Labels] = field(default_factory=list)
    isolated: list[Labels] = field(default_factory=list)
    rotated: list[Labels] = field(default_factory=list)
    turned: list[Labels] = field(default_factory=list)
    centred: list[Labels] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)
    displaced: dict[str, Displaced] = field(default_factory=dict)
    compensated: dict[str, Compensation] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    summed: list[Labels] = field(default_factory=list)
    kept: list[Labels] = field(default_factory=list)
    eps_guarded: list[Labels] = field(default_factory=list)
    vanishing: list[tuple[int, str]] = field(default_factory=list)
    gauges: list[tuple[Labels, ...]] = field(default_factory=list)
    stacks: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    apart: dict[str, tuple[int, int]] = field(default_factory=dict)
    gauge_spent: set[tuple[str, int]] = field(default_factory=set)
    barriers: dict[tuple[str, str, str], int] = field(default_factory=dict)
    record: int = -1
    balanced_by: dict[tuple[float, ...], list[Origin]] = field(default_factory=dict)
    isolated_by: list[Origin] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)

    def matrices(self) -> dict[str, int]:
        """How many matrices the stacks have."""
        return {name: layers[0][2] for name, layers in self.stacks.items()}

    def coordinates(self, labels: Labels) -> Labels | None:
        """Which coordinate of its matrix each label is, where they are those of a stack."""
        low, high = int(labels.min()), int(labels.max())
        for start, size, count in (layer for layers in self.stacks.values() for layer in layers):
            if start <= low and high < start + size * count:
                return (labels - start) % size
        return None

    def fresh(self, shape: tuple[int, ...]) -> Labels:
        """New labels."""
        size = int(np.prod(shape, dtype=np.int64))
        labels = np.arange(self.count, self.count + size, dtype=np.int64).reshape(shape)
        self.count += size
        return labels

    # -- scales ------------------------------------------------------------------------------

    def balance(self, *layers: Layer, pins: bool = False) -> None:
        """The layers' scales cancel, entry by entry after broadcasting."""
        terms = [layer for layer in layers if layer.exponent != 0]
        if not terms:
            return
        key = tuple(layer.exponent for layer in terms)
        ndim = max(layer.labels.ndim for layer in terms)
        for rows in _rows([layer.labels for layer in pad_left(terms, ndim)]):
            self.balances.setdefault(key, []).append(distinct_rows(rows))
            self.balanced_by.setdefault(key, []).append(Origin(self.record, pins))

    def constant_along(self, layer: Layer, axes: tuple[int, ...]) -> Labels:
        """The scale does not vary along some axes; its labels there, isolated if it did."""
        first = first_along(layer.labels, axes)
        if first.shape != layer.labels.shape:
            self.isolate(layer.labels)
            self.balance(layer, Layer(first, -layer.exponent))
        return first

    def pin(self, value: Value) -> None:
        """The value must not change: nonlinear ops, outputs, what is not understood."""
        if value.layers:
            self.balance(*value.layers, pins=True)
        for layer in value.layers:
            self.isolate(layer.labels, pins=True)

    def spend_gauge(self, parameter: str, labels: Labels) -> bool:
        """Whether the overall scale of these labels of a parameter, which means nothing when its
        other axes take it back, was still unused; it is used now."""
        matrices = {0}
        for start, size, count in self.stacks.get(parameter, ()):
            if start <= labels.min() < start + size * count:
                matrices = set(distinct((labels - start) // size).tolist())
        if parameter in self.apart:
            start, size = self.apart[parameter]
            matrices = set(np.unique((labels[labels >= start] - start) // size).tolist()) or {0}
        spent = {(parameter, matrix) for matrix in matrices}
        if spent & self.gauge_spent:
            return False
        self.gauge_spent |= spent
        return True

    # -- mixing --------------------------------------------------------------------------------

    def isolate(self, labels: Labels, *, pins: bool = False) -> None:
        """Nothing mixes these labels with others."""
        self.isolated.append(distinct(labels))
        self.isolated_by.append(Origin(self.record, pins))

    def isolate_all(self, value: Value) -> None:
        """Nothing mixes the coordinates of this value."""
        for layer in value.layers:
            self.isolate(layer.labels)

    def unify(self, left: Labels, right: Labels, *, dual: bool = False) -> None:
        """Corresponding labels transform alike (or dually), entry by entry."""
        a, b = np.broadcast_arrays(left, right)
        pairs = distinct_rows(np.stack([a.ravel(), b.ravel()], 1))
        loose = (pairs == FIXED).any(1)
        if loose.any():
            self.isolate(pairs[loose])
        (self.dual if dual else self.same).append(pairs[~loose])

    def use(self, labels: Labels, key_axes: tuple[int, ...], *, rotated: bool = False) -> None:
        """An op acts uniformly over the labels, along all axes but `key_axes`.

        Labels that stand alone in their row are isolated: a matrix cannot act on one coordinate of
        its space.
        """
        for a in key_axes:
            repeated = repeats(labels, a)
            labels = labels.compress(~repeated, a) if repeated.any() else labels
        keys = [a for a in key_axes if labels.shape[a] > 1]
        if set(varying(labels)) <= set(keys):
            self.isolate(labels)
            return
        row = np.zeros((1,) * labels.ndim, dtype=np.int64)
        for a in keys:
            steps = np.arange(labels.shape[a]).reshape(
                [-1 if i == a else 1 for i in range(labels.ndim)]
            )
            row = row * labels.shape[a] + steps
        rows = np.broadcast_to(row, labels.shape)
        self.uses.append(Use(count_entries(labels, rows)))
        if rotated:
            self.rotated.append(distinct(labels))

    def use_by(self, labels: Labels, numbers: Labels) -> None:
        """An op multiplies each of the labels by a number, alike where the numbers have the same
        label."""
        self.uses.append(Use(count_entries(*np.broadcast_arrays(labels, numbers))))

    def treat_alike(self, value: Value) -> None:
        """An op does the same to every entry of this value: to 2x for some coordinates of a space
        and not for others, not every matrix is a symmetry."""
        for layer in value.layers:
            self.use(layer.labels, ())

    def centre(self, labels: Labels, key_axes: tuple[int, ...]) -> None:
        """An op reads the sum of the labels in each row, or adds the same number to all of them."""
        self.use(labels, key_axes)
        self.centred.append(distinct(labels))

    def multiply(
        self,
        labels: Labels,
        gain: Labels,
        parameter: str,
        offset: float,
        *,
        is_centred: bool = False,
    ) -> Labels:
        """A parameter plus an offset multiplies coordinates one by one; labels of the product.

        The gain itself mixes with nothing. What mixes the coordinates goes on behind it, conjugated
        by its diagonal matrix.
        """
        self.isolate(gain)
        before, entries = labels.ravel(), np.broadcast_to(gain, labels.shape).ravel()
        first, of = first_occurrences(before, entries)
        after = self.fresh(first.shape)
        self.gains.append(Gain(before[first], after, entries[first], parameter, offset, is_centred))
        return after[of].reshape(labels.shape)

    def displace(self, parameter: str, labels: Labels, offset: float) -> Labels | None:
        """Labels of a parameter plus a number; `None` where it was read with another number, or in
        another part. They count only if the parameter is read in no other way."""
        known = self.displaced.get(parameter)
        if known is None:
            after = self.fresh(labels.shape)
            self.displaced[parameter] = Displaced(offset, labels.ravel(), after.ravel())
            return after
        if known.offset != offset or not np.array_equal(known.before, labels.ravel()):
            return None
        return known.after.reshape(labels.shape)

    def compensate(self, gain: str, bias: str, channels: int) -> Labels | None:
        """Labels of the scale for which a gain and a bias make up at this call; `None` where the
        bias stands beside another gain elsewhere. They count only if both are read by such calls
        alone."""
        known = self.compensated.get(bias)
        if known is None:
            known = Compensation(self.fresh((channels,)), gain, bias, set())
            self.compensated[bias] = known
        if known.gain != gain:
            return None
        known.records.add(self.record)
        return known.scale

    def read(self) -> np.ndarray:
        """Which labels any fact is about."""
        mask = np.zeros(self.count, dtype=bool)
        stated = [rows for blocks in self.balances.values() for rows in blocks]
        for labels in (*stated, *self.same, *self.dual, *self.isolated):
            mask[labels[labels != FIXED]] = True
        for use in self.uses:
            mask[use.entries[:, 0]] = True
        return mask

    def turn(self, pairs: Labels, alone: Labels) -> None:
        """An op turns the planes of these pairs `[pairs, 2]`, and multiplies all labels that stand
        alone by one number."""
        if len(pairs):
            self.turned.append(pairs)
            self.use(pairs, (0,))
        if len(alone):
            self.use(alone, ())

    # -- normalisations and barriers ---------------------------------------------------------------

    def guard(self, record: int, argument: str, value: Value) -> None:
        """The op erases the value's scale up to the ε that stands in this argument."""
        self.vanishing.append((record, argument))
        self.eps_guarded += [distinct(layer.labels) for layer in value.layers]

    def barrier(self, op: str, module: str, reason: str) -> None:
        """The op is not analysed."""
        key = (op, reason, module)
        self.barriers[key] = self.barriers.get(key, 0) + 1
        self.refused[self.record] = reason


def _rows(layers: list[Labels]) -> list[Labels]:
    """The equations between layers, entry by entry, without those that follow from others.

    Where along an axis the layers that vary along others repeat themselves, the equations of an
    index and of the one in front differ by the same terms for all entries: one entry says it.
    """
    arrays = np.broadcast_arrays(*layers)
    sizes = arrays[0].shape
    for a in varying(arrays[0]) if arrays[0].size > max(sizes, default=1) else ():
        joint = [x for x in layers if set(varying(x)) - {a}]
        repeated = np.logical_and.reduce([repeats(x, a, sizes[a]) for x in joint])
        if repeated.any():
            others = set(range(len(sizes))) - {a}
            heads = [x.compress(~repeated, a) if x.shape[a] > 1 else x for x in layers]
            rest = [x.compress(repeated, a) if x.shape[a] > 1 else x for x in layers]
            return [*_rows(heads), *_rows([first_along(x, others) for x in rest])]
    return [np.stack([x.ravel() for x in arrays], 1)]
