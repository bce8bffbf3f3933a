"""Single facts that op rules state, where they are more than rows of labels."""

from dataclasses import dataclass
from typing import NamedTuple, final

from paramsym.discovery.labels import Labels


@final
@dataclass(frozen=True)
class Use:
    """An op that treats labels alike within each row: (label, row, count) triples."""

    entries: Labels


@final
@dataclass(frozen=True)
class Gain:
    """A parameter that multiplies the coordinates of a value, one entry each.

    Attributes:
        before: Labels of the value.
        after: Labels of the product.
        entries: Labels of the parameter's entries.
        parameter: The parameter.
        offset: Number added to it before.
        is_centred: Whether the value is a vector of mean zero.
    """

    before: Labels
    after: Labels
    entries: Labels
    parameter: str
    offset: float
    is_centred: bool


@final
@dataclass(frozen=True)
class Displaced:
    """A parameter plus a number, whose scale is another one than the parameter's.

    Attributes:
        offset: The number.
        before: Labels of the parameter.
        after: Labels of the sum.
    """

    offset: float
    before: Labels
    after: Labels


@final
@dataclass(frozen=True, eq=False)
class Compensation:
    """A normalisation with fixed statistics: its gain and its bias make up for a scale of what it
    reads.

    Attributes:
        scale: Labels of that scale, channel by channel.
        gain: The parameter that is divided by it.
        bias: The parameter that takes up what then changes of the mean's share.
        records: Positions of the calls.
    """

    scale: Labels
    gain: str
    bias: str
    records: set[int]


class Origin(NamedTuple):
    """Which call states a fact.

    Attributes:
        record: Position of its record; the number of records for the outputs of the model, and −1
            before the first.
        pins: Whether the call lets nothing of a value change.
    """

    record: int
    pins: bool
