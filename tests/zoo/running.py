"""A model as a function of its parameters in float64, apart from discovery's own replay."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

TINY = 1e-60
"""Stands for the limit ε → 0 of a normalisation."""
_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)


class Widened(TorchFunctionMode):
    """Casts to narrower floating types inside a model give float64."""

    def __enter__(self) -> "Widened":
        self.default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self.default)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs or {}))
        widened = [
            torch.float64 if isinstance(x, torch.dtype) and x in _NARROW else x for x in leaves
        ]
        args, kwargs = pytree.tree_unflatten(widened, spec)
        return (Tensor.double if func in _CASTS else func)(*args, **kwargs)


class Double:
    """A float64 copy of a model at generic parameters, its normalisations without their ε, but
    where it belongs to a fixed deviation."""

    def __init__(self, model: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.model = copy.deepcopy(model).double()
        self.args = tuple(x.double() if x.is_floating_point() else x for x in args)
        for module in self.model.modules():
            fixed = getattr(module, "track_running_stats", False) and not module.training
            for name, value in vars(module).items():
                if "eps" in name and isinstance(value, float) and not fixed:
                    setattr(module, name, TINY)
        self.params = generic(self.model)

    @torch.no_grad()
    def __call__(self, params: Mapping[str, Tensor]) -> Tensor:
        """The output, with the same random numbers and buffers every time."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        with torch.random.fork_rng(devices=[]), Widened():
            torch.manual_seed(0)
            return functional_call(self.model, {**buffers, **params}, self.args)


def generic(model: nn.Module) -> dict[str, Tensor]:
    """Parameters without special entries, of a size at which all of them matter."""
    rng = torch.Generator().manual_seed(0)
    params = {}
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=rng, dtype=torch.float64)
        if p.is_complex():
            params[name] = p.detach() * (1 + 0.3 * noise)
        elif p.ndim > 1:
            gain = 2 if p.ndim == 2 else 4  # convolutions sit among gates, which shrink
            params[name] = noise * (gain / (2 * max(1, p[0].numel()))) ** 0.5
        else:
            params[name] = p.detach() + 0.3 * noise
    return params


def relative(change: Tensor, reference: Tensor) -> float:
    """Largest change, relative to the largest entry."""
    return float(change.abs().max() / reference.abs().max())
