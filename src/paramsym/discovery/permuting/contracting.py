"""Sums of products: linear layers, matrix products, convolutions, attention."""

from collections.abc import Sequence

from paramsym.discovery.permuting.aligning import Pairing, pair, regroup
from paramsym.discovery.permuting.registry import Call, Result, Value, rule
from paramsym.discovery.permuting.spaces import ONE, Axis, axis_size, fixed, uniform


def contract(
    call: Call, left: Value, right: Value, letters: tuple[str, str, str]
) -> tuple[Axis, ...]:
    """Σ left · right in the notation of `einsum`, without repeated letters.

    Letters that both have pair their axes; those that the result lacks are summed over, so that
    their changes of sign must cancel.
    """
    spaces, (first, second, result) = call.spaces, letters
    axes: dict[str, Axis] = {}
    for value, word, other in ((left, first, second), (right, second, first)):
        for letter, axis in zip(word, call.settle(value), strict=True):
            if letter not in result and value.of_parameter:
                spaces.mark_read(axis)
            if letter not in axes:
                axes[letter] = axis
            elif axis_size(axis) == 1 or axis_size(axes[letter]) == 1:
                single, axis = sorted((axis, axes[letter]), key=axis_size)
                assert single == ONE
                axes[letter] = axis
            else:
                how = Pairing.MULTIPLIED if letter in result else Pairing.CONTRACTED
                axes[letter] = pair(spaces, axes[letter], axis, how)
                continue
            if letter not in result and letter not in other:
                spaces.even(axes[letter])
    summed = tuple(axes[letter] for letter in result)
    spaces.inner += [tuple(axes.values()), summed]
    return summed


def _product(call: Call, left: Value, right: Value) -> Value:
    """`torch.matmul`."""
    a, b = len(left.axes), len(right.axes)
    batch = "uvwxyz"[: max(a, b) - 2] if max(a, b) > 2 else ""
    first = (batch[len(batch) - (a - 2) :] if a > 2 else "") + ("ik" if a > 1 else "k")
    second = (batch[len(batch) - (b - 2) :] if b > 2 else "") + ("kj" if b > 1 else "k")
    result = batch + ("i" if a > 1 else "") + ("j" if b > 1 else "")
    return Value(contract(call, left, right, (first, second, result)))


@rule("linear")
def linear(call: Call) -> Result:
    """y = x Wᵀ + b."""
    value, weight = call["input"], call["weight"]
    batch = "uvwxyz"[: len(value.axes) - 1]
    word = "jk" if len(weight.axes) == 2 else "k"
    result = batch + ("j" if len(weight.axes) == 2 else "")
    product = Value(contract(call, value, weight, (batch + "k", word, result)))
    return _plus(call, product, call.get("bias"))


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(call: Call) -> Result:
    """Matrix products, batched or not."""
    right = next(call[k] for k in ("other", "mat2", "vec", "tensor") if k in call.arguments)
    return call.only(_product(call, call["self"], right).axes)


@rule("addmm", "baddbmm", "addmv")
def addmm(call: Call) -> Result:
    """β·bias + α·(left @ right)."""
    names = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}
    left, right = (call[k] for k in names[call.record.op])
    return _plus(call, _product(call, left, right), call["self"])


@rule("einsum")
def einsum(call: Call) -> Result:
    """Two operands without ellipsis or repeated letters; others are refused."""
    inputs, arrow, result = call["equation"].replace(" ", "").partition("->")
    words, operands = inputs.split(","), call["tensors"]
    repeated = any(len(set(word)) < len(word) for word in words)
    if len(operands) != 2 or "." in inputs or not arrow or repeated:
        return call.refuse()
    left, right = operands
    return call.only(contract(call, left, right, (words[0], words[1], result)))


def _plus(call: Call, product: Value, bias: Value | None) -> Result:
    if bias is None:
        return call.only(product.axes)
    return call.only(call.broadcast([product, bias], Pairing.ADDED))


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution", "conv_transpose1d",
      "conv_transpose2d", "conv_transpose3d")  # fmt: skip
