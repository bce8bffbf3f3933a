"""Gradient flow θ̇ = −ε∇L (eq. (10) of the paper), integrated to near rounding."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from scipy.integrate import DOP853, Radau
from torch import Tensor

from paramsym.dynamics.integrating import Path, follow
from paramsym.dynamics.level_set import LevelSet
from paramsym.dynamics.trajectory import Trajectory
from paramsym.dynamics.velocity import Params, Velocity
from paramsym.symmetry import Symmetry

DENSE_LIMIT = 2000
"""Most parameters for which the implicit method makes a dense Hessian."""

LEAST = 100 * float(np.finfo(np.float64).eps)
"""Smallest relative tolerance that float64 resolves."""


def gradient_flow(
    loss: Callable[[Params], Tensor],
    params: Params,
    times: Tensor | Sequence[float],
    *,
    rate: float | Mapping[str, float | Tensor] = 1.0,
    rtol: float = 1e-10,
    atol: float | None = None,
    method: Literal["auto", "explicit", "implicit"] = "auto",
    gradient: Callable[[Params], Params] | None = None,
    conserve: Symmetry | None = None,
    stop_at: float | None = None,
) -> Trajectory:
    """Integrate gradient flow θ̇ = −ε∇L, eq. (10), with a controlled error.

    At the default tolerance Q stays constant to about 1e-11 relative to its size along the flow of
    a smooth loss. Kinks of the loss (ReLU) limit the order of any method to 1: where the flow
    crosses one, the steps become short, and what is right to 1e-10 before is so to 1e-9 after.
    Where the flow *slides along* a kink, as that of a ReLU net does when it holds a sample at the
    edge of a neuron, only a loose `rtol` (1e-6 or so) gets ahead.

    Args:
        loss: A function of the parameter dict to a scalar, differentiable by autograd. It is given
            float64 parameters on the device of `params`; whatever data it uses must be float64 too.
        params: Parameters at the first time, real floating-point tensors on one device. They are
            integrated and returned in float64 whatever their dtype. An `nn.Parameter` with
            `requires_grad=False` does not move.
        times: `[T]`, T ≥ 2, increasing: the times to return, the first of which is that of
            `params`. Between the integrator's steps the method's own interpolant is used.
        rate: ε, positive: a number, or for each parameter a number or a tensor of its shape.
        rtol: Error allowed in a step relative to each parameter, 2.3e-14 or more.
        atol: The same, absolute. By default `rtol` times the largest entry of `params`.
        method: `"explicit"` is DOP853, a Runge–Kutta method of order 8; `"implicit"` is Radau IIA
            of order 5, with a dense Hessian, for stiff problems of up to 2000 parameters. `"auto"`
            starts explicit. It looks at the fastest rate of contraction every 100 steps, and
            changes for good where stability and not accuracy limits the steps (mean step × rate
            above 3.1; the method is stable up to 6.3) and more than 500 of them are left.
        gradient: ∇L as a function of the parameter dict, float64; autograd otherwise. With it,
            and where the loss cannot be differentiated twice, the implicit method takes the
            Hessian by differences of gradients.
        conserve: Project onto the level set of this symmetry's conserved quantities after every
            step, by moving along the orbit, which leaves the function unchanged. Q is then held to
            rounding at any tolerance, and the order of the method is kept (docs/derivations.md
            §19). For up to 500 laws.
        stop_at: Stop once ‖∇L‖ is no larger: the flow has converged.

    Raises:
        TypeError: If an argument has a wrong type, a parameter is not a real floating-point tensor,
            or the loss or gradient is not computed in float64.
        ValueError: If a value, name or shape does not fit: times that do not increase, a tolerance
            out of range, a rate that is not positive, a loss that is not a scalar, not finite, not
            the same when evaluated again, or does not depend on `params`; or if `conserve` has no
            law or too many, is not a symmetry of the loss, or comes with different rates.
        ArithmeticError: If the flow blows up or the tolerance cannot be met.
    """
    asked = _times(times)
    _require_tolerances(rtol, atol, stop_at)
    if method not in ("auto", "explicit", "implicit"):
        raise ValueError(f"`method` must be 'auto', 'explicit' or 'implicit'; got {method!r}.")
    velocity = Velocity(loss, params, rate, gradient)
    start = velocity.start
    if method == "implicit" and len(start) > DENSE_LIMIT:
        raise ValueError(
            f"`method='implicit'` needs a dense Hessian, for at most {DENSE_LIMIT} parameters; "
            f"got {len(start)}. Use 'explicit', which takes more and shorter steps."
        )
    level_set = None
    if conserve is not None:
        if not velocity.uniform:
            raise ValueError(
                "`conserve` needs one `rate` for all parameters: with rates ε of their own the "
                "flow conserves ⟨θ, ε⁻¹M·θ⟩ and not Q. Leave `conserve` out, or follow "
                "φ = ε^(−1/2) θ, whose rate is 1 and whose symmetry is the same if each parameter "
                "has one rate."
            )
        level_set = LevelSet.through(conserve, velocity.split(start, on_cpu=True))
        _require_invariance(level_set, velocity)
    absolute = rtol * (float(np.abs(start).max()) or 1.0) if atol is None else atol
    shared = {"level_set": level_set, "stop_at": stop_at, "rtol": rtol, "atol": absolute}
    path = Path(asked, asked[0], start)
    stiff_from = None
    stiff = method == "implicit"
    if not stiff:
        watch = method == "auto" and len(start) <= DENSE_LIMIT
        stiff = follow(path, velocity, DOP853, watch=watch, **shared)
    if stiff:
        stiff_from = path.t
        jacobian = velocity.jacobian if velocity.differentiates_twice(path.y) else None
        follow(path, velocity, Radau, jac=jacobian, **shared)
    return _trajectory(path, velocity, stiff_from)


def _require_invariance(level_set: LevelSet, velocity: Velocity) -> None:
    # Beside the start, because at a minimum the gradient is rounding and says nothing.
    start = velocity.start
    size = float(np.abs(start).max()) or 1.0
    point = start + 0.01 * size * np.random.default_rng(0).standard_normal(len(start))
    slope = velocity(0.0, point)
    if not np.isfinite(slope).all():
        point, slope = start, velocity(0.0, start)
    level_set.require_invariance(
        velocity.split(point, on_cpu=True), velocity.split(slope, on_cpu=True)
    )


def _trajectory(path: Path, velocity: Velocity, stiff_from: float | None) -> Trajectory:
    points = [velocity.split(y) for y in path.kept]
    return Trajectory(
        times=torch.tensor(path.times, dtype=torch.float64),
        params={name: torch.stack([p[name] for p in points]) for name in points[0]},
        loss=torch.tensor([velocity.loss(y) for y in path.kept], dtype=torch.float64),
        converged=path.converged,
        evaluations=velocity.evaluations,
        steps=path.steps,
        stiff_from=stiff_from,
    )


def _times(times: Tensor | Sequence[float]) -> list[float]:
    found = torch.as_tensor(times, dtype=torch.float64).detach().cpu()
    fine = found.ndim == 1 and len(found) >= 2 and bool(torch.isfinite(found).all())
    if not fine or not bool((found.diff() > 0).all()):
        raise ValueError(
            "`times` must be two or more finite, increasing times, the first of which is that of "
            f"`params`; got {found.tolist()}."
        )
    return found.tolist()


def _require_tolerances(rtol: float, atol: float | None, stop_at: float | None) -> None:
    if not LEAST <= rtol < 1:
        raise ValueError(
            f"`rtol` must be at least {LEAST:.1e}, which float64 resolves, and below 1; got {rtol}."
        )
    for name, value in (("atol", atol), ("stop_at", stop_at)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must not be negative, nor infinite; got {value}.")
