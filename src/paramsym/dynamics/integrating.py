"""Steps of an integrator along gradient flow: what is kept, where it stops, why it fails."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from scipy.integrate import DOP853, OdeSolver

from paramsym.dynamics.level_set import LevelSet
from paramsym.dynamics.velocity import Vector, Velocity

WATCH = 100
"""Steps between two looks at stiffness."""

STABILITY = 6.3
"""DOP853 damps e^{−λt} for steps up to 6.3/λ."""

STIFF = (STABILITY / 2, STABILITY * 2)
"""Mean λ·step where stability limits the step. Accuracy does so at less, and at a kink, where
differences of the velocity see a jump, it seems to be more."""

WORTHWHILE = 500
"""Explicit steps left for which the change to the implicit method pays."""

WINDOW = 500
"""Steps between two looks at progress."""

COLLAPSE = 1000
"""The steps have collapsed if their mean over a window was this much larger before …"""

HOPELESS = 2e4
"""… and more of them than this are still to go."""


@final
@dataclass(eq=False)
class Path:
    """Where the flow is, and what was asked to be kept of it.

    Attributes:
        asked: Increasing times.
        t: Time reached.
        y: Parameters there.
        times: Times kept.
        kept: Parameters at those.
        steps: Steps taken.
        longest: Largest mean step of a window so far.
        converged: Whether the gradient became small enough.
    """

    asked: Sequence[float]
    t: float
    y: Vector
    times: list[float] = field(default_factory=list)
    kept: list[Vector] = field(default_factory=list)
    steps: int = 0
    longest: float = 0.0
    converged: bool = False

    def keep(self, t: float, y: Vector) -> None:
        self.times.append(t)
        self.kept.append(np.array(y))

    @property
    def next(self) -> float:
        """The first time that is asked for and not yet kept."""
        return self.asked[len(self.times)] if len(self.times) < len(self.asked) else math.inf


def follow(
    path: Path,
    velocity: Velocity,
    method: type[OdeSolver],
    *,
    level_set: LevelSet | None = None,
    stop_at: float | None = None,
    watch: bool = False,
    **options: Any,
) -> bool:
    """Carry a path on to its last time, or until it converges or turns out to be stiff.

    Args:
        path: Changed in place.
        velocity: θ̇.
        method: A one-step method of scipy.
        level_set: Project onto it after every step.
        stop_at: ‖∇L‖ at which the path has converged.
        watch: Whether to stop where stability limits the steps.
        options: For the method.

    Returns:
        Whether it was stopped as stiff.

    Raises:
        ArithmeticError: If the flow blows up or the tolerance cannot be met.
    """
    # A step that is tried and overflows has an error of NaN, is not accepted, and is shortened.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        solver: Any = method(velocity, path.t, path.y, path.asked[-1], **options)
        if not path.times:
            path.keep(path.t, path.y)
        stiffness = Stiffness(velocity, path.t)
        mark = path.t
        while not path.converged:
            if stop_at is not None and velocity.slope_norm(solver.f) <= stop_at:
                path.converged = True
                if path.times[-1] < path.t:
                    path.keep(path.t, path.y)
                break
            if solver.status == "finished":
                break
            solver.step()
            if solver.status == "failed":
                raise ArithmeticError(_why(path, velocity, "the next became too short"))
            path.steps += 1
            _keep(path, solver, velocity, level_set)
            if level_set is not None:
                solver.y = _projected(solver.y, velocity, level_set)
                solver.f = velocity(solver.t, solver.y)
            path.t, path.y = solver.t, solver.y
            if path.next == path.t:
                path.keep(path.t, path.y)
            if path.steps % WINDOW == 0:
                mean = (path.t - mark) / WINDOW
                path.longest, mark = max(path.longest, mean), path.t
                left = (path.asked[-1] - path.t) / mean
                if COLLAPSE * mean < path.longest and left > HOPELESS:
                    why = f"steps collapsed to {mean:.0e}, and {left:.0e} of them would be needed"
                    raise ArithmeticError(_why(path, velocity, why))
            if watch and path.steps % WATCH == 0 and stiffness.limits(solver):
                return True
    return False


def _keep(path: Path, solver: Any, velocity: Velocity, level_set: LevelSet | None) -> None:
    """Keep what was asked for inside the last step, by the method's interpolant."""
    if path.next >= solver.t:
        return
    inside = solver.dense_output()
    while path.next < solver.t:
        y = inside(path.next)
        path.keep(path.next, y if level_set is None else _projected(y, velocity, level_set))


def _projected(y: Vector, velocity: Velocity, level_set: LevelSet) -> Vector:
    return velocity.join(level_set.project(velocity.split(y, on_cpu=True)))


@final
class Stiffness:
    """The fastest rate at which the flow contracts, followed by power iteration.

    The products with the Jacobian are differences of the velocity, which need nothing but
    gradients. Each look starts from the direction of the one before.
    """

    ITERATIONS = 10

    def __init__(self, velocity: Velocity, t: float) -> None:
        self._velocity = velocity
        self._last = t
        self._direction = np.random.default_rng(0).standard_normal(len(velocity.start))

    def limits(self, solver: DOP853) -> bool:
        """Whether stability limits the steps, and enough of them are left to do something."""
        step = (solver.t - self._last) / WATCH
        self._last = solver.t
        if (solver.t_bound - solver.t) / step < WORTHWHILE:
            return False
        return STIFF[0] <= step * self._rate(solver) <= STIFF[1]

    def _rate(self, solver: Any) -> float:
        y, f, v = solver.y, solver.f, self._direction
        distance = math.sqrt(np.finfo(np.float64).eps) * max(float(np.linalg.norm(y)), 1e-8)
        rate = 0.0
        for _ in range(self.ITERATIONS):
            v = v / np.linalg.norm(v)
            change = (self._velocity(solver.t, y + distance * v) - f) / distance
            rate = -float(v @ change)
            if not np.linalg.norm(change) > 0:
                return 0.0
            v = change
        self._direction = v
        return rate


def _why(path: Path, velocity: Velocity, happened: str) -> str:
    norms = [float(np.linalg.norm(y)) for y in (velocity.start, path.y)]
    losses = [velocity.loss(y) for y in (velocity.start, path.y)]
    slope = velocity.slope_norm(velocity(path.t, path.y))
    grown = norms[1] > 1e3 * (1 + norms[0]) or not math.isfinite(losses[1] + slope)
    advice = (
        "The flow blows up: the loss has no lower bound or the parameters run away. Ask for "
        "earlier times, or bound the loss."
        if grown
        else "The tolerance cannot be met: the loss has a kink along which the flow slides, is "
        "not differentiable here, or is rounded more coarsely than float64. Raise `rtol`, smooth "
        "the loss, or ask for earlier times."
    )
    return (
        f"gradient flow could not be integrated beyond t = {path.t:.6g} of {path.asked[-1]:.6g} "
        f"(after {path.steps} steps; {happened}): "
        f"‖θ‖ = {norms[1]:.3g} (at the start {norms[0]:.3g}), "
        f"L = {losses[1]:.6g} (at the start {losses[0]:.6g}), ‖∇L‖ = {slope:.3g}. {advice}"
    )
