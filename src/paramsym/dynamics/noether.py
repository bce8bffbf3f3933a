"""Noether's currents of training with inertia, in continuous time and in steps.

Momentum in continuous time is θ̇ + (τ/2) θ̈ = −∇L (eq. (14)). It is the equation of motion of the
Lagrangian

    e^{2t/τ} [ (τ/4) ‖θ̇‖² − L ],

and the current of a generator M, J_M = ⟨θ̇, M·θ⟩, obeys J̇ = −(2/τ) J + ⟨θ̇, M·θ̇⟩, so that

    J(t) = e^{−2t/τ} J(0) + ∫₀ᵗ e^{−2(t−s)/τ} ⟨θ̇, M·θ̇⟩ ds.

*Proof.* d/dt of e^{2t/τ}(τ/2)θ̇ is e^{2t/τ}(θ̇ + (τ/2)θ̈), which must be −e^{2t/τ}∇L. J̇ = ⟨θ̈, M·θ⟩
+ ⟨θ̇, M·θ̇⟩, and θ̈ = −(2/τ)(θ̇ + ∇L), where ⟨∇L, M·θ⟩ = 0. ∎ For antisymmetric M the integral
vanishes and the current decays freely.

Correction: eq. (15) prints e^{t/τ}[(τ/2)‖θ̇‖² − L], whose equation of motion is θ̇ + τθ̈ = −∇L, and
so eqs. (17) and (18) have the rate 1/τ instead of 2/τ.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from paramsym.conserved import angular_momentum
from paramsym.family import Family
from paramsym.moment_map import moment

Params = Mapping[str, Tensor]


def acceleration(gradient: Params, velocity: Params, tau: float) -> dict[str, Tensor]:
    """θ̈ = −(2/τ)(θ̇ + ∇L).

    Raises:
        ValueError: If τ is not positive.
    """
    _require_time(tau)
    return {k: -2 / tau * (v + gradient[k]) for k, v in velocity.items()}


def current(family: Family, params: Params, velocity: Params) -> Tensor:
    """The current J with J_M = ⟨J, M⟩ = ⟨θ̇, M·θ⟩, a tensor of the group's shape.

    Its antisymmetric part is the angular momentum; its symmetric part is half the rate of Q.

    Args:
        family: A family that acts by constant matrices or shifts along constant directions.
        params: Parameter dict θ.
        velocity: Dict of θ̇.

    Raises:
        ValueError: If the family's generators depend on the parameters otherwise.
    """
    _require_constant(family)
    return moment(family, params, velocity)


def source(family: Family, velocity: Params) -> Tensor:
    """⟨θ̇, M·θ̇⟩, what feeds the current; 0 for translations and for antisymmetric M.

    Raises:
        ValueError: As `current`.
    """
    _require_constant(family)
    found = moment(family, velocity, velocity)
    return found if family.ports else torch.zeros_like(found)


def current_along(J: Tensor, times: Tensor, sources: Tensor, tau: float) -> Tensor:
    """J(t) from its value at the start and the sources along the path.

    The sources are interpolated by a cubic spline, of an error ∝ spacing⁴.

    Args:
        J: Current at the first time, in float64.
        times: Increasing times, `[T]`, at least two.
        sources: `source` at each of them, `[T, …]`, the rest as J.
        tau: τ.

    Returns:
        The current at all times, `[T, …]`.

    Raises:
        ValueError: If shapes do not fit, times do not increase, or τ is not positive.
    """
    _require_time(tau)
    if times.ndim != 1 or len(times) < 2 or not bool((times.diff() > 0).all()):
        raise ValueError(f"`times` must be two or more increasing times; got {times.tolist()}.")
    if sources.shape != (len(times), *J.shape):
        raise ValueError(
            f"`sources` must have a tensor of J's shape for each time, "
            f"{(len(times), *J.shape)}; got {tuple(sources.shape)}."
        )
    spline = CubicSpline(times.numpy(), sources.numpy())
    nodes, weights = np.polynomial.legendre.leggauss(4)
    found = [J]
    for start, length in zip(times[:-1].tolist(), times.diff().tolist(), strict=True):
        since = length * (nodes + 1) / 2
        weight = weights * length / 2 * np.exp(-2 / tau * (length - since))
        fed = torch.from_numpy(np.tensordot(weight, spline(start + since), 1))
        found.append(math.exp(-2 / tau * length) * found[-1] + fed)
    return torch.stack(found)


def step_angular_momentum(
    families: Iterable[Family], before: Params, after: Params
) -> dict[str, Tensor]:
    """Angular momentum of one step, {family name: tensor}; its antisymmetry in time is exact.

    With N = [V, b, Uᵀ] it is the antisymmetric part of N_{t+1} N_tᵀ. Gradient descent keeps it 0,
    and so does heavy ball that starts at rest, with coupled weight decay and minibatches; a heavy
    ball that starts with a velocity multiplies it by β at each step. *Proof.* The step of heavy
    ball is v' = βv − η(g + λθ), where the moment of g is 0 (docs/derivations.md §2) and that of θ
    is symmetric. So the part of v' at θ is β times that of v at θ, which is that of v at θ − v, the
    parameters before. ∎ Nesterov's momentum, Adam and AdamW do not keep it.

    Args:
        families: Families; those whose algebra is all symmetric are left out.
        before: Parameters before the step.
        after: Parameters after it.
    """
    return angular_momentum(families, before, after)


def _require_constant(family: Family) -> None:
    shifts = not family.ports and not any(term.reads for term in family.terms)
    if not (family.is_linear or shifts):
        raise ValueError(
            f"family {family.name!r} has no Noether current of this form: its generators are "
            "neither constant matrices nor constant shifts. Leave it out."
        )


def _require_time(tau: float) -> None:
    if not tau > 0:
        raise ValueError(f"`tau` must be a positive time; got {tau}.")
