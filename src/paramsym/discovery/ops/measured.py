"""What ops mean whose symmetries were measured (`paramsym.discovery.registering`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops.registry import Call, Result, Rule

OTHER_USE = "called with other arguments than those for which its symmetries were measured"


@final
@dataclass(frozen=True)
class Meaning:
    """What a measured rule has to say.

    Attributes:
        kind: No symmetry, c·z, homogeneous entry by entry, radial along the last axis, or
            homogeneous along the last axis as a whole.
        words: The same in words, for people.
        degree: The degree, where it is homogeneous.
    """

    kind: Literal["none", "linear", "entrywise", "radial", "whole"]
    words: str
    degree: float | None = None


def rule_of(meaning: Meaning, arguments: Mapping[str, Any]) -> Rule:
    """The rule of an op with one tensor argument, for calls with these other arguments."""

    def measured_rule(call: Call) -> Result:
        tensors = call.values()
        if len(tensors) != 1 or len(call.shapes) != 1 or not _is_measured_use(call, arguments):
            return call.refuse(OTHER_USE)
        (value,) = tensors
        if meaning.kind == "none":
            return call.pin()
        if call.shape != value.shape or not value.shape:
            return call.refuse(OTHER_USE)
        if meaning.kind == "linear":
            call.facts.treat_alike(value)
            return call.output(value.layers)
        if meaning.kind == "radial":
            return _radial(call, value, meaning.degree)
        assert meaning.degree is not None
        if meaning.kind == "entrywise":
            return _entrywise(call, value, meaning.degree)
        return _whole(call, value, meaning.degree)

    return measured_rule


def _is_measured_use(call: Call, arguments: Mapping[str, Any]) -> bool:
    """Whether the op's other arguments are as they were measured."""
    schema = getattr(call.record.target, "_schema", None)
    defaults = {} if schema is None else {a.name: a.default_value for a in schema.arguments}
    return all(
        isinstance(given, Value) or given == arguments.get(name, defaults.get(name))
        for name, given in call.arguments.items()
    )


def _times(layers: tuple[Layer, ...] | list[Layer], degree: float) -> list[Layer]:
    return [Layer(x.labels, x.exponent * degree) for x in layers if degree != 0]


def _entrywise(call: Call, value: Value, degree: float) -> Result:
    """Homogeneous of a degree: scales pass with it, nothing mixes."""
    call.facts.isolate_all(value)
    return call.output(_times(value.layers, degree))


def _split(call: Call, value: Value) -> tuple[list[Layer], list[Layer], Layer | None]:
    """The layers that vary along the last axis and the others; the scale of the whole axis."""
    layers = pad_left(value.layers, len(value.shape))
    last = len(value.shape) - 1
    inner = [x for x in layers if last in x.axes]
    rest = [x for x in layers if last not in x.axes]
    if not inner:
        return inner, rest, None
    shape = tuple(
        1 if a == last else max(x.labels.shape[a] for x in inner) for a in range(last + 1)
    )
    total = Layer(call.facts.fresh(shape))
    call.facts.balance(*inner, -total)
    call.facts.isolate(total.labels)
    return inner, rest, total


def _whole(call: Call, value: Value, degree: float) -> Result:
    """Homogeneous in the last axis as a whole: it has one scale, which passes with the degree."""
    call.facts.isolate_all(value)
    _, rest, total = _split(call, value)
    return call.output(_times(rest if total is None else [*rest, total], degree))


def _radial(call: Call, value: Value, degree: float | None) -> Result:
    """f(‖z‖) z: the norm lets only rotations mix the last axis; f scales with degree − 1, or not
    at all, so that the norm is pinned."""
    facts = call.facts
    inner, rest, total = _split(call, value)
    kept = tuple(range(len(value.shape) - 1))
    if len(inner) == 1 and abs(inner[0].exponent) == 1:
        facts.use(inner[0].labels, kept, rotated=True)
    else:
        for layer in inner:
            facts.isolate(layer.labels)
    for layer in rest:
        facts.isolate(layer.labels)
    norm = rest if total is None else [*rest, total]
    if degree is None:
        facts.balance(*norm)
        return call.output([*inner, *rest])
    return call.output([*inner, *rest, *_times(norm, degree - 1)])
