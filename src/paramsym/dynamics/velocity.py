"""The velocity of gradient flow, −ε∇L, on one float64 vector, as integrators want it."""

import math
from collections.abc import Callable, Mapping
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Params = Mapping[str, Tensor]
Vector = NDArray[np.float64]

HESSIAN_ROWS = 64
"""Rows of a Hessian that are computed at once."""


SAME = 1e-9
"""Relative difference of two evaluations that is no rounding, in whatever order a sum is done."""


@final
class Velocity:
    """θ ↦ −ε∇L(θ), with the parameters of a dict joined in one vector.

    Attributes:
        start: The vector of the parameters it was made with.
        evaluations: How often the gradient was evaluated.
    """

    def __init__(
        self,
        loss: Callable[[Params], Tensor],
        params: Params,
        rate: float | Mapping[str, float | Tensor] = 1.0,
        gradient: Callable[[Params], Params] | None = None,
    ) -> None:
        """Check everything that can be checked at the start, by evaluating loss and gradient once.

        Raises:
            TypeError: If an argument has a wrong type, or the loss or gradient is not float64.
            ValueError: If a value, name or shape does not fit; see `gradient_flow`.
        """
        _require_params(params)
        self._loss, self._gradient = loss, gradient
        self._names = tuple(params)
        self._shapes = [tuple(p.shape) for p in params.values()]
        self._sizes = [p.numel() for p in params.values()]
        self._device = next(iter(params.values())).device
        frozen = [isinstance(p, nn.Parameter) and not p.requires_grad for p in params.values()]
        self._rate = _rates(rate, params)
        self._rate[np.repeat(frozen, self._sizes)] = 0.0
        self._free = self._rate > 0
        self.uniform = len(set(self._rate[self._free])) <= 1
        self.start = self.join({k: p.detach() for k, p in params.items()})
        self.evaluations = 0
        self._require_loss(all(p.dtype == torch.float64 for p in params.values()))
        self._require_same(self(0.0, self.start), self(0.0, self.start))
        self.evaluations = 0

    def __call__(self, _: float, y: Vector) -> Vector:
        self.evaluations += 1
        slope = self._slope(self._leaves(y))
        return torch.cat([g.reshape(-1) for g in slope]).cpu().numpy() * -self._rate

    def split(self, y: Vector, *, on_cpu: bool = False) -> dict[str, Tensor]:
        """The parameter dict of a vector, which shares its memory on the CPU."""
        flat = torch.from_numpy(y)
        parts = (flat if on_cpu else flat.to(self._device)).split(self._sizes)
        shaped = zip(self._names, parts, self._shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in shaped}

    def join(self, params: Params) -> Vector:
        """The inverse of `split`, a copy."""
        return torch.cat([params[k].double().reshape(-1) for k in self._names]).cpu().numpy()

    def slope_norm(self, velocity: Vector) -> float:
        """‖∇L‖ over the parameters that flow, at the point where the velocity is this."""
        return float(np.linalg.norm(velocity[self._free] / self._rate[self._free]))

    @torch.no_grad()
    def loss(self, y: Vector) -> float:
        """L(θ)."""
        return float(self._loss(self.split(y)))

    def differentiates_twice(self, y: Vector) -> bool:
        """Whether `jacobian` can be had: the gradient is autograd's, and has a derivative."""
        if self._gradient is not None:
            return False
        try:
            self.jacobian(0.0, y)
        except (RuntimeError, NotImplementedError):
            return False
        return True

    def jacobian(self, _: float, y: Vector) -> Vector:
        """−ε∇²L, dense, by differentiating twice."""
        flat = torch.from_numpy(y.copy()).to(self._device).requires_grad_()
        with torch.enable_grad():
            parts = zip(self._names, flat.split(self._sizes), self._shapes, strict=True)
            value = self._loss({name: part.view(shape) for name, part, shape in parts})
            (slope,) = torch.autograd.grad(value, flat, create_graph=True)
        if not slope.requires_grad:
            return np.zeros((len(y), len(y)))
        units = torch.eye(len(y), dtype=slope.dtype, device=slope.device).split(HESSIAN_ROWS)
        rows = [
            torch.autograd.grad(
                slope, flat, unit, retain_graph=True, is_grads_batched=True, materialize_grads=True
            )[0]
            for unit in units
        ]
        return torch.cat(rows).cpu().numpy() * -self._rate[:, None]

    def _leaves(self, y: Vector) -> list[Tensor]:
        return [p.requires_grad_() for p in self.split(y).values()]

    def _slope(self, leaves: list[Tensor]) -> tuple[Tensor, ...]:
        named = dict(zip(self._names, leaves, strict=True))
        if self._gradient is not None:
            with torch.no_grad():
                found = self._gradient({k: p.detach() for k, p in named.items()})
            return tuple(found[k] for k in self._names)
        with torch.enable_grad():
            value = self._loss(named)
        return torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)

    def _require_loss(self, all_double: bool) -> None:
        leaves = self._leaves(self.start.copy())
        named = dict(zip(self._names, leaves, strict=True))
        try:
            with torch.enable_grad():
                value = self._loss(named)
        except RuntimeError as error:
            if all_double or "dtype" not in str(error):
                raise
            raise TypeError(
                "`loss` failed on float64 parameters, in which the flow is integrated whatever "
                f"the dtype of `params`: {error}. Convert the data and buffers that it uses with "
                "`.double()`."
            ) from error
        if not isinstance(value, Tensor):
            raise TypeError(f"`loss` must return a tensor; got {type(value).__name__}.")
        if value.ndim != 0:
            raise ValueError(
                f"`loss` must return a scalar, of shape []; got shape {list(value.shape)}. "
                "Take its `.mean()` or `.sum()`."
            )
        if value.dtype != torch.float64:
            raise TypeError(
                "`loss` must be computed in float64, or its rounding hides what the integrator "
                f"looks at; got {value.dtype}. Convert the data, buffers or model that it uses "
                "with `.double()`."
            )
        if not math.isfinite(value.detach()):
            raise ValueError(
                f"`loss` must be finite at `params`; got {float(value.detach())}. "
                "Start elsewhere, or with smaller parameters."
            )
        if self._gradient is None:
            self._require_dependence(value, leaves)
        else:
            self._require_gradient(named)

    def _require_dependence(self, value: Tensor, leaves: list[Tensor]) -> None:
        slope: tuple[Tensor | None, ...] = (None,)
        if value.requires_grad:
            slope = torch.autograd.grad(value, leaves, allow_unused=True)
        if all(g is None for g in slope):
            raise ValueError(
                "`loss` must depend on at least one entry of `params`; it depends on none "
                f"of {list(self._names)}. Use the parameters it is given, by "
                "`torch.func.functional_call(model, params, ...)` for a module, and do not detach."
            )
        self._require_finite(torch.cat([g.reshape(-1) for g in slope if g is not None]))

    def _require_gradient(self, named: dict[str, Tensor]) -> None:
        assert self._gradient is not None
        with torch.no_grad():
            found: object = self._gradient({k: p.detach() for k, p in named.items()})
        if not isinstance(found, Mapping):
            raise TypeError(
                "`gradient` must return a dict of tensors by parameter name; "
                f"got {type(found).__name__}."
            )
        for name, p in named.items():
            g = found.get(name)
            if not isinstance(g, Tensor) or g.shape != p.shape:
                got = list(g.shape) if isinstance(g, Tensor) else type(g).__name__
                raise ValueError(
                    f"`gradient` must return a tensor of shape {list(p.shape)} for {name!r}, as "
                    f"the parameter has; got {got}."
                )
            if g.dtype != torch.float64:
                raise TypeError(
                    f"`gradient` must be computed in float64; got {g.dtype} for {name!r}."
                )
            self._require_finite(g)

    def _require_same(self, once: Vector, again: Vector) -> None:
        if np.linalg.norm(again - once) > SAME * np.linalg.norm(once):
            raise ValueError(
                "`loss` must be a function of `params` alone; two evaluations of its gradient at "
                "`params` differ. Call `model.eval()` where it has dropout, and use the same batch "
                "throughout."
            )

    def _require_finite(self, slope: Tensor) -> None:
        if not bool(torch.isfinite(slope).all()):
            raise ValueError(
                "the gradient of `loss` must be finite at `params`; it has NaN or infinite "
                "entries. Start elsewhere: away from kinks with an infinite slope."
            )


