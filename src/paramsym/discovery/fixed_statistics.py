"""Normalisations with fixed statistics: γ (x − μ)/σ + β with constants μ and σ, as batch norm in
evaluation computes it.

A channel of x may be scaled by a if γ is divided by a and β takes up what then changes of γμ/σ
(docs/derivations.md §27). So the scale of x is an unknown of its own, which acts on γ inversely.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from torch import Tensor

from paramsym.discovery.balances import Classes
from paramsym.discovery.buffers import STATISTICS
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Labels, Layer, Value
from paramsym.discovery.occurrences import Occurrences
from paramsym.discovery.recording import Record, Recording, Ref
from paramsym.discovery.statements import Compensation
from paramsym.terms import Slot, Source, Term

LARGEST_CHOICE = 2**20
"""Most entries of a table that says which channels a scaling moves, where they are no range."""


@final
@dataclass(frozen=True)
class Statistics:
    """The constants of a normalisation, channel by channel.

    Attributes:
        mean: μ.
        inverse: 1/σ = (variance + ε)^(−½).
    """

    mean: Source
    inverse: Source


@final
@dataclass(frozen=True)
class FixedNorm:
    """A normalisation with fixed statistics that makes up for scales of what it reads.

    Attributes:
        compensation: What was said of it.
        statistics: Its constants.
        in_front: A bias that is added to what it reads, and the sign of it there, if it is one that
            takes up a shift of the mean.
    """

    compensation: Compensation
    statistics: Statistics
    in_front: tuple[str, float] | None = None

    def place(self, classes: Classes) -> Occurrences:
        """Where classes stand as scales of what it reads."""
        scale = self.compensation.scale
        found = Occurrences(
            self.compensation.bias, 0, scale.shape, (0,), classes.of[scale], classes.sign[scale]
        )
        return replace(found, norm=self.compensation)


def constant_source(name: str, tensor: Tensor, *, power: float = 1, offset: float = 0.0) -> Source:
    """A constant as a term reads it; without values where the tensor has none."""
    known = tensor.device.type != "meta"
    values = tuple(tensor.detach().double().flatten().tolist()) if known else ()
    return Source(Slot(name, (), tuple(tensor.shape)), power, offset, values)


def settle_compensated(facts: Facts, recording: Recording, labelled: Mapping[str, Value]) -> None:
    """A gain and a bias make up for the scale of what a normalisation reads if its statistics are
    constants, and if both are whole and read nowhere else; otherwise that does not scale."""
    if not facts.compensated:
        return
    reads = Counter(
        recording.parameter_ids[i]
        for ids in (*(record.inputs() for record in recording.records), recording.outputs)
        for i in ids
        if i in recording.parameter_ids
    )
    constants = _unwritten(recording)
    for found in facts.compensated.values():
        own = (found.gain, found.bias)
        alone = all(reads[name] == len(found.records) for name in own)
        whole = all(labelled[name].shape == found.scale.shape for name in own)
        if alone and whole and _numbers(found, recording, constants) is not None:
            facts.gauges.append((found.scale,))  # one axis: its scale means something
        else:
            facts.record = min(found.records)
            facts.pin(Value(found.scale.shape, (Layer(found.scale),)))
            facts.record = len(recording.records)


def fixed_norms(
    facts: Facts, recording: Recording, in_front: Mapping[str, tuple[str, float]]
) -> list[FixedNorm]:
    """The normalisations with fixed statistics that make up for scales of what they read.

    Args:
        facts: What the rules stated.
        recording: The run.
        in_front: Biases in front of normalisations, and their signs, by the biases of these.
    """
    found, constants = [], _unwritten(recording)
    for compensation in facts.compensated.values():
        numbers = _numbers(compensation, recording, constants)
        if numbers is not None:
            bias = in_front.get(compensation.bias) if len(compensation.records) == 1 else None
            found.append(FixedNorm(compensation, _statistics(recording, *numbers), bias))
    return found


def _unwritten(recording: Recording) -> set[int]:
    """The constants that no call writes to."""
    written = {i for record in recording.records for i in record.mutates}
    return recording.constants.keys() - written


def _numbers(
    found: Compensation, recording: Recording, constants: set[int]
) -> tuple[int, int, float] | None:
    """Numbers of μ and of the variance, and ε, if all calls read the same ones, and these are
    constants."""
    read = {_read_by(recording.records[k]) for k in found.records}
    numbers = read.pop()
    if read or numbers is None:
        return None
    return numbers if {*numbers[:2]} <= constants else None


def _read_by(record: Record) -> tuple[int, int, float] | None:
    given = record.bind()
    mean, variance = (given.get(name) for name in STATISTICS)
    eps = given.get("eps")
    if isinstance(mean, Ref) and isinstance(variance, Ref) and isinstance(eps, int | float):
        return mean.id, variance.id, float(eps)
    return None


def _statistics(recording: Recording, mean: int, variance: int, eps: float) -> Statistics:
    names = [
        recording.buffer_ids.get(i, name)
        for i, name in zip((mean, variance), STATISTICS, strict=True)
    ]
    constants = recording.constants
    return Statistics(
        constant_source(names[0], constants[mean]),
        constant_source(names[1], constants[variance], power=-0.5, offset=eps),
    )


def compensating_term(norm: FixedNorm, rows: Labels, *, in_front: bool) -> Term | None:
    """What the translations 1 − a, `[copies, 1]`, add to a bias: to that of the normalisation
    (1 − a) γμ/σ, with γ as it is after the scaling; or to one in front of it (1 − a) μ.

    Args:
        norm: The normalisation.
        rows: For every scale the channels that it is that of, `[copies, multiplicity]`.
        in_front: Whether the bias is that in front.

    Returns:
        The term; `None` where too many scales move channels that are no range.
    """
    own, statistics = norm.compensation, norm.statistics
    copies, size = len(rows), len(own.scale)
    start, stop = int(rows[0, 0]), int(rows[0, 0]) + copies
    in_order = np.array_equal(rows, np.arange(start, stop)[:, None])
    if not in_order and copies * size > LARGEST_CHOICE:
        return None
    block = ((start, stop),) if in_order and (start, stop) != (0, size) else ()
    name, coefficient = own.bias, 1.0
    sources = [statistics.mean]
    if in_front:
        assert norm.in_front is not None
        name, coefficient = norm.in_front[0], 1 / norm.in_front[1]
    else:
        sources += [statistics.inverse, Source(Slot(own.gain))]
    sources = [replace(s, slot=replace(s.slot, block=block)) for s in sources]
    scale = "ia" if copies > 1 else "i"
    if in_order:
        equation = ",".join([scale, *["i"] * len(sources)]) + "->i"
        return Term(Slot(name, block), equation, tuple(sources), coefficient)
    chosen = np.zeros((copies, size))
    chosen[np.arange(copies)[:, None], rows] = 1.0
    table = Source(Slot("channels", (), chosen.shape), values=tuple(chosen.ravel().tolist()))
    equation = ",".join([scale, "ic", *["c"] * len(sources)]) + "->c"
    return Term(Slot(name), equation, (table, *sources), coefficient)
