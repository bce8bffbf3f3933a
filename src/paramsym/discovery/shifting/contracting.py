"""Products of matrices and of entries. A shift of one factor goes through a parameter as a word;
through data it goes only where the output notices nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.tolerance import Tolerance, joined_along, unread
from paramsym.discovery.shifting.values import Piece, Support, Value, View
from paramsym.discovery.shifting.weights import Weight, joined, vector_of
from paramsym.discovery.shifting.words import (
    Axis,
    Factor,
    Irregular,
    Part,
    Word,
    placed,
)

Letters = tuple[str, ...]


@final
@dataclass(frozen=True)
class Product:
    """Σ left · right over the letters that the result lacks.

    Attributes:
        keys: The arguments.
        letters: Letters of the axes of both.
        result: Letters of the axes of the output.
        number: What the sum is multiplied by.
        power: Power to which the right one is taken, where it is no sum.
    """

    keys: tuple[Key, Key]
    letters: tuple[Letters, Letters]
    result: Letters
    number: float = 1.0
    power: int = 1


def tolerance_of_factor(
    call: Call, product: Product, side: int, output: Tolerance
) -> Tolerance | None:
    """Changes of one factor that go unnoticed whatever the other is; or, for a parameter with one
    entry for each of the positions that a change must treat alike, divided by it."""
    own, other = product.letters[side], product.letters[1 - side]
    value, partner = (call.value(product.keys[k]) for k in (side, 1 - side))
    if output.is_unread:
        return unread(len(own))
    along_partner = {x for x, size in zip(other, partner.shape, strict=True) if size > 1}
    spread = [a for a, x in enumerate(product.result) if x in along_partner]
    sizes = dict(zip(own, value.shape, strict=True))
    held = [a for a in spread if not output.frees(a)]
    if held:
        name = vector_of(partner.view)
        alone = len(held) == 1 and len(along_partner) == 1 and sizes.get(product.result[held[0]], 1)
        if name is None or not alone > 1:
            return None
        power = product.power if side == 0 else 1
        weights = joined(output.weights, [Weight(held[0], name, -power)])
        if weights is None:
            return None
        output = replace(output, weights=weights)
    repeated = [a for a, x in enumerate(product.result) if sizes.get(x, 1) == 1]
    output = joined_along(output, repeated)
    place = {x: a for a, x in enumerate(product.result)}
    extent = [output.labels.shape[place[x]] if x in place else 1 for x in own]
    kept = [x for x in product.result if x in own]
    order = [kept.index(x) for x in own if x in place]
    squeezed = output.labels.reshape([output.labels.shape[place[x]] for x in kept])
    labels = squeezed.transpose(order).reshape(extent)
    free = {a for a, x in enumerate(own) if x not in place or place[x] in output.free}
    letters = product.result
    return output.seen_as(
        labels, frozenset(free), lambda a: own.index(letters[a]) if letters[a] in own else None
    )


def through_parameter(
    product: Product, side: int, piece: Piece, view: View, shape: tuple[int, ...]
) -> Piece:
    """What a shift of one factor does, the other being a parameter of this shape.

    Raises:
        Refused: If the shift stands on the axes in a way that products do not describe.
    """
    own, other = product.letters[side], product.letters[1 - side]
    try:
        word, parts = placed(piece.word, piece.labels)
        on_axis = dict(zip(own, parts, strict=True))
        factor, word, spelled = _factor(view, shape, other, on_axis, product.result, word)
    except Irregular as error:
        raise Refused from error
    axes: dict[str, list[Part]] = {**on_axis, **spelled}
    labels: Labels = np.zeros((1,) * len(product.result), dtype=np.int64)
    filled = np.ones((1,) * len(product.result), dtype=bool)
    sizes = word.sizes
    order = [p.letter for x in product.result for p in axes.get(x, []) if p.letter is not None]
    strides: dict[int, int] = {}
    step = 1
    for letter in reversed(order):
        strides[letter] = step
        step *= sizes[letter]
    for a, x in enumerate(product.result):
        line, there = _line(axes.get(x, []), strides)
        extent = [1] * len(product.result)
        extent[a] = len(line)
        labels = labels + line.reshape(extent)
        filled = filled & there.reshape(extent)
    whole = replace(word, factors=(*word.factors, factor), result=tuple(order))
    return Piece(whole.times(product.number), compress(np.where(filled, labels, NONE)))


def _line(parts: Sequence[Part], strides: Mapping[int, int]) -> tuple[Labels, np.ndarray]:
    """Labels along one axis, and where it is filled."""
    line, there = np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool)
    for part in parts:
        if part.letter is None and (part.start, part.stop) == (0, part.size) and len(parts) == 1:
            return line, there
        own = np.zeros(part.size, dtype=np.int64)
        inside = np.zeros(part.size, dtype=bool)
        inside[part.start : part.stop] = True
        if part.letter is not None:
            own[part.start : part.stop] = strides[part.letter] * np.arange(part.stop - part.start)
        line = (line[:, None] + own[None]).ravel()
        there = (there[:, None] & inside[None]).ravel()
    return line, there


def _factor(
    view: View,
    sizes: tuple[int, ...],
    letters: Letters,
    on_axis: dict[str, list[Part]],
    kept: Letters,
    word: Word,
) -> tuple[Factor, Word, dict[str, list[Part]]]:
    """The parameter as a factor of the word: a letter for every axis, those of the shift where it
    stands on an axis that both have."""
    axes: dict[int, list[Axis]] = {}
    spelled: dict[str, list[Part]] = {}
    for k, x in enumerate(letters):
        own = view.axes[k]
        size = sizes[k]
        parts = on_axis.get(x)
        if size == 1 and parts and any(p.letter is not None for p in parts):
            continue  # the parameter is repeated along it
        if not own:
            if size > 1:
                raise Irregular
            continue
        if parts and (len(parts) > 1 or parts[0].letter is not None or
                      (parts[0].start, parts[0].stop) != (0, parts[0].size)):  # fmt: skip
            if len(own) != 1:
                raise Irregular
            word, made, shown = _read_along(word, view, own[0], parts, x in kept)
            axes[own[0]] = made
            if x in kept:
                spelled[x] = shown
            continue
        shown = []
        for a in own:
            start, stop = view.blocks[a]
            word, (letter,) = word.fresh((stop - start,))
            axes[a] = [Axis(letter, view.shape[a], start, stop)]
            shown.append(Part(stop - start, 0, stop - start, letter))
        if x in kept:
            spelled[x] = shown
    for a, (start, stop) in enumerate(view.blocks):
        if a not in axes:
            word, (letter,) = word.fresh((stop - start,))
            axes[a] = [Axis(letter, view.shape[a], start, stop)]
    factor = Factor(view.parameter, tuple(axis for a in sorted(axes) for axis in axes[a]))
    return factor, word, spelled


def _read_along(
    word: Word, view: View, axis: int, parts: list[Part], kept: bool
) -> tuple[Word, list[Axis], list[Part]]:
    """Axes of a parameter along which a shift stands in parts."""
    start, stop = view.blocks[axis]
    whole = (start, stop) == (0, view.shape[axis])
    made: list[Axis] = []
    shown: list[Part] = []
    for i, part in enumerate(parts):
        if part.letter is None:
            word, (letter,) = word.fresh((part.stop - part.start,))
        else:
            letter = part.letter
        if whole:
            made.append(Axis(letter, part.size, part.start, part.stop))
        elif len(parts) == 1:
            made.append(Axis(letter, view.shape[axis], start + part.start, start + part.stop))
        else:
            raise Irregular
        shown.append(Part(part.size, part.start, part.stop, letter if kept else None))
        assert i < len(parts)
    return word, made, shown


class Contraction(Op):
    """A product of two arguments, and what is added to it."""

    weighs = True

    def product(self, call: Call) -> Product | None:
        """The product; `None` where the call is not one."""
        raise NotImplementedError

    def added(self, call: Call) -> tuple[Key, Letters, float] | None:
        """An argument that is added, its letters as in the result, and its factor."""
        return None

    def adds(self, call: Call, key: Key) -> bool:
        """Whether an argument is no factor, but what is added."""
        added = self.added(call)
        return added is not None and added[0] == key

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        product = self.product(call)
        if product is None:
            return {}
        found: dict[Key, Tolerance] = {}
        for side in (0, 1):
            tolerance = tolerance_of_factor(call, product, side, outputs[0])
            if tolerance is not None:
                found[product.keys[side]] = tolerance
        added = self.added(call)
        if added is not None:
            key, letters, _ = added
            value = call.value(key)
            at = {x: i for i, x in enumerate(letters)}
            repeated = [
                a
                for a, x in enumerate(product.result)
                if x not in at or value.shape[at[x]] < call.shape[a]
            ]
            back = joined_along(outputs[0], repeated)
            places = [product.result.index(x) for x in letters]
            labels = back.labels.transpose(
                [*places, *(a for a in range(back.labels.ndim) if a not in places)]
            )
            labels = labels.reshape(labels.shape[: len(places)])
            free = frozenset(i for i, a in enumerate(places) if a in back.free)
            axis = {a: i for i, a in enumerate(places)}
            found[key] = back.seen_as(labels, free, axis.get)
        return found

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        product = self.product(call)
        if product is None:
            raise Refused
        added = self.added(call)
        if added is not None and key == added[0]:
            _, letters, number = added
            sizes = dict(zip(letters, piece.labels.shape, strict=True))
            kept = [x for x in product.result if x in sizes]
            labels = piece.labels.transpose([letters.index(x) for x in kept])
            labels = labels.reshape([sizes.get(x, 1) for x in product.result])
            return {0: piece.at(labels).times(number)}
        side = product.keys.index(key)
        other = call.value(product.keys[1 - side])
        if other.view is not None:
            return {0: through_parameter(product, side, piece, other.view, other.shape)}
        return self.through_data(call, product, side, piece, other)

    def through_data(
        self, call: Call, product: Product, side: int, piece: Piece, other: Value
    ) -> Mapping[int, Piece]:
        """Where the other factor's entries add up to a constant along the only axis that is summed,
        a shift that is constant there passes."""
        summed = [x for x in product.letters[side] if x not in product.result]
        own, letters = product.letters[side], product.letters[1 - side]
        if len(summed) != 1 or summed[0] not in letters:
            raise Refused
        axis = letters.index(summed[0])
        total = [s for s in other.supports if s.axis == axis and s.is_sum and s.bias is None]
        at = own.index(summed[0])
        if not total or piece.labels.shape[at] > 1:
            raise Refused
        shared = [x for x in own if x in product.result]
        sizes = {x: piece.labels.shape[own.index(x)] for x in shared}
        kept = [x for x in product.result if x in sizes]
        squeezed = piece.labels.reshape([n for a, n in enumerate(piece.labels.shape) if a != at])
        labels = squeezed.transpose([shared.index(x) for x in kept])
        labels = labels.reshape([sizes.get(x, 1) for x in product.result])
        number = total[0].constant * product.number
        return {0: piece.at(labels).times(number)} if number else {}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        product, value = self.product(call), call.value(key)
        if product is None or product.power != 1:
            return {}
        added = self.added(call)
        if key in product.keys:
            side = product.keys.index(key)
            x, other = product.letters[side][axis], product.letters[1 - side]
            partner = call.value(product.keys[1 - side])
            if x not in product.result or (x in other and partner.shape[other.index(x)] > 1):
                return {}
        elif added is not None and key == added[0]:
            x = added[1][axis]
        else:
            return {}
        own = product.result.index(x)
        return {0: own} if call.shape[own] == value.shape[axis] else {}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        """Rows that add up to one take averages: what holds for all they average holds for them."""
        product = self.product(call)
        if product is None or product.number != 1 or self.added(call) is not None:
            return {}
        found: list[Support] = []
        for side in (0, 1):
            weights, value = (call.value(product.keys[k]) for k in (side, 1 - side))
            letters, own = product.letters[side], product.letters[1 - side]
            ones = {
                letters[s.axis]
                for s in weights.supports
                if s.is_sum and s.bias is None and s.constant == 1
            }
            summed = {x for x in own if x not in product.result}
            for s in value.supports:
                x = own[s.axis]
                if len(summed) == 1 and summed <= ones and x in product.result and x not in letters:
                    found.append(replace(s, axis=product.result.index(x)))
        return {0: tuple(found)}


def _matmul(keys: tuple[Key, Key], a: int, b: int, number: float = 1.0) -> Product:
    """Letters of torch's `matmul`: for vectors, matrices, and stacks of them."""
    lead = [f"b{k}" for k in range(max(a, b) - 2)]
    left = ("k",) if a == 1 else (*lead[len(lead) - a + 2 :], "m", "k")
    right = ("k",) if b == 1 else (*lead[len(lead) - b + 2 :], "k", "n")
    result = (*lead, *(("m",) if a > 1 else ()), *(("n",) if b > 1 else ()))
    return Product(keys, (left, right), result, number)


