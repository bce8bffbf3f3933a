"""Ops that move entries around."""

from paramsym.discovery.permuting.aligning import Pairing, cut, pair, regroup
from paramsym.discovery.permuting.registry import Call, Result, Value, rule
from paramsym.discovery.permuting.spaces import (
    ONE,
    UNIFORM,
    Axis,
    Factor,
    axis_size,
    fixed,
    uniform,
)


@rule(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as",
    "_reshape_alias", "reshape_as", "ravel",
)  # fmt: skip
def reshape(call: Call) -> Result:
    """The same entries in the same order, along other axes."""
    value = next(iter(call.values()))
    if value.shape == call.shape:
        return call.only(call.settle(value), of_parameter=value.of_parameter)
    if torch_dtype_view(call):
        return call.refuse()
    axes = regroup(call.spaces, value.axes, call.shape)
    return call.only(axes, of_parameter=value.of_parameter)


def torch_dtype_view(call: Call) -> bool:
    """Whether bits are read as another dtype (`view(dtype)`)."""
    return call.get("dtype") is not None


def _order(call: Call) -> list[int]:
    ndim = len(call["self"].axes)
    op = call.record.op
    if op in ("t", "numpy_T"):
        return list(range(ndim))[::-1]
    if op in ("mT", "adjoint"):
        return [*range(ndim - 2), ndim - 1, ndim - 2]
    if op == "permute":
        return [d % ndim for d in call["dims"]]
    if op == "movedim":
        return list(_moved(call, ndim))
    names = ("dim0", "dim1") if "dim0" in call.arguments else ("axis0", "axis1")
    a, b = (call[k] % max(ndim, 1) for k in names)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = order[b], order[a]
    return order


def _moved(call: Call, ndim: int) -> list[int]:
    source, destination = call["source"], call["destination"]
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    sources, targets = [d % ndim for d in sources], [d % ndim for d in targets]
    rest = iter(d for d in range(ndim) if d not in sources)
    return [sources[targets.index(k)] if k in targets else next(rest) for k in range(ndim)]


@rule(
    "transpose", "permute", "t", "movedim", "swapaxes", "swapdims", "numpy_T", "mT", "adjoint"
)  # fmt: skip
def transpose(call: Call) -> Result:
    """Axes in another order."""
    value = call["self"]
    axes = call.settle(value)
    return call.only([axes[d] for d in _order(call)], of_parameter=value.of_parameter)


@rule("expand", "expand_as", "broadcast_to")
def expand(call: Call) -> Result:
    """New positions hold what the one position held."""
    value = call["self"]
    return call.only(call.broadcast([value], Pairing.MULTIPLIED), of_parameter=value.of_parameter)


@rule("repeat")
def repeat(call: Call) -> Result:
    """Whole axes one after the other."""
    axes = [ONE] * (len(call.shape) - len(call["self"].axes)) + list(call.settle(call["self"]))
    return call.only(
        [_times(call, uniform(n), a) for a, n in zip(axes, call["repeats"], strict=True)]
    )


@rule("repeat_interleave")
def repeat_interleave(call: Call) -> Result:
    """Every position several times."""
    value, times, dim = call.get("self"), call.get("repeats"), call.get("dim")
    if not isinstance(value, Value) or not isinstance(times, int) or dim is None:
        return call.refuse()
    axes = list(call.settle(value))
    axes[dim] = _times(call, axes[dim], uniform(times))
    return call.only(axes)


def _times(call: Call, slow: Axis, fast: Axis) -> Axis:
    """The product of two axes."""
    (axis,) = regroup(call.spaces, [slow, fast], (axis_size(slow) * axis_size(fast),))
    return axis


@rule("slice", "narrow")
def slice_(call: Call) -> Result:
    """A range of positions; with steps their order is not followed."""
    value = call["self"]
    dim = call["dim"] % len(value.axes)
    axes = list(call.settle(value))
    size, kept = axis_size(axes[dim]), call.shape[dim]
    start = call["start"] if isinstance(call["start"], int | None) else None
    if kept == size and call.get("step", 1) == 1:
        return call.only(axes, of_parameter=value.of_parameter)
    if call.get("step", 1) != 1 or (start is None and call["start"] is not None) or kept == 0:
        call.spaces.fix_axis(axes[dim])
        axes[dim] = fixed(kept)
    else:
        start = start or 0
        start = max(0, start + size) if start < 0 else start
        axes[dim] = cut(call.spaces, axes[dim], (start, kept, size - start - kept))[1]
    return call.only(axes, of_parameter=value.of_parameter)


