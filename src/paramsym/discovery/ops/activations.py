"""Activations, entry by entry."""

from paramsym.discovery.labels import Value, map_layers, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import EPS_LIMIT, add


@rule("relu", "leaky_relu", "abs", "rrelu", "rrelu_with_noise")
def homogeneous(call: Call) -> Result:
    """Positively homogeneous of degree 1: scales pass, nothing mixes."""
    call.facts.isolate_all(call["self"])
    return call.output(call["self"].layers)


@rule("clamp", "clamp_min", "clip")
def clamp(call: Call) -> Result:
    """ReLU when the bound is 0 from below; an ε when it guards a norm; otherwise pins."""
    value, low = call["self"], _number(call["min"])
    if call.get("max") is not None or isinstance(low, Value):
        return call.pin()
    if low == 0:
        return homogeneous(call)
    if value.is_norm and low is not None and 0 < low <= EPS_LIMIT:
        call.facts.guard(call.index, "min", value)
        return call.output(value.layers, is_norm=True)
    return call.pin()


def _number(bound: Value | float | None) -> Value | float | None:
    """A bound that is a constant of one entry, as its number."""
    constant = bound.constant if isinstance(bound, Value) else None
    if constant is None or constant.device.type == "meta" or constant.numel() != 1:
        return bound
    return float(constant)


@rule("glu")
def gated(call: Call) -> Result:
    """a · sigmoid(b) of the halves a, b of an axis: scales of a pass, b is pinned."""
    value, dim = call["self"], call["dim"]
    half = value.shape[dim] // 2
    a, b = (map_layers(value, lambda x, k=k: x.narrow(dim, k, half)) for k in (0, half))
    for layers in (a, b):
        for layer in layers:
            call.facts.isolate(layer.labels)
    call.facts.balance(*b)
    return call.output(a)


@rule("_prelu_kernel", "prelu")
def prelu(call: Call) -> Result:
    """Homogeneous in its input; the learned slope is fixed."""
    call.facts.pin(call["weight"])
    return homogeneous(call)


@rule("maximum", "minimum", "fmax", "fmin")
def larger_or_smaller(call: Call) -> Result:
    """Homogeneous of degree 1 in both arguments together."""
    left, right = call["self"], call["other"]
    call.facts.isolate_all(left)
    call.facts.isolate_all(right)
    if left.is_zero or right.is_zero:
        kept = right if left.is_zero else left
        return call.output(pad_left(kept.layers, len(call.shape)))
    return add(call, left, right)


@rule("gt", "lt", "ge", "le", "sign", "signbit")
def sign(call: Call) -> Result:
    """Signs are unchanged by positive scalings; other comparisons pin."""
    bound = call.get("other", 0)
    zero = bound.is_zero if isinstance(bound, Value) else bound == 0
    if not zero:
        return call.pin()
    call.facts.isolate_all(call["self"])
    return call.output()


@rule("dropout", "native_dropout", "feature_dropout")
def dropout(call: Call) -> Result:
    """A random mask in training keeps scales and breaks mixing."""
    value = call["input"]
    if call["train"] and call["p"] > 0:
        call.facts.isolate_all(value)
    return call.outputs(call.output(value.layers))


@rule(
    "tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "selu", "celu", "mish", "hardswish",
    "hardsigmoid", "hardtanh", "relu6", "clamp_max", "exp", "expm1", "log", "log1p", "log2",
    "log10", "exp2", "sin", "cos", "tan", "erf", "erfc", "asinh", "atan", "sinh", "cosh", "asin",
    "acos", "log_sigmoid", "log_sigmoid_forward", "hardshrink", "softshrink", "threshold", "floor",
    "ceil", "round", "trunc", "frac", "isnan", "isinf", "logit", "softmax", "_softmax",
    "log_softmax", "_log_softmax", "logsumexp", "eq", "ne", "logical_not",
    "_local_scalar_dense", "argmax", "argmin",
)  # fmt: skip
def pointwise(call: Call) -> Result:
    """Known activations, heads and comparisons without a linear symmetry: they pin."""
    return call.pin()
