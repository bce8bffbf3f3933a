"""Ops that copy entries, or that read nothing but a shape."""

from dataclasses import replace

import torch

from paramsym.discovery.combinations import combination_of, settled
from paramsym.discovery.labels import Value, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule


@rule(
    "clone", "alias", "contiguous", "_to_copy", "to", "lift_fresh", "lift_fresh_copy",
    "positive", "identity", "type_as", "alpha_dropout", "feature_alpha_dropout", combines=True,
    holds_pairs=True,
)  # fmt: skip
def identity(call: Call) -> Result:
    """Ops that change no entry."""
    dtype = call.get("dtype")
    value = call["self"] if "self" in call.arguments else call["input"]
    unclear = call.get("train")  # alpha dropout in training
    if unclear or (dtype is not None and not (dtype.is_floating_point or dtype.is_complex)):
        value = settled(value, call.facts)
        return call.refuse() if unclear else call.pin()
    shape = value.shape if value.holds_pairs else call.shape
    return replace(
        value, shape=shape, is_square=False, extent=None, combination=combination_of(value)
    )


@rule("copy")
def copy(call: Call) -> Result:
    """What is written over a tensor, of which the shape alone matters; whole numbers cut it off."""
    source, old = call["src"], call["self"]
    known = old.constant is not None and (
        old.constant.is_floating_point() or old.constant.is_complex()
    )
    if not old.layers and not known:
        return call.pin()
    call.facts.treat_alike(source)
    return call.output(pad_left(source.layers, len(call.shape)))


@rule("fill", "zero")
def filled(call: Call) -> Result:
    """A number in place of all entries, of which the shape alone matters."""
    number = call.get("value", 0)
    if isinstance(number, Value):
        if number.constant is None:
            return call.pin()
        number = number.constant.item()
    return call.output(constant=torch.tensor(float(number)).expand(call.shape))


@rule("detach")
def detach(call: Call) -> Result:
    """Training does not see through it."""
    return call.output(call["self"].layers, stopped=(call.record.op, call.record.module))


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
