"""Powers, entry by entry."""

from paramsym.discovery.labels import Layer, Value
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("pow")
def power(call: Call) -> Result:
    """x^p for a number p."""
    exponent = call.get("exponent")
    if not isinstance(call.get("self"), Value) or isinstance(exponent, Value | type(None)):
        return call.pin()
    return power_of(call, call["self"], float(exponent))


@rule("square", "sqrt", "rsqrt", "reciprocal")
def fixed_power(call: Call) -> Result:
    """x², √x, 1/√x, 1/x."""
    exponent = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}[call.record.op]
    return power_of(call, call["self"], exponent)


def power_of(call: Call, value: Value, exponent: float) -> Value:
    """Exponents multiply. A square waits for what reads it: a sum makes it a norm."""
    if exponent == 0:
        return call.output()
    layers = tuple(Layer(x.labels, x.exponent * exponent) for x in value.layers)
    vectors = [x for x in value.layers if x.axes or abs(x.exponent) == 1]  # others are one number
    if exponent == 2 and vectors and all(abs(x.exponent) == 1 for x in vectors):
        return call.output(layers, is_square=True)
    if exponent != 1:
        call.facts.isolate_all(value)
    return call.output(layers, is_norm=value.is_norm)
