"""Normalisations and softmax: they remove what is constant along what they normalise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.fixed_statistics import constant_source
from paramsym.discovery.shifting.adding import broadcast, unbroadcast
from paramsym.discovery.shifting.averaging import of_average
from paramsym.discovery.shifting.contracting import Product, through_parameter
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.supporting import plus, times
from paramsym.discovery.shifting.tolerance import (
    Tolerance,
    constant_along,
    joined_along,
    meet,
    pinned,
    unread,
)
from paramsym.discovery.shifting.values import Piece, Support, Value, View
from paramsym.discovery.shifting.words import Factor


@op("layer_norm", "native_layer_norm")
class LayerNorm(Op):
    """Removes what is constant along the last axes; 1/γ is orthogonal to what comes out, up to the
    bias."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        value = call["input"]
        ndim, normalized = len(value.shape), len(call["normalized_shape"])
        if any(not t.is_unread for t in outputs[1:]):  # its mean is read too
            return {}
        axes = range(ndim - normalized, ndim)
        found = {("input", 0): constant_along(ndim, axes, "layer norm")}
        if isinstance(call["bias"], Value):
            found["bias", 0] = unbroadcast(outputs[0], call["bias"].shape, value.shape)
        return found

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        if key[0] != "bias":
            raise Refused
        return {0: piece.at(broadcast(piece.labels, call["bias"].shape, call.shape))}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        if len(call["normalized_shape"]) != 1:
            return {}
        axis = len(call.shape) - 1
        known = Support(axis)
        for name, change in (("weight", times), ("bias", plus)):
            given = call[name]
            known = known if given is None else change(known, given, 0)
            if known is None:
                return {}
        return {0: (known,)}


@final
@dataclass(frozen=True)
class Centering(Op):
    """A value minus its own mean along some axes, which a LayerNorm in single calls begins with.

    What the mean passes on is part of it.
    """

    axes: tuple[int, ...]

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        ndim = len(call["self"].shape)
        return {
            ("self", 0): constant_along(ndim, self.axes, "layer norm"),
            ("other", 0): unread(ndim),
        }

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        return {0: (Support(self.axes[0]),) if len(self.axes) == 1 else ()}


def centering(call: Call, made_by: Mapping[int, tuple[Call, int]]) -> Centering | None:
    """Whether a difference subtracts the mean of what it is taken from.

    Args:
        call: The difference.
        made_by: For every value the call that it comes from, and the position among its outputs.
    """
    value, other = call.get("self"), call.get("other")
    if call.record.op.removesuffix("_") != "sub" or call.get("alpha", 1) != 1:
        return None
    if not isinstance(value, Value) or not isinstance(other, Value):
        return None
    mean, number, kept = *made_by.get(other.number, (call, 0)), None
    if mean.record.op == "unsqueeze":  # the axis that the mean did not keep
        kept = mean["dim"] % len(mean.shape)
        mean, number = made_by.get(mean["self"].number, (call, 0))
    if (mean.record.op, number) not in (("mean", 0), ("var_mean", 1), ("std_mean", 1)):
        return None
    if mean["self"].number != value.number:
        return None
    axes = _axes(mean)
    if kept is not None:
        return Centering(axes) if axes == (kept,) and not mean.get("keepdim") else None
    # Without the axes kept, the mean is broadcast along leading ones.
    return Centering(axes) if mean.get("keepdim") or axes == tuple(range(len(axes))) else None


def _axes(call: Call) -> tuple[int, ...]:
    """The axes along which a mean or a variance is taken."""
    ndim, dims = len(call["self"].shape), call.get("dim")
    dims = range(ndim) if dims is None or dims == [] else np.atleast_1d(dims).tolist()
    return tuple(sorted(d % ndim for d in dims))


