"""Sums of products written with letters: `einsum`, and what is like it."""

import numpy as np

from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("einsum")
def einsum(call: Call) -> Result:
    """Operands one after the other, each letter summed over where it occurs for the last time.
    Repeated letters in one operand are refused."""
    words = _words(call["equation"].replace(" ", ""), call["tensors"])
    if words is None:
        return call.refuse()
    *inputs, output = words
    space = sorted(set("".join(inputs)))
    operands = [
        _operand(word, value, space) for word, value in zip(inputs, call["tensors"], strict=True)
    ]
    first, *others = operands
    if not others:
        others = [Operand((), [1] * len(space))]
    for k, other in enumerate(others):
        needed = set(output).union(*inputs[k + 2 :])
        present = [max(sizes) > 1 for sizes in zip(first.extent, other.extent, strict=True)]
        summed = tuple(i for i, x in enumerate(space) if x not in needed and present[i])
        layers = contract(call.facts, first, other, summed)
        extent = [
            1 if i in summed else max(sizes)
            for i, sizes in enumerate(zip(first.extent, other.extent, strict=True))
        ]
        first = Operand(layers, extent)
    kept = [x for x in space if x in output]
    gone = tuple(i for i, x in enumerate(space) if x not in output)
    order = [kept.index(x) for x in output]
    return call.output(
        [Layer(np.squeeze(x.labels, gone).transpose(order), x.exponent) for x in first.layers]
    )


def _words(equation: str, operands: list[Value]) -> list[str] | None:
    """The letters of every operand and of the result; `None` if a letter repeats in one."""
    inputs, arrow, output = equation.partition("->")
    words = inputs.split(",")
    if "." in equation:  # other letters for the axes that an ellipsis stands for
        counts = [
            len(v.shape) - len(w.replace("...", "")) for w, v in zip(words, operands, strict=True)
        ]
        free = [x for x in map(chr, range(ord("A"), ord("z"))) if x.isalpha() and x not in equation]
        count = max(n for n, w in zip(counts, words, strict=True) if "..." in w)
        stand_in = "".join(free[:count])
        words = [
            w.replace("...", stand_in[count - n :]) for w, n in zip(words, counts, strict=True)
        ]
        output = output.replace("...", stand_in)
        if not arrow:
            return None
    if not arrow:
        letters = "".join(words)
        output = "".join(x for x in sorted(set(letters)) if letters.count(x) == 1)
    return None if any(len(set(w)) < len(w) for w in words) else [*words, output]


def _operand(word: str, value: Value, space: list[str]) -> Operand:
    """The value along the axes of all letters."""
    order = sorted(range(len(word)), key=lambda i: word[i])
    lifted = []
    for layer in pad_left(value.layers, len(word)):
        labels = layer.labels.transpose(order)
        sizes = dict(zip(sorted(word), labels.shape, strict=True))
        lifted.append(Layer(labels.reshape([sizes.get(x, 1) for x in space]), layer.exponent))
    extent = dict(zip(word, value.varies(), strict=True))
    return Operand(tuple(lifted), [extent.get(x, 1) for x in space], value.parameter)


@rule("_trilinear")
def trilinear(call: Call) -> Result:
    """Σ x₁ W x₂ over some axes, one pair after the other."""
    ndim = len(call["i1"].shape) + len(call["expand1"])
    lifted = [_lifted(call[f"i{k}"], call[f"expand{k}"], ndim) for k in (1, 2, 3)]
    summed = [a % ndim for a in call["sumdim"]]
    first, second, third = (Operand(v.layers, v.varies(), v.parameter) for v in lifted)
    early = tuple(a for a in summed if third.extent[a] == 1)
    product = contract(call.facts, first, second, early)
    extent = [
        1 if a in early else max(sizes)
        for a, sizes in enumerate(zip(first.extent, second.extent, strict=True))
    ]
    late = tuple(a for a in summed if a not in early)
    layers = contract(call.facts, Operand(product, extent), third, late)
    gone = tuple(summed)
    return call.output([Layer(np.squeeze(x.labels, gone), x.exponent) for x in layers])


def _lifted(value: Value, axes: list[int], ndim: int) -> Value:
    """The value with new axes of size 1."""
    axes = sorted(a % ndim for a in axes)
    layers = pad_left(value.layers, len(value.shape))
    shape = list(value.shape)
    for a in axes:
        shape.insert(a, 1)
    lifted = tuple(Layer(np.expand_dims(x.labels, tuple(axes)), x.exponent) for x in layers)
    return Value(tuple(shape), lifted, parameter=value.parameter)