@rule("select")
def select(call: Call) -> Result:
    """One position of an axis; the axis is gone."""
    axes = list(call.settle(call["self"]))
    call.spaces.fix_axis(axes.pop(call["dim"]))
    return call.only(axes, of_parameter=call["self"].of_parameter)


@rule("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk",
      "unsafe_split_with_sizes")  # fmt: skip
def split(call: Call) -> Result:
    """An axis cut into consecutive pieces."""
    value = call["self"]
    dim = call["dim"] % len(value.axes)
    axes = call.settle(value)
    sizes = [shape[dim] for shape in call.shapes if shape is not None]
    if sum(sizes) != axis_size(axes[dim]):
        return call.refuse()
    pieces = cut(call.spaces, axes[dim], sizes)
    return [
        Value((*axes[:dim], piece, *axes[dim + 1 :]), of_parameter=value.of_parameter)
        for piece in pieces
    ]


@rule("unbind")
def unbind(call: Call) -> Result:
    """Every position of an axis by itself."""
    axes = list(call.settle(call["self"]))
    call.spaces.fix_axis(axes.pop(call["dim"]))
    return [Value(tuple(axes), of_parameter=call["self"].of_parameter) for _ in call.shapes]


@rule("cat", "concat", "concatenate")
def cat(call: Call) -> Result:
    """Axes one after the other; the other axes are one."""
    dim = call.get("dim", 0) % len(call.shape)
    pieces = [v for v in call["tensors"] if len(v.axes) == len(call.shape)]
    settled = [list(call.settle(v)) for v in pieces]
    joint = settled[0]
    for axes in settled[1:]:
        joint = [
            axis if a == dim else pair(call.spaces, axis, axes[a], Pairing.ADDED)
            for a, axis in enumerate(joint)
        ]
    joint[dim] = tuple(segment for axes in settled for segment in axes[dim])
    return call.only(joint)


@rule("stack")
def stack(call: Call) -> Result:
    """Tensors side by side, along a new axis."""
    first, *others = call["tensors"]
    joint = call.settle(first)
    for value in others:
        joint = [
            pair(call.spaces, a, b, Pairing.ADDED) for a, b in zip(joint, value.axes, strict=True)
        ]
    dim = call.get("dim", 0) % len(call.shape)
    return call.only([*joint[:dim], fixed(len(call["tensors"])), *joint[dim:]])


@rule("flip", "roll", "cumsum", "cumprod", "logcumsumexp", "tril", "triu")
def ordered(call: Call) -> Result:
    """Ops that know the order of positions along some axes."""
    value = call["self"]
    axes = list(call.settle(value))
    dims = call.get("dims", call.get("dim"))
    if call.record.op in ("tril", "triu"):
        dims = [-2, -1]
    dims = [dims] if isinstance(dims, int) else list(dims)
    if not dims:
        return call.refuse()
    for dim in dims:
        call.spaces.fix_axis(axes[dim])
        axes[dim] = fixed(axis_size(axes[dim]))
    linear = call.record.op in ("flip", "roll", "cumsum", "tril", "triu")
    return call.only(axes if linear else call.even(axes))


@rule("constant_pad_nd", "pad")
def pad(call: Call) -> Result:
    """Constants before and after; other ways of padding know the order of positions."""
    value, padding = call["self"], list(call["pad"])
    axes = list(call.settle(value))
    constant = call.get("mode", "constant") == "constant" and min(padding, default=0) >= 0
    for k in range(len(padding) // 2):
        dim = len(axes) - 1 - k
        before, after = padding[2 * k : 2 * k + 2]
        if constant:
            size = axis_size(axes[dim])
            ends = [((Factor(UNIFORM, n),),) if n else () for n in (before, after)]
            axes[dim] = (*ends[0], *axes[dim], *ends[1])
            assert axis_size(axes[dim]) == size + before + after
        else:
            call.spaces.fix_axis(axes[dim])
            axes[dim] = fixed(call.shape[dim])
    linear = constant and not call.get("value")
    return call.only(axes if linear else call.even(axes))


@rule("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
      "replication_pad2d", "replication_pad3d")  # fmt: skip
def mirror(call: Call) -> Result:
    """Padding by what is there, which knows the order of positions."""
    axes = list(call.settle(call["self"]))
    for dim in range(len(axes) - len(call["padding"]) // 2, len(axes)):
        call.spaces.fix_axis(axes[dim])
        axes[dim] = fixed(call.shape[dim])
    return call.only(axes)
