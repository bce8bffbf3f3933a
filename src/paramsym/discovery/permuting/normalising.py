"""Normalisations and other reductions, pooling, embeddings, and ops with noise."""

from paramsym.discovery.permuting.aligning import Pairing, pair, regroup
from paramsym.discovery.permuting.pointwise import odd
from paramsym.discovery.permuting.registry import Call, Result, Value, rule, without_signs
from paramsym.discovery.permuting.spaces import Axis, axis_size, fixed

LINEAR_SUMS = ("sum", "mean", "nansum")
NORMS = ("norm", "linalg_vector_norm")
SPREADS = ("var", "std")


def _affine(
    call: Call, axes: list[Axis], dims: list[int], weight: Value | None, bias: Value | None
) -> list[Axis]:
    """Multiplied by a gain and shifted by a bias that vary along some axes."""
    for parameter, how in ((weight, Pairing.MULTIPLIED), (bias, Pairing.ADDED)):
        if parameter is None:
            continue
        for dim, axis in zip(dims, parameter.axes, strict=True):
            axes[dim] = pair(call.spaces, axes[dim], axis, how)
    return axes


@rule("layer_norm", "native_layer_norm")
def layer_norm(call: Call) -> Result:
    """Commutes with permutations of what it normalises; the mean keeps signs from changing."""
    axes = list(call.even(call.settle(call["input"])))
    dims = list(range(len(axes) - len(call["normalized_shape"]), len(axes)))
    call.note_statistics(axes, dims)
    return call.only(_affine(call, axes, dims, call.get("weight"), call.get("bias")))


@rule("rms_norm", "_fused_rms_norm")
def rms_norm(call: Call) -> Result:
    """Commutes with permutations and signs of what it normalises."""
    axes = list(call.settle(call["input"]))
    dims = list(range(len(axes) - len(call["normalized_shape"]), len(axes)))
    call.note_statistics(axes, dims)
    return call.only(_affine(call, axes, dims, call.get("weight"), None))


@rule("batch_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit",
      "_native_batch_norm_legit_functional", "_native_batch_norm_legit_no_training",
      "_batch_norm_with_update", "_batch_norm_with_update_functional",
      "_batch_norm_no_update", "batch_norm_with_update")  # fmt: skip
def batch_norm(call: Call) -> Result:
    """By the batch's own statistics every channel for itself, up to its sign.

    By running statistics the channels differ, unless these move with the parameters. A mean and a
    bias of a channel keep its entries from changing sign by themselves.
    """
    axes = [
        axis if d == 1 else call.spaces.even(axis)
        for d, axis in enumerate(call.settle(call["input"]))
    ]
    call.note_statistics(axes, [d for d in range(len(axes)) if d != 1])
    op = call.record.op
    own = "with_update" in op or bool(call.get("training", call.get("train", False)))
    mean, variance = call.get("running_mean"), call.get("running_var")
    moving = all(isinstance(x, Value) and x.of_parameter for x in (mean, variance))
    if not own and moving:
        axes[1] = pair(call.spaces, axes[1], mean.axes[0], Pairing.ADDED)
        unsigned = call.spaces.even(variance.axes[0])
        axes[1] = pair(call.spaces, axes[1], unsigned, Pairing.MULTIPLIED)
    elif not own:
        call.spaces.fix_axis(axes[1])
        axes[1] = fixed(axis_size(axes[1]))
    return call.only(_affine(call, axes, [1], call.get("weight"), call.get("bias")))