@op("group_norm", "native_group_norm")
class GroupNorm(Op):
    """Removes what is constant on the channels of a group and on all positions."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        value = call["input"]
        ndim, channels = len(value.shape), value.shape[1]
        groups = call["num_groups"] if "num_groups" in call.arguments else call["group"]
        labels = np.arange(channels) // (channels // groups)
        labels = labels.reshape(1, channels, *[1] * (ndim - 2))
        found = {("input", 0): Tolerance(labels, frozenset({0}), frozenset({"group norm"}))}
        return {**found, **_bias(call, outputs[0], ndim)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        return _push_bias(call, key, piece, len(call["input"].shape))


@op("_native_batch_norm_legit_functional", "_native_batch_norm_legit", "native_batch_norm",
    "batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")  # fmt: skip
class BatchNorm(Op):
    """In training removes what is constant within a channel; in evaluation it scales channels."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        value = call["input"]
        ndim = len(value.shape)
        others = [a for a in range(ndim) if a != 1]
        found: dict[Key, Tolerance] = {}
        if call.get("training", "no_training" not in call.record.op):
            found["input", 0] = constant_along(ndim, others, "batch norm")
        elif outputs[0].frees(1):
            found["input", 0] = outputs[0]
        return {**found, **_bias(call, outputs[0], ndim)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        if not call.get("training", "no_training" not in call.record.op):
            return _push_past_statistics(call, key, piece)
        return _push_bias(call, key, piece, len(call["input"].shape))


@op("instance_norm")
class InstanceNorm(Op):
    """Removes what is constant within a channel of a sample, by the sample's own statistics."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        ndim = len(call["input"].shape)
        found: dict[Key, Tolerance] = {}
        if call["use_input_stats"]:
            found["input", 0] = constant_along(ndim, range(2, ndim), "instance norm")
        elif outputs[0].frees(1):
            found["input", 0] = outputs[0]
        return {**found, **_bias(call, outputs[0], ndim)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        if not call["use_input_stats"]:
            return _push_past_statistics(call, key, piece)
        return _push_bias(call, key, piece, len(call["input"].shape))


def _bias(call: Call, output: Tolerance, ndim: int) -> dict[Key, Tolerance]:
    """What the bias of the channels may do."""
    if not isinstance(call["bias"], Value):
        return {}
    back = joined_along(output, [a for a in range(ndim) if a != 1])
    free = frozenset({0} if 1 in back.free else ())
    return {("bias", 0): Tolerance(back.labels.reshape(-1), free, back.cause)}


def _push_bias(call: Call, key: Key, piece: Piece, ndim: int) -> Mapping[int, Piece]:
    if key[0] != "bias":
        raise Refused
    return {0: piece.at(piece.labels.reshape(1, -1, *[1] * (ndim - 2)))}


def _push_past_statistics(call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
    """By statistics that do not depend on data, a shift of the input is multiplied by γ/σ, and one
    of the mean by −γ/σ.

    Raises:
        Refused: If σ is no constant and no parameter as it is, or the gain is none.
    """
    value, variance, gain = call["input"], call["running_var"], call["weight"]
    if key[0] not in ("input", "running_mean"):
        return _push_bias(call, key, piece, len(value.shape))
    if gain is not None and gain.view is None:
        raise Refused
    if key[0] == "running_mean":
        labels = piece.labels.reshape(1, -1, *[1] * (len(value.shape) - 2))
        piece = piece.at(labels).times(-1.0)
    letters = ("n", "c", *(f"x{k}" for k in range(len(value.shape) - 2)))
    product = Product((("input", 0), ("weight", 0)), (letters, ("c",)), letters)
    view, inverse = _inverse_deviation(variance, call["eps"])
    piece = through_parameter(product, 0, piece, view, variance.shape)
    *others, last = piece.word.factors
    factors = (*others, replace(inverse, axes=last.axes))
    piece = replace(piece, word=replace(piece.word, factors=factors))
    return {0: piece if gain is None else
            through_parameter(product, 0, piece, gain.view, gain.shape)}  # fmt: skip


def _inverse_deviation(variance: Value | None, eps: object) -> tuple[View, Factor]:
    """1/σ as a factor of a word. Where the variance moves, it is that without ε."""
    if variance is None or not isinstance(eps, int | float):
        raise Refused
    if variance.constant is None:
        if variance.view is None or not variance.view.is_whole:
            raise Refused
        return variance.view, Factor(variance.view.parameter, (), -0.5)
    source = constant_source(*variance.constant, power=-0.5, offset=float(eps))
    name = source.slot.parameter
    return View.of(name, variance.shape), Factor(name, (), -0.5, source.offset, source.values)


@op("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax")
class Softmax(Op):
    """Removes what is constant along its axis; its rows add up to one."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        value = call["self"]
        if not value.shape:
            return {}
        return {("self", 0): constant_along(len(value.shape), [call["dim"]], "softmax")}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        # The safe one gives zeros where a row is masked as a whole.
        if call.record.op not in ("softmax", "_softmax") or not call.shape:
            return {}
        return {0: (Support(call["dim"] % len(call.shape), constant=1.0),)}


@op("var", "std", "var_mean", "std_mean")
class Spread(Op):
    """A variance does not see the mean; the mean beside it does."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        value = call["self"]
        if not value.shape:
            return {}
        found = constant_along(len(value.shape), _axes(call), "variance")
        if not all(tolerance.is_unread for tolerance in outputs[1:]):
            keeps = bool(call.get("keepdim", False))
            found = meet(found, of_average(outputs[1], value.shape, _axes(call), keeps))
        return {("self", 0): found}


@op("masked_fill")
class MaskedFill(Op):
    """A mask that a softmax is to leave out, by a number beside which all scores are nothing."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        fill, value = call["value"], call["self"]
        out = outputs[0]
        masks = isinstance(fill, int | float) and fill <= LEAST
        if not masks or out.cause != frozenset({"softmax"}) or value.shape != call.shape:
            return {("self", 0): pinned(len(value.shape))}
        return {("self", 0): out}


@op("where")
class Where(Op):
    """A mask, as `masked_fill`."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        fill, value, out = call["other"], call["self"], outputs[0]
        masks = isinstance(fill, int | float) and fill <= LEAST
        if not masks or not isinstance(value, Value) or out.cause != frozenset({"softmax"}):
            return {}
        return {("self", 0): unbroadcast(out, value.shape, call.shape)}


LEAST = -1e4
"""From here on a softmax gives exactly zero."""