def convolution(call: Call) -> Result:
    """Channels are summed over, in groups; positions in space stay where they are."""
    value, weight, groups = call["input"], call["weight"], call["groups"]
    transposed = bool(call.get("transposed", "transpose" in call.record.op))
    spaces = call.spaces
    axes, kernel = list(call.settle(value)), list(call.settle(weight))
    batched = len(axes) == len(kernel)
    for axis in (*axes[1 + batched :], *kernel[2:]):
        spaces.fix_axis(axis)
    channels, per_group = axis_size(axes[batched]), axis_size(axes[batched]) // groups
    if transposed:
        group, summed = regroup(spaces, [kernel[0]], (groups, per_group))
        made = kernel[1]
    else:
        group, made = regroup(spaces, [kernel[0]], (groups, axis_size(kernel[0]) // groups))
        summed = kernel[1]
    assert channels == groups * per_group
    of_group, of_channel = regroup(spaces, [axes[batched]], (groups, per_group))
    if weight.of_parameter:
        spaces.mark_read(summed)
    group = pair(spaces, group, of_group, Pairing.MULTIPLIED)
    pair(spaces, of_channel, summed, Pairing.CONTRACTED)
    (out,) = regroup(spaces, [group, made], (axis_size(group) * axis_size(made),))
    bias = call.get("bias")
    if bias is not None:
        out = pair(spaces, out, bias.axes[0], Pairing.ADDED)
        axes[:batched] = call.even(axes[:batched])  # it is the same for all samples
    shape = call.shape
    return call.only([*axes[:batched], out, *(fixed(n) for n in shape[1 + batched :])])


@rule("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
      "_scaled_dot_product_efficient_attention", "_scaled_dot_product_flash_attention",
      "_scaled_dot_product_attention_math")  # fmt: skip
def attention(call: Call) -> Result:
    """softmax(q kᵀ + mask) v, in heads; query heads that share a key head follow one another."""
    q, k, v = call["query"], call["key"], call["value"]
    if call.get("dropout_p"):
        return call.refuse()
    spaces = call.spaces
    if call.get("is_causal"):
        spaces.fix_axis(q.axes[-2])
        spaces.fix_axis(k.axes[-2])
    heads = q.shape[-3] if len(q.axes) > 2 else 1
    if len(k.axes) > 2 and k.shape[-3] not in (1, heads):
        k, v = (_repeated(call, x, heads) for x in (k, v))
    batch = "uvwxyz"[: len(q.axes) - 2]
    scores = contract(call, q, k, (batch + "ik", batch + "jk", batch + "ij"))
    scores = tuple(map(spaces.even, scores))
    mask = call.get("attn_mask", call.get("attn_bias"))
    if mask is not None:
        shape = (*q.shape[:-1], k.shape[-2])
        same = [_stretched(a, n) for a, n in zip(_lifted(mask, len(shape)), shape, strict=True)]
        scores = tuple(
            pair(spaces, a, spaces.even(b), Pairing.ADDED) if b is not None else a
            for a, b in zip(scores, same, strict=True)
        )
    return call.only(contract(call, Value(scores), v, (batch + "ij", batch + "jk", batch + "ik")))


def _lifted(value: Value, ndim: int) -> Sequence[Axis]:
    return [ONE] * (ndim - len(value.axes)) + list(value.axes)


def _stretched(axis: Axis, size: int) -> Axis | None:
    return axis if axis_size(axis) == size and size > 1 else None


def _repeated(call: Call, value: Value, heads: int) -> Value:
    """Each key head as often as query heads share it."""
    axes = list(call.settle(value))
    times = heads // axis_size(axes[-3])
    (axes[-3],) = regroup(call.spaces, [axes[-3], uniform(times)], (heads,))
    return Value(tuple(axes))
