"""Choosing a point of the orbit: any differentiable objective, minimised by group elements."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from paramsym.action import act
from paramsym.element import GroupElement
from paramsym.groups import Group
from paramsym.orbit.drift import drift, rounding
from paramsym.orbit.line_search import search
from paramsym.orbit.pulling_back import Objective, Point, PulledBack
from paramsym.orbit.quasi_newton import Curvature
from paramsym.orbit.requirements import chosen_families, require_inputs
from paramsym.orbit.words import Letters, appended, as_element
from paramsym.symmetry import Symmetry

Stopped = Literal["stationary", "no progress", "iterations", "condition"]

FIRST = 0.1
"""Size of the first generator that is tried, where nothing is known of second derivatives."""
SHORTEST = 1e-3
"""Norm of a generator that is not worth another try, where the condition ends it."""
LONGEST = 2.0
"""Largest generator of one step: matrices stretch by at most e²."""


@final
@dataclass(frozen=True)
class Step:
    """Where a minimisation stands, for those who watch it.

    Attributes:
        iteration: Steps taken.
        value: The objective.
        gradient_norm: Of the objective pulled back to the group.
    """

    iteration: int
    value: float
    gradient_norm: float


@final
@dataclass(frozen=True, eq=False)
class OrbitMinimum:
    """What a minimisation on an orbit found.

    Attributes:
        params: The parameters, of the dtypes that were given; what no family moves is the same.
        g: The group element that leads there, as a word; `symmetry.act(g, start)` are `params`.
        values: The objective at the start and after every step.
        gradient_norms: Norm of the pulled-back objective's gradient at the same points.
        evaluations: How often the objective was computed with its gradient.
        stopped: Why it ended: `"stationary"`, the gradient is within the tolerance; `"no
            progress"`, no step decreases the objective by more than rounding; `"iterations"`, as
            many as were allowed; `"condition"`, a longer step would have made the group element too
            badly conditioned, as where the infimum lies at infinity.
        drift: Largest change of the function's outputs, relative to the largest output; `None`
            where no function was given.
        rounding: The drift that an error of the parameters in their last place causes, before and
            after. A drift of many times as much is no rounding; in float32 it is what the result
            costs, whatever it was computed in.
    """

    params: dict[str, Tensor]
    g: GroupElement
    values: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    evaluations: int
    stopped: Stopped
    drift: float | None = None
    rounding: float | None = None

    @property
    def value(self) -> float:
        """The objective at the end."""
        return self.values[-1]

    @property
    def gradient_norm(self) -> float:
        """Norm of the pulled-back objective's gradient at the end."""
        return self.gradient_norms[-1]

    @property
    def iterations(self) -> int:
        """Steps taken."""
        return len(self.values) - 1


def minimise_on_orbit(
    symmetry: Symmetry,
    params: Mapping[str, Tensor],
    objective: Objective,
    families: Iterable[str] | None = None,
    *,
    maximise: bool = False,
    iterations: int = 200,
    tolerance: float = 1e-8,
    max_condition: float = 1e6,
    double: bool = True,
    function: Callable[[dict[str, Tensor]], Tensor] | None = None,
    advance: Callable[[Step], object] = lambda step: None,
) -> OrbitMinimum:
    """Move parameters along their orbit to where an objective is small; the function stays.

    L-BFGS on the group, with the metric that right translations carry from the trace product of the
    Lie algebra. The gradient is the moment map of the objective's gradient, a step is the product
    over families of exponentials, and its length meets the strong Wolfe conditions
    (docs/derivations.md §26; ours, beyond the paper). It finds a stationary point near the start,
    in the component of the unit: no permutation or reflection is tried.

    Args:
        symmetry: As `discover` returns it, or written by hand.
        params: Parameter dict; it is not changed.
        objective: A differentiable function of a parameter dict, a scalar tensor. See
            `paramsym.orbit.objectives` for ready ones.
        families: Names of the families that may act, all that are exact when absent. A family that
            is exact only as ε → 0 changes the function a little, and acts where it is named.
        maximise: Whether to make the objective large. It often has no maximum on an orbit that is
            not compact: `iterations` and `max_condition` then decide where it ends.
        iterations: Most steps.
        tolerance: Norm of the gradient at which a point counts as stationary, relative to the
            larger of the objective and the gradient's norm at the start. Both have one unit.
        max_condition: Largest condition number of a letter of the group element; rounding errors of
            the function grow with it.
        double: Whether to compute in float64 whatever dtype the parameters and the objective's data
            have. Without, float32 limits what can be reached.
        function: From a parameter dict to the model's outputs, to measure their drift.
        advance: Called at the start and after every step, for a progress bar.

    Returns:
        The point found, the group element, and how it went. Ending early is no error.

    Raises:
        TypeError: If the symmetry, the objective or the function is none, or what the objective
            returns is no tensor of real numbers.
        ValueError: If names or shapes do not fit, a value is not finite, a family is unknown or
            there is none, a number is out of range; if the objective is no scalar, not finite, not
            differentiable or not deterministic; or if a gain that an action divides by is zero.
    """
    chosen = chosen_families(symmetry, families)
    require_inputs(params, symmetry, objective, chosen, iterations, tolerance, max_condition)
    start = {k: p.detach().double() if double and p.is_floating_point() else p.detach()
             for k, p in params.items()}  # fmt: skip
    pulled = PulledBack(objective, chosen, -1 if maximise else 1, double)
    walk = _descend(pulled, start, iterations, tolerance, max_condition, advance)
    end = act(walk.word, start)
    moved = {
        k: p if end[k] is start[k] else end[k].to(p.dtype).contiguous() for k, p in params.items()
    }
    return OrbitMinimum(
        {k: p.detach() for k, p in moved.items()},
        as_element(walk.word),
        tuple(pulled.sign * value for value in walk.values),
        tuple(walk.norms),
        walk.evaluations,
        walk.stopped,
        None if function is None else drift(function, params, moved),
        None if function is None else rounding(function, params, moved),
    )