@op("linear")
class Linear(Contraction):
    """y = x Wᵀ + b."""

    def product(self, call: Call) -> Product | None:
        x, w = call["input"], call["weight"]
        lead = tuple(f"b{k}" for k in range(len(x.shape) - 1))
        if len(w.shape) != 2:
            return None
        letters = ((*lead, "k"), ("n", "k"))
        return Product((("input", 0), ("weight", 0)), letters, (*lead, "n"))

    def added(self, call: Call) -> tuple[Key, Letters, float] | None:
        return None if call["bias"] is None else (("bias", 0), ("n",), 1.0)


@op("matmul", "mm", "bmm", "mv")
class Matmul(Contraction):
    """Products of matrices, batched or not."""

    def product(self, call: Call) -> Product | None:
        (left, a), (right, b) = list(call.values())[:2]
        product = _matmul((left, right), len(a.shape), len(b.shape))
        return product


@op("addmm", "baddbmm", "addmv")
class Addmm(Contraction):
    """β·bias + α·(left @ right)."""

    def product(self, call: Call) -> Product | None:
        _, (left, a), (right, b) = list(call.values())[:3]
        if not call["alpha"] or not call["beta"]:
            return None
        return _matmul((left, right), len(a.shape), len(b.shape), float(call["alpha"]))

    def added(self, call: Call) -> tuple[Key, Letters, float] | None:
        product = self.product(call)
        assert product is not None
        bias = call["self"]
        letters = product.result[len(product.result) - len(bias.shape) :]
        return ("self", 0), letters, float(call["beta"])


@op("einsum")
class Einsum(Contraction):
    """Two operands, each letter once in each."""

    def product(self, call: Call) -> Product | None:
        equation, operands = call["equation"].replace(" ", ""), call["tensors"]
        inputs, arrow, output = equation.partition("->")
        letters = inputs.split(",")
        plain = arrow and "." not in equation and len(operands) == 2
        if not plain or any(len(set(word)) < len(word) for word in (*letters, output)):
            return None
        keys = (("tensors", 0), ("tensors", 1))
        return Product(keys, (tuple(letters[0]), tuple(letters[1])), tuple(output))


@dataclass(frozen=True)
class Entrywise(Contraction):
    """A product of entries, with broadcasting; or a quotient, with power −1."""

    power: int = 1

    def product(self, call: Call) -> Product | None:
        values = list(call.values())
        if len(values) != 2:
            return None
        names = tuple(f"x{k}" for k in range(len(call.shape)))
        (left, a), (right, b) = values
        letters = tuple(names[len(names) - len(v.shape) :] for v in (a, b))
        return Product((left, right), (letters[0], letters[1]), names, power=self.power)
