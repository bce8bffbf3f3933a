"""A shift of one parameter, carried forward until it is killed, taken up, or seen.

Where a value has a pivot (a bias that is added there and is nowhere else), the shift stops: the
bias takes it up, and nothing behind it notices.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE, present
from paramsym.discovery.shifting.registry import Call, Op
from paramsym.discovery.shifting.values import Piece, Pivot
from paramsym.discovery.shifting.walk import Run, Use
from paramsym.discovery.shifting.weights import Weights
from paramsym.discovery.shifting.words import Factor, Irregular, Word, placed, target_axes
from paramsym.terms import Term


@final
@dataclass
class Pushed:
    """What became of a shift.

    Attributes:
        seen: Components of the shift that something notices.
        events: For each kill and each take-up the components concerned, and where it was.
        terms: What other parameters must do.
        partial: Whether somewhere only a part of the shift arrived, so that the terms are not
            those of the whole; it has to be carried in parts.
    """

    seen: np.ndarray
    events: list[tuple[object, np.ndarray]] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    partial: bool = False


def push(
    run: Run, own: str, n: int, starts: Iterable[tuple[Use, Piece] | tuple[int, Piece]]
) -> Pushed:
    """Carry a shift of n components to where it ends.

    Args:
        run: The run.
        own: The parameter that is shifted; it takes up nothing.
        n: Number of components.
        starts: Where it enters: at a value (by its number), or at one use of a value.
    """
    result = Pushed(np.zeros(n, dtype=bool))
    pending: list[tuple[int | Use, Piece, np.ndarray]] = []
    everything = np.ones(n, dtype=bool)
    for place, piece in starts:
        pending.append((place, piece, everything))
    while pending and not result.seen.all():
        place, piece, support = pending.pop()
        piece, support = _without(piece, support, result.seen)
        if piece is None:
            continue
        if isinstance(place, Use):
            pending += _through(run, place, piece, support, result)
            continue
        value = run.values[place]
        pivot = value.pivot
        if pivot is not None and pivot.parameter != own:
            taken = _taken_up(run, pivot, piece, result)
            if taken is not None:
                result.terms += taken
                result.events.append((("taken up", pivot.parameter), support))
                continue
        if place in run.outputs:
            result.seen |= support
            continue
        pending += [(use, piece, support) for use in run.uses[place]]
    return result


def _without(
    piece: Piece, support: np.ndarray, seen: np.ndarray
) -> tuple[Piece | None, np.ndarray]:
    """The piece without components that are lost already."""
    if piece.word.is_identity:
        support = _components(piece.labels, len(seen)) & ~seen
        if not support.any():
            return None, support
        kept = np.append(~seen, False)[piece.labels]
        return piece.at(np.where(kept, piece.labels, NONE)), support
    return (None if bool((support <= seen).all()) else piece), support


def _components(labels: Labels, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[labels[labels != NONE]] = True
    return mask


def _through(
    run: Run, use: Use, piece: Piece, support: np.ndarray, result: Pushed
) -> list[tuple[int | Use, Piece, np.ndarray]]:
    """The piece behind a call, unless the call kills it."""
    step = run.steps[use.step]
    noticed = run.tolerances[use.step, use.key].allows(piece.labels)
    n = len(result.seen)
    if noticed is None:
        result.events.append((("killed", use.step), support))
        return []
    if piece.word.is_identity and len(noticed) < piece.word.size:
        # Part of it is killed here, the rest goes on.
        there = np.zeros(n + 1, dtype=bool)
        there[noticed] = True
        rest = np.where(there[piece.labels] & (piece.labels != NONE), piece.labels, NONE)
        killed = support & ~_components(rest, n)
        if killed.any():
            result.events.append((("killed", use.step), killed))
            piece, support = piece.at(rest), support & ~killed
    op = step.op
    pushed = run.ask(lambda: _pushed(op, step.call, use, piece, result), None) if op else None
    if pushed is None:
        result.seen |= support
        return []
    made: list[tuple[int | Use, Piece, np.ndarray]] = []
    for k, behind in pushed.items():
        number = step.outputs[k]
        if number is not None:
            made.append((number, behind, support))
    return made


def _pushed(op: Op, call: Call, use: Use, piece: Piece, result: Pushed) -> Mapping[int, Piece]:
    """The answer of an op; a part of a shift is shown to it as a shift of its own."""
    names = present(piece.labels)
    if not piece.word.is_identity or len(names) == piece.word.size:
        return op.push(call, use.key, piece)
    number = np.full(piece.word.size + 1, NONE, dtype=np.int64)
    number[names] = np.arange(len(names))
    word = Word.identity(len(names)).times(piece.word.coefficient)
    found = {}
    for k, behind in op.push(call, use.key, Piece(word, number[piece.labels])).items():
        if behind.word.is_identity:
            labels = np.append(names, NONE)[behind.labels]
            whole = replace(piece.word, coefficient=behind.word.coefficient)
            found[k] = Piece(whole, labels)
        else:
            found[k] = behind
            result.partial = True
    return found


def _taken_up(run: Run, pivot: Pivot, piece: Piece, result: Pushed) -> list[Term] | None:
    """What the pivot must do to take up all of a piece; `None` where it cannot."""
    shift, own = (x.ravel() for x in np.broadcast_arrays(piece.labels, pivot.labels))
    there = shift != NONE
    if bool((own[there] == NONE).any()):
        return None
    n = int(pivot.places.max()) + 1
    taken = np.full(n, NONE, dtype=np.int64)
    taken[own[there]] = shift[there]
    if not np.array_equal(np.where(own == NONE, NONE, taken[own]), shift):
        return None  # one entry of the pivot would have to do two things
    labels = np.where(pivot.places == NONE, NONE, taken[pivot.places])
    shape = run.parameters[pivot.parameter].shape
    if piece.word.is_identity and len(present(shift)) < piece.word.size:
        result.partial = True
        return []
    try:
        return [term_on(pivot.parameter, shape, piece.word, labels, -1.0 / pivot.sign)]
    except Irregular:
        return None


def term_on(
    parameter: str,
    shape: tuple[int, ...],
    word: Word,
    labels: Labels,
    coefficient: float,
    weights: Weights = (),
) -> Term:
    """The word, added to a parameter where its labels say, times the weights of its axes.

    Raises:
        Irregular: If they have no structure.
    """
    word, parts = placed(word, labels)
    word, axes = target_axes(word, parts, shape)
    factors = (Factor(w.parameter, tuple(axes[w.axis]), w.power) for w in weights)
    word = replace(word, factors=(*word.factors, *factors))
    return word.term(parameter, [axis for own in axes for axis in own], coefficient)
