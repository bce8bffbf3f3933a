"""A function of parameters and inputs, on one flat float64 vector of parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Function = Callable[..., Tensor]
"""`function(params, *inputs) -> outputs`, with `params` a dict of tensors."""

Sampler = Callable[[torch.Generator], Tensor | tuple[Tensor, ...]]
"""Draws one input (or a tuple of inputs) of the function."""

Inputs = Tensor | tuple[Tensor, ...] | Sampler
"""An example, of which fresh normal inputs are drawn, or a sampler."""


@final
@dataclass(frozen=True)
class Parametric:
    """A function whose parameters are one vector θ of R^d, in float64.

    Attributes:
        function: The function of a parameter dict and inputs.
        params: The parameters that make up θ, in order.
        constants: Entries of the dict that stay as they are: frozen parameters and buffers.
    """

    function: Function
    params: dict[str, Tensor]
    constants: dict[str, Tensor]

    @property
    def dim(self) -> int:
        """The number of parameters d."""
        return sum(p.numel() for p in self.params.values())

    def theta(self) -> Tensor:
        """The parameters as one vector, `[d]`."""
        return torch.cat([p.flatten() for p in self.params.values()])

    def random_theta(self, scale: float, generator: torch.Generator) -> Tensor:
        """Normal parameters, `[d]`.

        Raises:
            ValueError: If `scale` is not positive.
        """
        if not scale > 0:
            raise ValueError(
                f"`scale` must be positive; got {scale}. For θ itself, pass `generic=False`."
            )
        return scale * torch.randn(self.dim, generator=generator, dtype=torch.float64)

    def output_count(self, theta: Tensor, inputs: tuple[Tensor, ...]) -> int:
        """The number of outputs for one input; `inputs` are stacked along a first axis.

        Raises:
            TypeError: If the output is no tensor of real numbers.
            ValueError: If it is empty or not finite.
        """
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            outputs = self.evaluate(theta, *(x[0] for x in inputs))
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            got = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
            raise TypeError(
                f"`function` must return one tensor of real numbers; got {got}. Wrap it in a "
                "function that picks or joins its outputs."
            )
        if outputs.numel() == 0 or not bool(torch.isfinite(outputs).all()):
            raise ValueError(
                "the outputs of `function` must be finite and not empty; got "
                f"{outputs.numel()} numbers, of which {int((~torch.isfinite(outputs)).sum())} are "
                "not finite. Pass inputs and parameters for which they are."
            )
        return outputs.numel()

    def batched(self, mapped: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a `vmap`ped derivative of this function.

        Raises:
            ValueError: If an op of the function has no such derivative, or cannot be batched.
        """
        try:
            with sdpa_kernel(SDPBackend.MATH):
                return mapped(*arguments)
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(
                "`function` could not be differentiated and batched by `torch.func`. Use a model "
                "in eval mode, made of differentiable ops, without branches on values, in-place "
                f"updates of buffers or `.item()`. The reason: {error}"
            ) from error

    def __call__(self, theta: Tensor, *inputs: Tensor) -> Tensor:
        """The outputs at θ, flattened."""
        return self.evaluate(theta, *inputs).flatten()

    def evaluate(self, theta: Tensor, *inputs: Tensor) -> Tensor:
        """The outputs at θ, as the function returns them."""
        parts = theta.split([p.numel() for p in self.params.values()])
        params = {
            name: part.view(p.shape)
            for (name, p), part in zip(self.params.items(), parts, strict=True)
        }
        return self.function({**params, **self.constants}, *inputs)


