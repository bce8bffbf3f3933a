"""Linear layers and matrix products."""

import numpy as np
import torch

from paramsym.discovery.labels import Layer, Value, merge, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add


@rule("linear")
def linear(call: Call) -> Result:
    """y = x Wᵀ + b."""
    product = matrix_product(call, call["input"], transposed(call["weight"]), call.shape)
    bias = call["bias"]
    return product if bias is None else add(call, product, bias)


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot")
def matmul(call: Call) -> Result:
    """Matrix products, batched or not."""
    left = call["self"]
    right = next(call[k] for k in ("other", "mat2", "vec", "tensor") if k in call.arguments)
    return matrix_product(call, left, right, call.shape)


@rule("addmm", "baddbmm", "addmv")
def addmm(call: Call) -> Result:
    """β·bias + α·(left @ right)."""
    if call["beta"] == 0 or call["alpha"] == 0:
        return call.refuse()
    names = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}
    left, right = (call[k] for k in names[call.record.op])
    return add(call, matrix_product(call, left, right, call.shape), call["self"])


def transposed(weight: Value) -> Value:
    if len(weight.shape) == 1:
        return weight
    return Value(
        weight.shape[::-1],
        tuple(Layer(x.labels.T, x.exponent) for x in pad_left(weight.layers, 2)),
        constant=None if weight.constant is None else weight.constant.T,
        parameter=weight.parameter,
    )


def matrix_product(call: Call, left: Value, right: Value, shape: tuple[int, ...]) -> Value:
    """(…, M, K) @ (…, K, N), with the conventions of `torch.matmul` for vectors."""
    if left.is_zero or right.is_zero:  # the first state of a recurrence
        return Value(shape, constant=torch.zeros(()).expand(shape))
    row, column = len(left.shape) == 1, len(right.shape) == 1
    a = [Layer(x.labels[None] if row else x.labels, x.exponent) for x in _full(left)]
    b = [Layer(x.labels[:, None] if column else x.labels, x.exponent) for x in _full(right)]
    extent_a = [1, *left.varies()] if row else left.varies()
    extent_b = [*right.varies(), 1] if column else right.varies()
    ndim = max(len(extent_a), len(extent_b))
    # The common space is (…, M, K, N).
    a = [Layer(x.labels[..., None], x.exponent) for x in pad_left(a, ndim)]
    b = [Layer(np.expand_dims(x.labels, -3), x.exponent) for x in pad_left(b, ndim)]
    extent_a = [1] * (ndim - len(extent_a)) + extent_a + [1]
    extent_b = [1] * (ndim - len(extent_b)) + extent_b
    extent_b = [*extent_b[:-2], 1, *extent_b[-2:]]
    layers = contract(
        call.facts,
        Operand(tuple(a), extent_a, left.parameter),
        Operand(tuple(b), extent_b, right.parameter),
        (ndim - 1,),
    )
    dropped = [ndim - 1] + ([ndim - 2] if row else []) + ([ndim] if column else [])
    squeezed = (Layer(np.squeeze(x.labels, tuple(dropped)), x.exponent) for x in layers)
    return Value(shape, merge(squeezed))


def _full(value: Value) -> tuple[Layer, ...]:
    return pad_left(value.layers, len(value.shape))
