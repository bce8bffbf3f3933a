"""The way from a callable to its symmetries."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paramsym.activations.algebra import (
    CLEAR,
    THRESHOLD,
    TINY,
    Pairs,
    null_space,
    reduced,
    system,
)
from paramsym.activations.recognition import recognise
from paramsym.activations.result import Equivariance
from paramsym.activations.sampling import (
    Activation,
    Sample,
    check_activation,
    differentiate,
    draw_points,
    evaluate,
    require_finite,
)
from paramsym.groups import GeneralLinear

EPS = torch.finfo(torch.float64).eps
SCALES = (0.3, 1.0, 3.0)
"""Scales at which the dimension must agree."""
MAX_INPUTS = 16
MAX_OUTPUTS = 32
WIDE = tuple(10.0**k for k in range(-6, 7))
"""Scales of the fresh points on which pairs are checked."""
SIZES = (0.3, 1.0, 3.0)
"""Sizes of the elements that are checked, with their inverses, as norms of their logarithms."""
OVERFLOW = 1e300
"""Values beyond may overflow to infinity, smaller ones must not."""


def equivariance(
    sigma: Activation,
    h: int,
    *,
    affine: bool = False,
    samples: int | None = None,
    scales: Sequence[float] = SCALES,
    generator: torch.Generator | None = None,
) -> Equivariance:
    """The linear or affine symmetries of a black-box activation.

    The pairs (M, N) with J_σ(z) M z = N σ(z) at random points z form a null space; they are the
    algebra of eq. (4), of the groups that σ intertwines. It is computed at every scale and over all
    of them; what is left is checked on fresh points of sizes from 10⁻⁶ to 10⁶, and there by
    integrating, σ(exp(tM) z) = exp(tN) σ(z). A symmetry that fails only where nothing is sampled,
    such as by a clip at 10⁹, cannot be told from a true one.

    Args:
        sigma: A function of float64 tensors [..., h] → [..., p] that acts on the last axis alone,
            is differentiable by autograd almost everywhere, and is deterministic.
        h: Number of inputs, at most 16: the cost is of the order h⁶.
        affine: Look for shifts, too: J_σ(z)(M z + a) = N σ(z) + b.
        samples: Points at each scale; by default four times as many equations as unknowns.
        scales: Sizes of points, which must give the same dimension.
        generator: Source of the points; seeded with 0 when absent.

    Returns:
        The pairs, how clear and how stable they are, and their group. What is not stable holds on
        all that was sampled (see `reason`) and is not to be relied on.

    Raises:
        TypeError: If `sigma` is not callable, or does not return a float64 tensor.
        ValueError: If `h`, `samples` or `scales` is out of range, or `sigma` is not a finite,
            deterministic, differentiable function of the last axis.
    """
    scales = tuple(scales)
    _check_numbers(h, samples, scales)
    generator = generator or torch.Generator().manual_seed(0)
    p = check_activation(sigma, h, scales, generator)
    if p > MAX_OUTPUTS:
        raise ValueError(
            f"`sigma` must have at most {MAX_OUTPUTS} outputs; got {p}. Measure it at a smaller "
            "`h`: a pointwise or radial function has the same symmetries at every width."
        )
    unknowns = h * h + p * p + (h + p if affine else 0)
    count = samples or max(64, -(-4 * unknowns // p))
    rows = []
    for scale in scales:
        sample = differentiate(sigma, draw_points(count, h, scale, generator))
        require_finite(sample.values, sample.points)
        rows.append(system(sample, affine=affine))
    dimensions = tuple(null_space(part).dimension for part in rows)
    found = null_space(torch.cat(rows))
    reason = ""
    if set(dimensions) != {found.dimension}:
        each = ", ".join(f"{d} at {s:g}" for s, d in zip(scales, dimensions, strict=True))
        reason = f"the dimension depends on the scale: {each}, {found.dimension} over all"
    for scale in WIDE:
        fresh = _finite(differentiate(sigma, draw_points(count, h, scale, generator)))
        kept = found.surviving(system(fresh, affine=affine))
        lost = found.dimension - kept.dimension
        if lost:
            reason = reason or f"{lost} of {found.dimension} pairs fail at scale {scale:g}"
        found = kept
    if found.dimension and found.null > CLEAR:
        reason = reason or (
            f"null singular values up to {found.null:.1e} are above rounding, as for a symmetry "
            "of a function near σ"
        )
    pairs = found.pairs(h, p)
    if fault := _fault_of_elements(sigma, pairs, generator):
        reason = f"σ(exp(tM) z) = exp(tN) σ(z) fails: {fault}"
        pairs = pairs.combined(torch.zeros(0, len(pairs), dtype=torch.float64))
    acting, redundant = reduced(pairs)
    known = recognise(acting, redundant)
    return Equivariance(
        h=h,
        p=p,
        affine=affine,
        pairs=acting,
        redundant=redundant,
        scales=scales,
        dimensions=dimensions,
        retained=found.retained,
        null=found.null,
        stable=not reason,
        reason=reason,
        factors=None if known is None else known[0],
        centre=torch.zeros(h, dtype=torch.float64) if known is None else known[1],
        discrete=_discrete(sigma, torch.cat([draw_points(32, h, s, generator) for s in WIDE])),
    )


def _check_numbers(h: int, samples: int | None, scales: tuple[float, ...]) -> None:
    if not isinstance(h, int) or isinstance(h, bool) or h < 1:
        raise ValueError(f"`h` must be a positive integer, the width of the input; got {h!r}.")
    if h > MAX_INPUTS:
        raise ValueError(
            f"`h` must be at most {MAX_INPUTS}, because the cost grows like h⁶; got {h}. Measure "
            "at a smaller width, such as 4: a pointwise or radial function has the same "
            "symmetries at every width."
        )
    if samples is not None and samples < 1:
        raise ValueError(f"`samples` must be a positive number of points; got {samples}.")
    if len(scales) < 2 or len(set(scales)) < len(scales) or not all(0 < s < 1e6 for s in scales):
        raise ValueError(
            "`scales` must be two or more different sizes between 0 and 10⁶, because one alone "
            f"cannot show that a symmetry holds at all of them; got {scales}."
        )


def _finite(sample: Sample) -> Sample:
    """Only points where the values are: at the widest scales exp overflows."""
    kept = torch.isfinite(sample.values).all(1)
    return Sample(sample.points[kept], sample.values[kept], sample.jacobian[kept])


def _fault_of_elements(sigma: Activation, pairs: Pairs, generator: torch.Generator) -> str:
    """Why σ(exp(M) z) ≠ exp(N) σ(z) for random combinations (M, N) at fresh points; "" if nowhere
    it is."""
    if len(pairs) == 0:
        return ""
    h = pairs.inputs.shape[-1]
    # Shifts are known to rounding beside values of points of size 1, which the pairs came from.
    shifts = torch.cat([pairs.input_shifts, pairs.output_shifts], 1)
    unit = evaluate(sigma, draw_points(256, h, 1.0, generator)).abs().max()
    rounding = CLEAR * float(1 + unit) if bool(shifts.any()) else TINY
    for size in SIZES:
        draw = torch.randn(1, len(pairs), generator=generator, dtype=torch.float64)
        drawn = pairs.combined(draw)
        for length in (size, -size):
            element = drawn.combined(length / _matrix(drawn).norm().reshape(1, 1))
            for scale in WIDE:
                z = draw_points(256, h, scale, generator)
                noise = draw_points(256, h, 1.0, generator)
                if fault := _fault_of_element(sigma, element, z, noise, rounding):
                    return f"{fault} at scale {scale:g}"
    return ""


def _fault_of_element(
    sigma: Activation, element: Pairs, z: Tensor, noise: Tensor, rounding: float
) -> str:
    m, n = element.inputs[0], element.outputs[0]
    a, b = element.input_shifts[0], element.output_shifts[0]
    g = GeneralLinear(len(m) + 1).exp(_homogeneous(m, a))
    pi = GeneralLinear(len(n) + 1).exp(_homogeneous(n, b))
    values = evaluate(sigma, z)
    there = z @ g[:-1, :-1].T + g[:-1, -1]
    moved, nudged = evaluate(sigma, there), evaluate(sigma, there * (1 + 8 * EPS * noise))
    expected = values @ pi[:-1, :-1].T + pi[:-1, -1]
    terms = values.abs() @ pi[:-1, :-1].abs().T + pi[:-1, -1].abs()
    known = (terms < OVERFLOW).all(1)
    moved, nudged, expected, terms = (x[known] for x in (moved, nudged, expected, terms))
    if not bool(torch.isfinite(moved).all()):
        return "σ is not finite everywhere"
    # A shift of a small point rounds it: what that may do to σ is seen beside it.
    worst = (nudged - moved).abs().amax(1, keepdim=True)
    allowed = THRESHOLD * terms.amax(1, keepdim=True) + rounding + 64 * worst
    right = bool(((moved - expected).abs() <= allowed).all())
    return "" if right else "σ is not continuous, or not what autograd sees,"


def _matrix(element: Pairs) -> Tensor:
    return torch.cat([element.input_part(), element.output_part()], 1)


def _homogeneous(matrix: Tensor, shift: Tensor) -> Tensor:
    """z ↦ Mz + a as a matrix on (z, 1)."""
    top = torch.cat([matrix, shift[:, None]], 1)
    return torch.nn.functional.pad(top, (0, 0, 0, 1))


def _discrete(sigma: Activation, z: Tensor) -> tuple[str, ...]:
    """Signs and permutations of the coordinates that pass through, or are lost."""
    h, values = z.shape[1], evaluate(sigma, z)
    if values.shape[1] != h:
        return ()
    known = (values.abs() < OVERFLOW).all(1)
    z, values = z[known], values[known]

    def agree(left: Tensor, right: Tensor) -> bool:
        return bool(((left - right).abs() <= THRESHOLD * values.abs().amax(1, keepdim=True)).all())

    found = []
    signs = 1 - 2 * torch.eye(h, dtype=torch.float64)
    flipped = [(s, evaluate(sigma, z * s)) for s in signs]
    if all(agree(after, values * s) for s, after in flipped):
        found.append("signs")
    if all(agree(after, values) for _, after in flipped):
        found.append("no signs")
    rolled = torch.arange(h).roll(1)
    swapped = torch.arange(h)
    swapped[: min(h, 2)] = swapped[: min(h, 2)].flip(0)
    orders = (rolled, swapped)  # they generate all permutations
    if h > 1 and all(agree(evaluate(sigma, z[:, o]), values[:, o]) for o in orders):
        found.append("permutations")
    return tuple(found)
