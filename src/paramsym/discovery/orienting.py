"""Which side of a space writes it and which reads it, as a person would say.

A family is the same whichever side is called the writers: g ↦ g⁻ᵀ is an automorphism of its group.
A linear layer reads along the axis that its product sums over. Where no such axis tells the sides
apart, as for queries and keys, the side that runs first comes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Value
from paramsym.discovery.naming import family_name
from paramsym.discovery.recording import Recording
from paramsym.family import Family
from paramsym.ports import Port

Votes = Mapping[tuple[str, tuple[int, ...]], int]
"""Parameter and axes → which side of a space it is on."""


def oriented(
    families: Sequence[Family],
    facts: Facts,
    labelled: Mapping[str, Value],
    recording: Recording,
) -> list[Family]:
    """The families, turned where the sides are the other way round, and named anew.

    Args:
        families: As they were found, with the first port as a writer.
        facts: What the rules stated.
        labelled: Labels of the parameters.
        recording: The run.
    """
    reads = _votes(facts, labelled)
    first: dict[str, int] = {}
    for index, record in enumerate(recording.records):
        for i in record.inputs():
            if i in recording.parameter_ids:
                first.setdefault(recording.parameter_ids[i], index)
    return [
        _turned(family) if not family.terms and _is_reversed(family, reads, first) else family
        for family in families
    ]


def _votes(facts: Facts, labelled: Mapping[str, Value]) -> Votes:
    """For every layer of a parameter −1 where a layer of the model writes, 1 where it reads, and 0
    where it does both, as a head that is tied to the embedding."""
    summed, kept = np.zeros((2, facts.count), dtype=bool)
    for mask, found in ((summed, facts.summed), (kept, facts.kept)):
        for labels in found:
            mask[labels] = True
    votes = {}
    for name, value in labelled.items():
        for layer in value.layers:
            reads = bool(summed[layer.labels].any())
            votes[name, layer.axes] = 0 if reads and kept[layer.labels].any() else 2 * reads - 1
    return votes


def _is_reversed(family: Family, reads: Votes, first: Mapping[str, int]) -> bool:
    if any(port.frame is not None for port in family.ports):
        return False  # what stands behind a gain reads
    agreed = sum(
        reads.get((port.parameter, port.axes), -1) * (1 if port.dual else -1)
        for port in family.ports
        if not _is_number(port)
    )
    if agreed:
        return agreed < 0
    starts = {dual: _start(family.ports, first, dual=dual) for dual in (True, False)}
    return starts[True] < starts[False]


def _is_number(port: Port) -> bool:
    """Whether the space is a line along an axis of size 1, and the rows those of another axis: they
    do not tell the sides apart."""
    return port.multiplicity == port.row_count and 1 in port.view and len(port.view) > 1


def _start(ports: Sequence[Port], first: Mapping[str, int], *, dual: bool) -> tuple[float, float]:
    """When a side runs first, and its first row there."""
    own = (
        (first.get(port.parameter, 0), int(port.index.min())) for port in ports if port.dual is dual
    )
    return min(own, default=(float("inf"), 0))


def _turned(family: Family) -> Family:
    """The family with g⁻ᵀ for g; scalings with the first writer's degree as 1."""
    unit = next((port.degree for port in family.ports if port.dual), 1.0)
    ports = tuple(
        replace(port, dual=not port.dual, degree=port.degree / unit) for port in family.ports
    )
    return replace(family, name=family_name(ports, family.group), ports=ports)