@final
@dataclass(eq=False)
class _Walk:
    """What is written down on the way."""

    word: Letters
    values: list[float]
    norms: list[float]
    evaluations: int = 1
    stopped: Stopped = "iterations"


def _descend(
    pulled: PulledBack,
    params: dict[str, Tensor],
    iterations: int,
    tolerance: float,
    max_condition: float,
    advance: Callable[[Step], object],
) -> _Walk:
    point, curvature = pulled.start(params), Curvature()
    norm = float(point.gradient.norm())
    unit = [(f, f.group.identity().to(point.gradient.device)) for f in pulled.families]
    walk, first = _Walk(unit, [point.value], [norm]), norm
    advance(Step(0, pulled.sign * point.value, norm))
    while True:
        if norm <= tolerance * max(abs(point.value), first):
            walk.stopped = "stationary"
            return walk
        if len(walk.values) > iterations:
            return walk
        found = _step(pulled, point, curvature, walk)
        if found is None and curvature.pairs:
            # Old curvature may mislead; the gradient itself does not.
            curvature = Curvature()
            found = _step(pulled, point, curvature, walk)
        if found is None:
            walk.stopped = "no progress"
            return walk
        step, end = found
        word = appended(walk.word, pulled.letters(step))
        while as_element(word).condition() > max_condition:
            # To about half of the way to where the bound lies, and no further.
            walk.stopped, step = "condition", step / 2
            if float(step.norm()) < SHORTEST:
                return walk
            word = appended(walk.word, pulled.letters(step))
        if walk.stopped == "condition":
            end = pulled.at(pulled.moved(point.params, step))
            walk.evaluations += 1
            if not end.value < point.value:
                return walk
        curvature = curvature.after(step, end.gradient - point.gradient)
        point, norm, walk.word = end, float(end.gradient.norm()), word
        walk.values.append(point.value)
        walk.norms.append(norm)
        advance(Step(len(walk.values) - 1, pulled.sign * point.value, norm))
        if walk.stopped == "condition":
            return walk


def _step(
    pulled: PulledBack, point: Point, curvature: Curvature, walk: _Walk
) -> tuple[Tensor, Point] | None:
    """A generator along which the objective decreases, and the point that it leads to."""
    direction = curvature.direction(point.gradient)
    size = _size(pulled, direction)
    if not curvature.pairs:
        direction, size = direction * (FIRST / size), FIRST
    elif size > LONGEST:
        direction, size = direction * (LONGEST / size), LONGEST

    def there(t: float) -> Point:
        walk.evaluations += 1
        return pulled.at(pulled.moved(point.params, t * direction))

    found = search(there, point, direction, LONGEST / size)
    return None if found is None else (found[0] * direction, found[1])


def _size(pulled: PulledBack, vector: Tensor) -> float:
    """A bound on the operator norm of every family's part."""
    parts = zip(pulled.families, pulled.split(vector), strict=True)
    return max(_operator_bound(family.group, M) for family, M in parts)


def _operator_bound(group: Group, M: Tensor) -> float:
    if len(group.entry_shape) < 2:
        return float(M.abs().max())
    # ‖M‖² ≤ ‖M‖₁‖M‖_∞ costs no decomposition.
    rows, columns = (M.abs().sum(axis).amax(-1) for axis in (-1, -2))
    return float((rows * columns).sqrt().max())
