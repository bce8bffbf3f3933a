"""Losses as ops: distances are made of sums and powers; others have no linear symmetry."""

from dataclasses import replace

import numpy as np

from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops.powers import power_of
from paramsym.discovery.ops.reductions import reduce
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add

_ENTRIES = 0
"""The reduction that keeps all entries."""


@rule("mse_loss")
def squared_error(call: Call) -> Result:
    """(x − y)², entry by entry, or their mean or sum."""
    difference = add(call, call["self"], call["target"], -1)
    square = power_of(replace(call, shapes=(difference.shape,)), difference, 2.0)
    return square if call["reduction"] == _ENTRIES else reduce(call, square, None, False)


@rule(
    "huber_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cross_entropy_loss", "nll_loss", "nll_loss_nd", "nll_loss2d", "nll_loss_forward",
    "nll_loss2d_forward", "kl_div", "poisson_nll_loss", "soft_margin_loss", "multi_margin_loss",
    "multilabel_margin_loss_forward", "hinge_embedding_loss", "margin_ranking_loss", "_ctc_loss",
    "_use_cudnn_ctc_loss",
)  # fmt: skip
def loss(call: Call) -> Result:
    """Losses that neither scales nor rotations leave alone."""
    return call.pin()


@rule("_cdist_forward", "_euclidean_dist", "cdist")
def distances(call: Call) -> Result:
    """‖x_i − y_j‖ for all vectors of two lists."""
    if call.get("p", 2.0) == 0:
        return call.pin()
    left, right = (_beside(call[name], axis) for name, axis in (("x1", -2), ("x2", -3)))
    difference = add(call, left, right, -1)
    euclidean = call.get("p", 2.0) == 2
    if not euclidean:
        call.facts.isolate_all(difference)
    square = replace(difference, is_square=euclidean)
    return replace(reduce(call, square, -1, False), is_norm=True)


def _beside(value: Value, axis: int) -> Value:
    """The value with a new axis of size 1."""
    shape = list(value.shape)
    shape.insert(len(shape) + 1 + axis, 1)
    layers = pad_left(value.layers, len(value.shape))
    lifted = tuple(Layer(np.expand_dims(x.labels, axis), x.exponent) for x in layers)
    return Value(tuple(shape), lifted)
