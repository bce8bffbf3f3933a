"""Gradient flow integrated to near rounding, with a bound on what its error does to a law."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from paramsym.claims.claim import Residual

EPS = torch.finfo(torch.float64).eps
"""Unit of rounding."""

RELATIVE = 1e-12
"""Error that the integrator allows in a step, relative to the largest parameter."""

Theta = tuple[Tensor, ...]
"""Parameters, as float64 tensors."""

Scalar = Callable[..., Tensor]
"""A function of the parameters, passed one by one."""


@final
@dataclass(frozen=True)
class Path:
    """The points that the integrator stepped on.

    Attributes:
        times: From 0 on.
        thetas: Parameters at those times.
        error: Sum over the steps of the error allowed in one (2-norm), relative to the largest
            entry. What is constant on every exact trajectory changes by no more than this, times
            the largest entry and the norm of its gradient: errors are not amplified.
    """

    times: list[float]
    thetas: list[Theta]
    error: float


def flatten(theta: Theta) -> Tensor:
    """All parameters in one vector."""
    return torch.cat([p.reshape(-1) for p in theta])


def split(vector: Tensor, like: Theta) -> Theta:
    """The inverse of `flatten`."""
    parts = vector.split([p.numel() for p in like])
    return tuple(x.reshape(p.shape) for x, p in zip(parts, like, strict=True))


def gradient(loss: Scalar, theta: Theta) -> Theta:
    """The gradient of a loss; zeros for parameters that it does not read."""
    leaves = [p.detach().requires_grad_() for p in theta]
    return torch.autograd.grad(loss(*leaves), leaves, materialize_grads=True, allow_unused=True)


def slope_along(function: Scalar, at: Theta, direction: Theta) -> Tensor:
    """The derivative of a function of the parameters along a direction."""
    found = torch.func.jvp(function, at, direction)[1]
    assert isinstance(found, Tensor)
    return found


def inner(a: Theta, b: Theta) -> float:
    """⟨a, b⟩ over all parameters."""
    return float(sum((x * y).sum() for x, y in zip(a, b, strict=True)))


def norm(a: Theta) -> float:
    """‖a‖ over all parameters."""
    return math.sqrt(inner(a, a))


def cosine(a: Theta, b: Theta) -> float:
    """|⟨a, b⟩| / ‖a‖‖b‖."""
    return abs(inner(a, b)) / (norm(a) * norm(b))


def integrate(velocity: Callable[[float, Theta], Theta], start: Theta, horizon: float) -> Path:
    """Solve θ̇ = velocity(t, θ) from t = 0 to the horizon, by an 8th-order Runge–Kutta method.

    Raises:
        ArithmeticError: If the integrator gave up.
    """

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return flatten(velocity(t, split(torch.from_numpy(y), start))).numpy()

    y0 = flatten(start).numpy()
    atol = RELATIVE * float(np.abs(y0).max())
    # A step that is tried and overflows has an error of NaN, is not accepted, and is shortened.
    with np.errstate(invalid="ignore", over="ignore"):
        found = solve_ivp(slope, (0.0, horizon), y0, method="DOP853", rtol=RELATIVE, atol=atol)
    if not found.success:
        raise ArithmeticError(f"gradient flow could not be integrated: {found.message}")
    steps = len(found.t) - 1
    thetas = [split(torch.from_numpy(y.copy()), start) for y in found.y.T]
    return Path(list(found.t), thetas, 2 * steps * math.sqrt(len(y0)) * RELATIVE)


def gradient_flow(loss: Scalar, start: Theta, horizon: float) -> Path:
    """θ̇ = −∇L, eq. (10) with ε = I."""
    return integrate(lambda _, theta: tuple(-g for g in gradient(loss, theta)), start, horizon)


def drift(quantity: Scalar, path: Path) -> float:
    """Largest change of any entry of a quantity, relative to ‖∇Q‖ and the largest parameter."""
    values = torch.stack([quantity(*theta).reshape(-1) for theta in path.thetas])
    size = max(float(flatten(theta).abs().max()) for theta in path.thetas)
    slope = max(steepness(quantity, theta) for theta in (path.thetas[0], path.thetas[-1]))
    return float((values - values[0]).abs().max()) / (slope * size)


def steepness(quantity: Scalar, theta: Theta) -> float:
    """The largest norm of the gradient of an entry of a quantity."""
    jacobian = torch.autograd.functional.jacobian(lambda *p: quantity(*p).reshape(-1), theta)
    return max(
        math.sqrt(sum(float(j[i].square().sum()) for j in jacobian))
        for i in range(len(jacobian[0]))
    )


def worst(pairs: Iterable[tuple[float, float]], what: str) -> Residual:
    """Of several draws, each a value and its bound, the one that is nearest to failing."""
    value, bound = max(pairs, key=lambda p: math.inf if math.isnan(p[0]) else p[0] / p[1])
    return Residual(value, bound, what)
