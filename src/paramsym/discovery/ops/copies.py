"""Ops that copy entries, or that read nothing but a shape."""

import torch

from paramsym.discovery.combinations import combination_of, settled
from paramsym.discovery.labels import Value
from paramsym.discovery.ops.registry import STOPS_GRADIENT, Call, Result, rule


@rule(
    "clone", "alias", "contiguous", "_to_copy", "to", "lift_fresh", "lift_fresh_copy",
    "positive", "identity", "type_as", "feature_dropout", "alpha_dropout", combines=True,
)  # fmt: skip
def identity(call: Call) -> Result:
    """Ops that change no entry."""
    dtype = call.get("dtype")
    value = call["self"] if "self" in call.arguments else call["input"]
    unclear = call.get("train")  # alpha and feature dropout in training
    if unclear or (dtype is not None and not (dtype.is_floating_point or dtype.is_complex)):
        value = settled(value, call.facts)
        return call.refuse() if unclear else call.pin()
    return call.output(value.layers, constant=value.constant, parameter=value.parameter,
                       offset=value.offset, is_norm=value.is_norm,
                       combination=combination_of(value))  # fmt: skip


@rule("detach")
def detach(call: Call) -> Result:
    """Training does not see through it, so that no law would hold of what it reads."""
    return call.refuse(STOPS_GRADIENT)


@rule("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
def constant_like(call: Call) -> Result:
    """Only the shape is read."""
    name = call.record.op
    fill = 0.0 if "zeros" in name else 1.0 if "ones" in name else call["fill_value"]
    if isinstance(fill, Value):
        return call.pin()
    return call.output(constant=torch.tensor(fill).expand(call.shape))


@rule("empty_like", "new_empty", "rand_like", "randn_like", "randint_like")
def like(call: Call) -> Result:
    """Only the shape is read."""
    return call.output()
