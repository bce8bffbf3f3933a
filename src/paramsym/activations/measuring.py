"""The way from a callable to its symmetries."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paramsym.activations.algebra import (
    THRESHOLD,
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
WIDE = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Scales of the fresh points on which pairs are checked."""


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
    of them; what is left is checked on fresh points of sizes from 10⁻³ to 10³ and by integrating,
    σ(exp(tM) z) = exp(tN) σ(z). A symmetry that fails only where nothing is sampled, such as by a
    clip at 10⁶, cannot be told from a true one.

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
    pairs = found.pairs(h, p)
    if not _integrates(sigma, pairs, scales, generator):
        reason = "σ(exp(tM) z) = exp(tN) σ(z) fails: σ is not continuous, or not what autograd sees"
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
        discrete=_discrete(sigma, draw_points(64, h, 1.0, generator)),
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


def _integrates(
    sigma: Activation, pairs: Pairs, scales: Sequence[float], generator: torch.Generator
) -> bool:
    """Whether σ(exp(M) z) = exp(N) σ(z) for random combinations (M, N), at fresh points."""
    if len(pairs) == 0:
        return True
    h, p = pairs.inputs.shape[-1], pairs.outputs.shape[-1]
    for size in (0.3, 1.0, -1.0):
        draw = torch.randn(1, len(pairs), generator=generator, dtype=torch.float64)
        element = pairs.combined(draw)
        element = element.combined(size / _matrix(element).norm().reshape(1, 1))
        g = GeneralLinear(h + 1).exp(_homogeneous(element.inputs[0], element.input_shifts[0]))
        pi = GeneralLinear(p + 1).exp(_homogeneous(element.outputs[0], element.output_shifts[0]))
        z = torch.cat([draw_points(256, h, scale, generator) for scale in scales])
        moved = evaluate(sigma, z @ g[:-1, :-1].T + g[:-1, -1])
        values = evaluate(sigma, z)
        expected = values @ pi[:-1, :-1].T + pi[:-1, -1]
        terms = values.abs() @ pi[:-1, :-1].abs().T + pi[:-1, -1].abs() + moved.abs()
        finite = torch.isfinite(terms).all(1)
        moved, expected, terms = moved[finite], expected[finite], terms[finite]
        # Shifts are known to the rounding of the largest values.
        allowed = THRESHOLD * terms.amax(1, keepdim=True) + 64 * p * EPS * terms.max()
        if bool(((moved - expected).abs() > allowed).any()):
            return False
    return True


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
    tolerance = THRESHOLD * values.abs().max()
    found = []
    signs = torch.ones(h, dtype=torch.float64)
    flipped = []
    for i in range(h):
        turned = torch.where(torch.arange(h) == i, -signs, signs)
        flipped.append((turned, evaluate(sigma, z * turned)))
    if all(bool((after - values * s).abs().max() <= tolerance) for s, after in flipped):
        found.append("signs")
    if all(bool((after - values).abs().max() <= tolerance) for _, after in flipped):
        found.append("no signs")
    rolled = torch.arange(h).roll(1)
    swapped = torch.arange(h)
    swapped[: min(h, 2)] = swapped[: min(h, 2)].flip(0)
    orders = (rolled, swapped)  # they generate all permutations
    if h > 1 and all(
        bool((evaluate(sigma, z[:, o]) - values[:, o]).abs().max() <= tolerance) for o in orders
    ):
        found.append("permutations")
    return tuple(found)
