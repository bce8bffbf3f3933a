"""The parameters that a symmetry speaks of, and the checks at the public boundary."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from paramsym.sharded import here, require_placements, summed


@final
@dataclass(frozen=True)
class Parameter:
    """One parameter of the model; tied weights are one parameter.

    Attributes:
        name: Canonical name, the first in `model.named_parameters()`.
        shape: Its shape.
        aliases: Other names of the same tensor.
        trainable: Whether it required a gradient at discovery.
        is_real: Whether its entries are floating-point numbers; others (integers of a quantised
            model, complex numbers) are never moved.
        altered_gradient: Why autograd does not compute the function's derivative by this
            parameter, as for the padding row of an embedding; empty where it does. Families that
            move such a parameter act, and have no law.
        is_buffer: Whether it is a buffer that moves with the parameters, which training does not
            follow a gradient for.
    """

    name: str
    shape: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    trainable: bool = True
    is_real: bool = True
    altered_gradient: str = ""
    is_buffer: bool = False

    @property
    def numel(self) -> int:
        return torch.Size(self.shape).numel()


def parameters_of(model: nn.Module) -> tuple[Parameter, ...]:
    """The parameters of a module, tied ones once (by identity of the tensor)."""
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    return tuple(describe(tensors[key], *own) for key, own in names.items())


def describe(tensor: Tensor, name: str, *aliases: str) -> Parameter:
    """The description of one parameter."""
    shape, is_real = tuple(tensor.shape), tensor.is_floating_point()
    return Parameter(name, shape, aliases, tensor.requires_grad, is_real)


def check_params(
    params: Mapping[str, Tensor],
    expected: Iterable[Parameter],
    *,
    argument: str = "params",
    values: bool = False,
) -> None:
    """Raise unless `params` has exactly the expected names, with fitting shapes and dtypes.

    Args:
        params: Parameter dict, as `dict(model.named_parameters())`.
        expected: What the symmetry was discovered on.
        argument: How to call the dict in messages.
        values: Also require finite entries. This reads the values, so it cannot run under `vmap`.

    Raises:
        TypeError: If `params` is no mapping, or an entry is no floating-point tensor.
        ValueError: If a name is missing or unknown, a shape differs, or an entry is not finite.
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`{argument}` must be a dict of tensors by parameter name; "
            f"got {type(params).__name__}. Pass `dict(model.named_parameters())`."
        )
    expected = tuple(expected)
    known = {p.name for p in expected}
    aliases = {alias: p.name for p in expected for alias in p.aliases}
    for p in expected:
        if p.name not in params:
            raise ValueError(
                f"`{argument}` lacks {p.name!r}, which the symmetry was discovered on. "
                + _how_to_complete(p.name, params)
            )
        _check_entry(params[p.name], p, argument, values)
    for name in params:
        if name in known:
            continue
        if name in aliases:
            hint = f"It is tied to {aliases[name]!r}; keep that name alone."
        else:
            close = difflib.get_close_matches(name, known, 1)
            hint = (
                f"Did you mean {close[0]!r}?"
                if close
                else "Remove it: parameters alone belong there, and no buffers of a state dict."
            )
        raise ValueError(f"`{argument}` has an unknown entry {name!r}. {hint}")


def _how_to_complete(name: str, params: Mapping[str, Tensor]) -> str:
    """What to do about a name that is missing: the wrappers of torch put a word in front."""
    for given in params:
        if given.endswith(f".{name}"):
            word = given.removesuffix(name)
            return (
                f"Names here start with {word!r}, as in a model that is wrapped (compiled, in "
                "parallel): pass the model inside of it, or take that off, "
                f"`name.removeprefix({word!r})`."
            )
        if name.endswith(f".{given}"):
            word = name.removesuffix(given)
            return (
                f"The symmetry is that of a wrapped model, whose names start with {word!r}: "
                "discover that of the model inside of it, or put that in front of the names here."
            )
    return "Pass all of `dict(model.named_parameters())`, frozen ones too."


def _check_entry(tensor: object, p: Parameter, argument: str, values: bool) -> None:
    where = f"`{argument}[{p.name!r}]`"
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{where} must be a tensor; got {type(tensor).__name__}.")
    if p.is_real and not tensor.is_floating_point():
        raise TypeError(
            f"{where} must be a floating-point tensor; got {tensor.dtype}. "
            "Convert it with `.double()` or `.float()`."
        )
    if tuple(tensor.shape) != p.shape:
        raise ValueError(
            f"{where} must have shape {p.shape}, as at discovery; got {tuple(tensor.shape)}. "
            "Discover the symmetry of this model anew if its sizes have changed."
        )
    require_placements(tensor, where)
    if values and tensor.is_meta:
        raise ValueError(
            f"{where} is on the meta device and has no values. Load them first, or do not check."
        )
    bad = not_finite(tensor) if values else 0
    if bad:
        raise ValueError(
            f"{where} must be finite; {bad} of {tensor.numel()} entries are NaN or infinite."
        )


def not_finite(tensor: Tensor) -> int:
    """How many entries are NaN or infinite."""
    part = here(tensor.detach())
    if part.is_floating_point() and part.numel():
        # One pass, and no mask as large as the parameter.
        lowest, highest = part.aminmax()
        bad = not bool(torch.isfinite(lowest) & torch.isfinite(highest))
    else:
        bad = True
    found = (~torch.isfinite(part)).sum() if bad else torch.zeros((), dtype=torch.int64)
    return int(summed(found.to(part.device), tensor))