def parametric(
    function: nn.Module | Function,
    params: Mapping[str, Tensor] | None,
) -> Parametric:
    """A module or a plain function, in float64. Parameters of a module that require no gradient
    are constants.

    Args:
        function: A module, or a function of a parameter dict and inputs.
        params: Parameters; of a module by default its own.

    Raises:
        TypeError: If `function` is not callable, or an entry of `params` is no real tensor.
        ValueError: If `params` is missing or empty.
    """
    constants: dict[str, Tensor] = {}
    if isinstance(function, nn.Module):
        module = function
        own = dict(module.named_parameters())
        params = own if params is None else params
        free = [name for name in params if name not in own or own[name].requires_grad]
        constants = {k: _exact(p) for k, p in params.items() if k not in free}
        constants |= {k: _exact(b) for k, b in module.named_buffers()}
        params = {name: params[name] for name in free}

        def call(values: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            return functional_call(module, values, inputs)
    elif callable(function):
        call = function
    else:
        raise TypeError(
            "`function` must be a torch.nn.Module or a function of a parameter dict and inputs; "
            f"got {type(function).__name__}."
        )
    if not params:
        raise ValueError(
            "`params` must hold at least one parameter that is free to move; got none. Pass a dict "
            "of tensors, or a module with trainable parameters."
        )
    for name, p in params.items():
        if not isinstance(p, Tensor) or not p.is_floating_point():
            got = p.dtype if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(f"`params[{name!r}]` must be a floating-point tensor; got {got}.")
        if not bool(torch.isfinite(p).all()):
            raise ValueError(f"`params[{name!r}]` must be finite; it has NaN or infinite entries.")
    return Parametric(call, {k: _exact(p) for k, p in params.items()}, constants)


def _exact(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.double() if tensor.is_floating_point() else tensor


def draw(inputs: Inputs, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """`count` draws of each input, stacked along a new first axis, in float64.

    An example is replaced by normal numbers of its shape, whose scale varies from draw to draw
    (log-normal), so that no radius is special.

    Raises:
        TypeError: If an example is no tensor of real numbers, or a draw is no tensor.
        ValueError: If a sampler keeps returning the same inputs.
    """
    if callable(inputs):
        draws = [_as_tuple(inputs(generator)) for _ in range(count)]
        stacked = tuple(_exact(torch.stack(column)) for column in zip(*draws, strict=True))
        _require_variety(stacked, count)
        return stacked
    drawn: list[Tensor] = []
    for x in _as_tuple(inputs):
        if not x.is_floating_point():
            raise TypeError(
                f"`inputs` holds a tensor of {x.dtype}, of which no fresh data can be drawn. Pass "
                "a sampler, a function of a torch.Generator that returns one input, or "
                "`fixed=True`."
            )
        scale = torch.randn(count, *[1] * x.ndim, generator=generator, dtype=torch.float64)
        normal = torch.randn(count, *x.shape, generator=generator, dtype=torch.float64)
        drawn.append(normal * (scale / 2).exp())
    return tuple(drawn)


def hold(inputs: Inputs, count: int) -> tuple[Tensor, ...]:
    """The same inputs `count` times, along a new first axis, in float64.

    Raises:
        TypeError: If `inputs` is a sampler.
    """
    if callable(inputs):
        raise TypeError(
            "`fixed=True` needs the data itself: `inputs` must be a tensor or a tuple of tensors; "
            "got a sampler."
        )
    return tuple(_exact(x).expand(count, *x.shape) for x in _as_tuple(inputs))


def _as_tuple(inputs: object) -> tuple[Tensor, ...]:
    parts: list[Tensor] = []
    for x in inputs if isinstance(inputs, tuple) else (inputs,):
        if not isinstance(x, Tensor):
            raise TypeError(
                "`inputs` must be a tensor, a tuple of tensors, or a sampler that returns such; "
                f"got {type(x).__name__}."
            )
        parts.append(x)
    return tuple(parts)


def _require_variety(draws: tuple[Tensor, ...], count: int) -> None:
    """Raise if more than half of the draws repeat another one of real numbers."""
    if count < 2 or not all(x.is_floating_point() for x in draws):
        return
    rows = torch.cat([x.reshape(count, -1) for x in draws], dim=1)
    distinct = len(torch.unique(rows, dim=0))
    if 2 * distinct <= count:
        raise ValueError(
            f"the sampler `inputs` must return fresh data; {count} draws held only {distinct} "
            "different ones. Draw with the generator that it is given, or pass the data set as a "
            "tensor with `fixed=True`."
        )