def _require_params(params: object) -> None:
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`params` must be a dict of tensors by name; got {type(params).__name__}. "
            "Pass `dict(model.named_parameters())`."
        )
    if not params:
        raise ValueError("`params` must have at least one parameter; got an empty dict.")
    for name, p in params.items():
        if not isinstance(p, Tensor) or not p.is_floating_point():
            got = p.dtype if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(
                f"`params[{name!r}]` must be a real floating-point tensor; got {got}. Leave out "
                "what does not flow, and give complex parameters as real and imaginary parts."
            )
        if not bool(torch.isfinite(p).all()):
            raise ValueError(f"`params[{name!r}]` must be finite; it has NaN or infinite entries.")
    devices = {str(p.device) for p in params.values()}
    if len(devices) > 1:
        raise ValueError(f"`params` must be on one device; got {sorted(devices)}.")


def _rates(rate: float | Mapping[str, float | Tensor], params: Params) -> Vector:
    if isinstance(rate, Mapping):
        unknown = [name for name in rate if name not in params]
        missing = [name for name in params if name not in rate]
        if unknown or missing:
            raise ValueError(
                f"`rate` must have the names of `params`; unknown: {unknown}, missing: {missing}. "
                "Pass a number for one rate of all."
            )
        given: dict[str, float | Tensor] = dict(rate)
    else:
        given = dict.fromkeys(params, rate)
    spread = []
    for name, p in params.items():
        where = f"`rate[{name!r}]`" if isinstance(rate, Mapping) else "`rate`"
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
            raise TypeError(f"{where} must be a number or a tensor; got {type(value).__name__}.")
        tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
        if tensor.ndim != 0 and tensor.shape != p.shape:
            raise ValueError(
                f"{where} must be a number or have the parameter's shape {list(p.shape)}; "
                f"got shape {list(tensor.shape)}."
            )
        if not bool((torch.isfinite(tensor) & (tensor > 0)).all()):
            raise ValueError(
                f"{where} must be positive and finite; got {tensor.flatten()[:4].tolist()}. "
                "A parameter that must not move is an `nn.Parameter` with requires_grad=False."
            )
        spread.append(tensor.expand(p.shape).reshape(-1))
    return torch.cat(spread).numpy()
