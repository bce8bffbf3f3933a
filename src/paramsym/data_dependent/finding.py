"""A hidden space by the names of its layers, checked by running the model."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from paramsym.data_dependent.hidden_space import CHANNEL_AXES, HiddenSpace
from paramsym.data_dependent.requirements import require_finite
from paramsym.data_dependent.runs import Inputs, Run, run

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def hidden_space(
    model: nn.Module, writer: str, readers: str | Sequence[str], inputs: Inputs
) -> HiddenSpace:
    """The hidden space between a layer and those that read it, checked by running the model.

    The layers are of `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`; the hidden space of a
    convolution is that of its channels. Whatever the model does in between is σ: activations,
    norms, pooling, means over tokens.

    Args:
        model: Any module.
        writer: Name of the layer that writes, as in `model.named_modules()`.
        readers: Names of all layers that read it, or the only one's.
        inputs: A tuple of the model's arguments, for the check. Not constant: that a reader takes
            something else too is seen from other inputs, which are these in another order and,
            where they are no integers, on another scale.

    Raises:
        ValueError: If a name is unknown; a layer is called more or less than once, shares its
            parameters, is used elsewhere, has groups, or has a size that does not fit; a reader
            takes something else too, or another reader's result; the writer has other readers; or
            the model is random in its present mode, or not finite at the inputs.
        TypeError: If a layer is of another kind.
    """
    names = (readers,) if isinstance(readers, str) else tuple(readers)
    if not names or len({writer, *names}) != 1 + len(names):
        raise ValueError(
            f"`writer` and `readers` must be two layers or more, each once; got {writer!r} and "
            f"{list(names)}."
        )
    front = _layer(model, writer, "writer")
    width = front.weight.shape[0]
    for name in names:
        took = _layer(model, name, "readers").weight.shape[1]
        if took != width:
            raise ValueError(
                f"`readers` {name!r} must take the {width} coordinates that {writer!r} writes, "
                f"and nothing else; it takes {took}."
            )
    if not isinstance(inputs, tuple):
        raise TypeError(
            f"`inputs` must be a tuple of the model's arguments; got {type(inputs).__name__}. "
            "Use `(x,)`."
        )
    space = HiddenSpace(model, writer, names, width)
    _require_untied(space)
    with torch.no_grad():
        _require_alone(space, inputs)
    return space


def _layer(model: nn.Module, name: str, role: str) -> Layer:
    modules = dict(model.named_modules())
    if name not in modules:
        close = difflib.get_close_matches(name, modules, 1)
        hint = f"Did you mean {close[0]!r}?" if close else "See `model.named_modules()`."
        raise ValueError(f"`{role}` names no module of the model: {name!r}. {hint}")
    module = modules[name]
    # By exact type: a subclass may do anything with its weight.
    if type(module) not in CHANNEL_AXES or not isinstance(module, Layer):
        raise TypeError(
            f"`{role}` must name an nn.Linear or nn.Conv1d, 2d, 3d, whose rows or columns are the "
            f"hidden space; {name!r} is {type(module).__name__}. Others are not supported."
        )
    if getattr(module, "groups", 1) != 1:
        raise ValueError(
            f"{name!r} must have one group of channels, because g mixes them all; it has "
            f"{module.groups}."
        )
    if "weight" not in dict(module.named_parameters()):
        raise ValueError(
            f"{name!r} must have a weight of its own; it computes it from others (weight norm?). "
            "Remove that first, by `torch.nn.utils.remove_weight_norm`."
        )
    return module


def _moved_parameters(space: HiddenSpace) -> dict[str, tuple[str, ...]]:
    """The parameters of every layer that the action moves."""
    own = {space.writer: (f"{space.writer}.weight", f"{space.writer}.bias")}
    return own | {name: (f"{name}.weight",) for name in space.readers}


def _require_untied(space: HiddenSpace) -> None:
    owned = {name for names in _moved_parameters(space).values() for name in names}
    uses: dict[int, list[str]] = {}
    # By modules, because one module with two names is no reason to refuse.
    for prefix, module in space.model.named_modules():
        for name, tensor in module.named_parameters(prefix, recurse=False, remove_duplicate=False):
            uses.setdefault(id(tensor), []).append(name)
    for tied in uses.values():
        if len(tied) > 1 and owned & set(tied):
            raise ValueError(
                f"{' and '.join(map(repr, tied))} are one tensor, so that moving one layer would "
                "move another. Untie them first."
            )


def _require_alone(space: HiddenSpace, inputs: Inputs) -> None:
    """Raise unless all that leaves the writer goes through the readers, and nothing else joins."""
    writer, readers = space.writer, space.readers
    params = dict(space.model.named_parameters())

    def rerun(
        params: Mapping[str, Tensor] = params, inputs: Inputs = inputs, **instead: Any
    ) -> Run:
        return run(space.model, writer, readers, params, inputs, **instead)

    seen = rerun()
    require_finite(f"{writer}(inputs)", seen.written)
    if not _same(seen.out, rerun().out):
        raise ValueError(
            "`model` gives different outputs on the same inputs, so that nothing can be kept. "
            "Call `model.eval()` if it has dropout."
        )
    other = rerun(inputs=tree_map(_other, inputs), written=seen.written)
    after = rerun(results={name: 1 - result for name, result in seen.results.items()})
    for name in readers:
        if not _same(other.read[name], seen.read[name]):
            raise ValueError(
                f"{name!r} reads something beside {writer!r} (a residual connection?), so that its "
                "input is no function of the hidden state."
            )
        if not _same(after.read[name], seen.read[name]):
            raise ValueError(
                f"{name!r} reads what another of `readers` gives. Only those that read {writer!r} "
                "through no other may be named."
            )
    for name, owned in _moved_parameters(space).items():
        changed = {k: 1 - 3 * p if k in owned else p for k, p in params.items()}
        held = rerun(params=changed, written=seen.written, results=seen.results)
        if not _same(held.out, seen.out):
            raise ValueError(
                f"the parameters of {name!r} are used elsewhere in the model too, so that moving "
                "them would change more than one layer."
            )
    is_read = dict.fromkeys(readers, False)
    for written in (-seen.written, 1 - seen.written.flip(-1)):
        held = rerun(written=written, results=seen.results)
        if not _same(held.out, seen.out):
            raise ValueError(
                f"{writer!r} has readers beside {', '.join(map(repr, readers))} (a residual "
                "connection?), which the action would not compensate. Name them all, if they are "
                "layers."
            )
        for name in readers:
            is_read[name] |= not _same(held.read[name], seen.read[name])
    for name in readers:
        if not is_read[name]:
            raise ValueError(
                f"{name!r} does not read {writer!r}: its input stays the same when the writer's "
                "output changes."
            )


def _other(x: object) -> object:
    """Other inputs of the same kind: tokens stay tokens, and signs stay."""
    if not isinstance(x, Tensor) or x.ndim == 0:
        return x
    turned = x.flip(*range(x.ndim))
    if not x.is_floating_point():
        return turned
    ramp = torch.linspace(1.0, 1.5, x.numel(), dtype=x.dtype, device=x.device)
    return turned * ramp.reshape(x.shape)


def _same(a: Any, b: Any) -> bool:
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return all(_equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


def _equal(x: Tensor, y: Tensor) -> bool:
    """Whether they are equal, NaN to NaN."""
    return x.shape == y.shape and bool(((x == y) | ((x != x) & (y != y))).all())
