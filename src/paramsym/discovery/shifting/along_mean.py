"""Maps x ↦ x + 1 wᵀx of a value that normalisations read, and that layers read as well.

A normalisation removes what is the same along its axis, whatever it depends on; layers that read
the value itself make up for the map by its inverse, and those that write it apply it. So it is with
a stream that is read without a norm: by the first layer of a post-norm transformer, or by the head
of a pre-norm one without a last norm (docs/derivations.md §33).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from paramsym.discovery.naming import sides
from paramsym.discovery.shifting.adding import Joined, Sum
from paramsym.discovery.shifting.contracting import Contraction
from paramsym.discovery.shifting.convolving import Convolution
from paramsym.discovery.shifting.registry import Call, Key, Op
from paramsym.discovery.shifting.tolerance import PINNED, Tolerance
from paramsym.discovery.shifting.walk import Run
from paramsym.family import Family
from paramsym.groups import HyperplaneFixing
from paramsym.ports import Port


def families_along_mean(run: Run) -> list[Family]:
    """The groups of maps I + 1 wᵀ of a run, for values whose mean some readers remove and others
    see."""
    made_by = {
        i: (k, n)
        for k, step in enumerate(run.steps)
        for n, i in enumerate(step.outputs)
        if i is not None
    }
    found: dict[frozenset[tuple[str, int, bool]], int] = {}
    for number, axis in _seeds(run):
        space = _Space(run, made_by)
        if run.ask(lambda space=space, at=(number, axis): space.closes(*at), False):
            ports = space.ports()
            if ports is not None:
                found[ports] = run.values[number].shape[axis]
    return [_family(run, sorted(ports), n) for ports, n in found.items()]


def _seeds(run: Run) -> Iterator[tuple[int, int]]:
    """Values, and axes along which a change of the mean is removed in some uses, not in all."""
    for number, uses in run.uses.items():
        value = run.values[number]
        if len(uses) < 2 or not value.moves or value.view is not None:
            continue
        told = [run.tolerances.get((use.step, use.key)) for use in uses]
        for axis, size in enumerate(value.shape):
            removed = [t is not None and _removes(t, axis, value.shape) for t in told]
            if size > 1 and any(removed) and not all(removed):
                yield number, axis


def _removes(tolerance: Tolerance, axis: int, shape: tuple[int, ...]) -> bool:
    """Whether a change goes unnoticed that is the same along an axis, whatever it is elsewhere."""
    own = tolerance.plain()
    others = (a for a, size in enumerate(shape) if a != axis and size > 1)
    return not (own.labels == PINNED).any() and all(own.frees(a) for a in others)


def _family(run: Run, ports: list[tuple[str, int, bool]], n: int) -> Family:
    """The family of h = I + w 1ᵀ: writers take its inverse transpose, readers h itself."""
    order = {name: i for i, name in enumerate(run.parameters)}
    ports.sort(key=lambda port: (order[port[0]], port[2]))
    made = tuple(
        Port.along(name, run.parameters[name].shape, axis, dual=not reads)
        for name, axis, reads in ports
    )
    readers, writers = sides(made)
    return Family(f"{writers} → {readers} (mean)", HyperplaneFixing(n), made)


@final
@dataclass
class _Space:
    """The values that are vectors of one space along an axis, or dual vectors.

    Attributes:
        run: The run.
        made_by: For every value its step, and which output it is.
        nodes: By number of a value the axis, and whether vectors there are dual.
        pending: Those whose neighbours have not been looked at.
    """

    run: Run
    made_by: dict[int, tuple[int, int]]
    nodes: dict[int, tuple[int, bool]] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)

    def closes(self, number: int, axis: int) -> bool:
        """Whether a map of the value along the axis can be followed to parameters everywhere."""
        size = self.run.values[number].shape[axis]
        joined = self._join(number, axis, False)
        while joined and self.pending:
            i = self.pending.pop()
            axis, dual = self.nodes[i]
            alike = self.run.values[i].shape[axis] == size
            joined = alike and self._from_source(i, axis, dual) and self._to_uses(i, axis, dual)
        return joined

    def ports(self) -> frozenset[tuple[str, int, bool]] | None:
        """The parameters, with the axis, and whether they read; `None` where none does, or one is
        there twice."""
        found = {(self.run.roots[i], *self.nodes[i]) for i in self.nodes if i in self.run.roots}
        once = len({name for name, *_ in found}) == len(found)
        return frozenset(found) if once and any(dual for *_, dual in found) else None

    def _join(self, number: int, axis: int, dual: bool) -> bool:
        known = self.nodes.setdefault(number, (axis, dual))
        if known == (axis, dual) and number not in self.pending:
            self.pending.append(number)
        return known == (axis, dual)

    def _from_source(self, number: int, axis: int, dual: bool) -> bool:
        """What makes the value must be vectors too."""
        if number in self.run.roots:
            same = self.run.numbers_of(self.run.roots[number])
            return all(self._add(i, axis, dual) for i in same)
        if number not in self.made_by:
            return False  # data, or a constant
        k, output = self.made_by[number]
        step = self.run.steps[k]
        if step.op is None:
            return False
        found = _sources(step.op, step.call, output, axis)
        if not found:
            return False
        return all(self._add(step.call.value(key).number, a, dual) for key, a in found)

    def _to_uses(self, number: int, axis: int, dual: bool) -> bool:
        """What reads the value must remove what changes, undo it, or pass it on."""
        run = self.run
        if number in run.outputs:
            return False
        for use in run.uses[number]:
            step = run.steps[use.step]
            tolerance = run.tolerances.get((use.step, use.key))
            shape = run.values[number].shape
            if not dual and tolerance is not None and _removes(tolerance, axis, shape):
                continue
            if step.op is None:
                return False
            partner = _partner(step.op, step.call, use.key, axis)
            if partner is not None:
                key, own = partner
                if not self._add(step.call.value(key).number, own, not dual):
                    return False
                continue
            passed = step.op.carried(step.call, use.key, axis)
            if not passed:
                return False
            for k, own in passed.items():
                output = step.outputs[k]
                if output is not None and not self._add(output, own, dual):
                    return False
        return True

    def _add(self, number: int, axis: int, dual: bool) -> bool:
        return self.nodes.get(number) == (axis, dual) or self._join(number, axis, dual)


def _partner(op: Op, call: Call, key: Key, axis: int) -> tuple[Key, int] | None:
    """The other factor, and its axis, with which a product sums along an axis of one factor."""
    if not isinstance(op, Contraction | Convolution):
        return None
    product = op.product(call)
    if product is None or key not in product.keys:
        return None
    side = product.keys.index(key)
    own, other = product.letters[side], product.letters[1 - side]
    x = own[axis]
    if x in product.result or x not in other:
        return None
    return product.keys[1 - side], other.index(x)


def _sources(op: Op, call: Call, output: int, axis: int) -> list[tuple[Key, int]]:
    """The arguments that must be vectors if an output is, with their axes; none where one that must
    cannot be."""
    given = [(key, value) for key, value in call.values()]
    found = []
    for key, value in given:
        carried = (op.carried(call, key, a).get(output) for a in range(len(value.shape)))
        found += [(key, a) for a, own in enumerate(carried) if own == axis][:1]
    if isinstance(op, Sum | Joined):
        return found if len(found) == len(given) else []
    if not isinstance(op, Contraction | Convolution):
        return found[:1]
    product = op.product(call)
    if product is None:
        return []
    factors = [key for key, _ in found if key in product.keys]
    added = [key for key, _ in given if key not in product.keys]
    return found if len(factors) == 1 and len(found) == 1 + len(added) else []
