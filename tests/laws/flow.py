"""Gradient flow of a subject, integrated to near rounding."""

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from tests.laws.subject import Params, Subject, flatten

RELATIVE = 1e-12
"""Relative error that the integrator allows in a step."""


def unflatten(vector: Tensor, like: Params) -> dict[str, Tensor]:
    """The inverse of `flatten`, in the order of `like`."""
    parts = vector.split([p.numel() for p in like.values()])
    return {k: x.reshape(p.shape) for x, (k, p) in zip(parts, like.items(), strict=True)}


def gradient_flow(subject: Subject, times: tuple[float, ...]) -> list[dict[str, Tensor]]:
    """θ at the given times, the first of which is 0, by an 8th-order Runge–Kutta method."""
    start = flatten(subject.params, subject.params)

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        params = unflatten(torch.from_numpy(theta), subject.params)
        slope = torch.func.grad(subject.loss)(params)
        return -flatten(slope, params).numpy()

    solution = solve_ivp(
        velocity,
        (times[0], times[-1]),
        start.numpy(),
        method="DOP853",
        t_eval=times,
        rtol=RELATIVE,
        atol=RELATIVE * float(start.abs().max()),
    )
    assert solution.success, solution.message
    return [unflatten(torch.from_numpy(y.copy()), subject.params) for y in solution.y.T]