@rule("group_norm", "native_group_norm")
def group_norm(call: Call) -> Result:
    """Commutes with permutations of groups, and of channels within each."""
    groups = call["num_groups"] if "num_groups" in call.arguments else call["group"]
    axes = list(call.even(call.settle(call["input"])))
    channels = axis_size(axes[1])
    parts = regroup(call.spaces, [axes[1]], (groups, channels // groups))
    call.note_statistics([axes[0], parts[0]], [])
    (axes[1],) = regroup(call.spaces, parts, (channels,))
    return call.only(_affine(call, axes, [1], call.get("weight"), call.get("bias")))


@rule(
    *LINEAR_SUMS, *NORMS, *SPREADS, "var_mean", "std_mean", "amax", "amin", "prod", "logsumexp",
    "any", "all", "count_nonzero",
)  # fmt: skip
def reduce(call: Call) -> Result:
    """Symmetric functions of the positions along some axes."""
    value = next(iter(call.values()))
    op, ndim = call.record.op, len(value.axes)
    dims = call.get("dim")
    dims = list(range(ndim)) if dims is None or dims == [] else dims
    dims = {d % ndim for d in ([dims] if isinstance(dims, int) else dims)} if ndim else set()
    axes = list(call.settle(value))
    if op in NORMS:
        axes = list(without_signs(axes))
    elif op in LINEAR_SUMS or op in SPREADS:
        for d in dims:
            axes[d] = call.spaces.even(axes[d])
        axes = list(without_signs(axes)) if op in SPREADS else axes
    else:
        axes = list(call.even(axes))
    keep = bool(call.get("keepdim", False))
    kept = [fixed(1) if d in dims else axis for d, axis in enumerate(axes) if keep or d not in dims]
    return [Value(tuple(kept)) for _ in call.shapes]


@rule("max", "min")
def extremum(call: Call) -> Result:
    """Along one axis: values, and positions, which know the order there."""
    if "other" in call.arguments:
        axes = call.broadcast(
            [Value(call.even(call.settle(v))) for v in call.values()], Pairing.MULTIPLIED
        )
        return call.only(axes)
    if "dim" not in call.arguments:
        call.even(call.settle(call["self"]))
        return call.only([])
    axes = list(call.even(call.settle(call["self"])))
    dim = call["dim"] % max(len(axes), 1)
    if any(call.is_read[1:]) and axes:
        call.spaces.fix_axis(axes[dim])
    if axes:
        axes[dim : dim + 1] = [fixed(1)] if call["keepdim"] else []
    return [Value(tuple(axes)) for _ in call.shapes]


_POOLS = {
    f"{kind}{k}d": k
    for k in (1, 2, 3)
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool",
                 "_adaptive_avg_pool")
}  # fmt: skip
_POOLS |= {f"max_pool{k}d_with_indices": k for k in (2, 3)}
_RESAMPLES = ("upsample_nearest{}d", "_upsample_nearest_exact{}d")
_POOLS |= {name.format(k): k for name in _RESAMPLES for k in (1, 2, 3)}
_POOLS |= {"upsample_bilinear2d": 2, "upsample_bicubic2d": 2, "upsample_linear1d": 1,
           "_upsample_bilinear2d_aa": 2, "_upsample_bicubic2d_aa": 2,
           "upsample_trilinear3d": 3}  # fmt: skip


@rule(*_POOLS)
def pool(call: Call) -> Result:
    """Windows along the last axes, the same for every channel."""
    value = next(iter(call.values()))
    axes = list(call.settle(value))
    for dim in range(len(axes) - _POOLS[call.record.op], len(axes)):
        call.spaces.fix_axis(axes[dim])
        axes[dim] = fixed(call.shape[dim])
    return call.only(call.even(axes) if "max" in call.record.op else axes)


@rule("embedding")
def embedding(call: Call) -> Result:
    """Rows of a table, chosen by the data."""
    table, rows = call["weight"], call["indices"]
    call.spaces.fix_axis(table.axes[0])
    return call.only([*(fixed(n) for n in rows.shape), table.axes[1]])


@rule("index_select")
def index_select(call: Call) -> Result:
    """Positions chosen by the data, along one axis."""
    axes = list(call.settle(call["self"]))
    dim = call["dim"]
    call.spaces.fix_axis(axes[dim])
    axes[dim] = fixed(call.shape[dim])
    return call.only(axes)


@rule("index")
def index(call: Call) -> Result:
    """As `index_select`, by one tensor; others are refused."""
    indices = call["indices"]
    given = [k for k, x in enumerate(indices) if isinstance(x, Value)]
    if len(given) != 1:
        return call.refuse()
    chosen, axes = indices[given[0]], list(call.settle(call["self"]))
    if not chosen.is_fixed or len(call.shape) != len(axes) - 1 + len(chosen.axes):
        return call.refuse()
    call.spaces.fix_axis(axes[given[0]])
    axes[given[0] : given[0] + 1] = [fixed(n) for n in chosen.shape]
    if tuple(map(axis_size, axes)) != call.shape:  # a mask takes several axes at once
        return call.refuse()
    return call.only(axes)


@rule("_weight_norm_interface", "_weight_norm")
def weight_norm(call: Call) -> Result:
    """g·v/‖v‖, by slices along one axis."""
    v, g, dim = call["v"], call["g"], call["dim"]
    axes = list(call.settle(v))
    along = g.axes if len(g.axes) == len(axes) else ()  # one number for all
    for d, axis in enumerate(along):
        if axis_size(axis) == 1:
            continue
        if d != dim % len(axes):
            return call.refuse()
        axes[d] = pair(call.spaces, axes[d], axis, Pairing.MULTIPLIED)
    call.note_statistics(axes, [d for d in range(len(axes)) if not along or d != dim % len(axes)])
    return call.only(axes)


@rule("dropout", "native_dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(call: Call) -> Result:
    """Where it is on, one draw of it treats entries differently."""
    active = call.get("train", call.get("training", True)) is not False
    rate = call.get("p", 0.0)
    return call.refuse() if active and rate else odd(call)
