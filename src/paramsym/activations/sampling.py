"""An activation seen from outside: checked calls, its values and derivatives at random points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

Activation = Callable[[Tensor], Tensor]

ROUNDING = 1e-12
"""Relative difference that two orders of the same float64 operations may have."""


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """Values of an activation.

    Attributes:
        points: Points z, `[k, h]`.
        values: σ(z), `[k, p]`.
        jacobian: J_σ(z), `[k, p, h]`.
    """

    points: Tensor
    values: Tensor
    jacobian: Tensor


def draw_points(count: int, h: int, scale: float, generator: torch.Generator) -> Tensor:
    """Points of many sizes about `scale`, `[count, h]` in float64.

    Gaussian points with log-normal sizes; of every eight, one has only positive and one only
    negative coordinates, and one has some that are much smaller than the others. So neither these
    orthants nor the neighbourhoods of the axes are missed, whatever `h`.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    points = normal(count, h) * (0.5 * normal(count, 1)).exp()
    points[0::8] = points[0::8].abs()
    points[1::8] = -points[1::8].abs()
    points[2::8] *= (-2 * normal(*points[2::8].shape).abs()).exp()
    return scale * points


def evaluate(sigma: Activation, points: Tensor) -> Tensor:
    """σ(z) without derivatives; the points are not changed."""
    with torch.no_grad():
        return sigma(points.clone())


def differentiate(sigma: Activation, points: Tensor) -> Sample:
    """σ and its Jacobian by reverse mode, one pass for each output.

    Raises:
        ValueError: If autograd does not reach the points.
    """
    leaf = points.clone().requires_grad_()
    with torch.enable_grad():
        values = sigma(leaf.clone())
    k, p = values.shape
    if not values.requires_grad:
        if bool((values != values[:1]).any()):
            raise ValueError(_NOT_DIFFERENTIABLE.format("its result does not require gradients"))
        return Sample(points, values, points.new_zeros(k, p, points.shape[1]))
    rows = []
    for i in range(p):
        try:
            (row,) = torch.autograd.grad(
                values[:, i].sum(), leaf, retain_graph=True, materialize_grads=True
            )
        except (NotImplementedError, RuntimeError) as error:
            raise ValueError(_NOT_DIFFERENTIABLE.format(str(error).splitlines()[0])) from error
        rows.append(row)
    return Sample(points, values.detach(), torch.stack(rows, 1))


_NOT_DIFFERENTIABLE = (
    "`sigma` must be differentiable by autograd; {}. "
    "Pass the same function written with differentiable torch functions."
)


def check_activation(
    sigma: Activation, h: int, scales: Sequence[float], generator: torch.Generator
) -> int:
    """The number p of outputs of a function R^h → R^p of the last axis.

    Raises:
        TypeError: If it is not callable, or returns no float64 tensor.
        ValueError: If shapes are wrong, samples influence each other, a value is not finite, or
            two calls differ.
    """
    if not callable(sigma):
        raise TypeError(
            "`sigma` must be a callable on tensors of shape [..., h]; "
            f"got {type(sigma).__name__}. Pass a function such as `torch.relu`."
        )
    points = torch.cat([draw_points(12, h, scale, generator) for scale in scales])
    state = torch.get_rng_state()
    values = evaluate(sigma, points)
    _check_tensor(values, points)
    require_finite(values, points)
    values = values.clone()  # or a function that writes to one buffer would change them
    again = evaluate(sigma, points)
    # A draw that changes one entry in a million is not seen in the values.
    if not (torch.equal(values, again) and torch.equal(state, torch.get_rng_state())):
        raise ValueError(
            "`sigma` must return the same values for the same input; two calls differ, or draw "
            "random numbers. Switch randomness off (dropout: `.eval()`), and keep no state between "
            "calls."
        )
    _check_rowwise(sigma, points, values)
    return values.shape[1]


def require_finite(values: Tensor, points: Tensor) -> None:
    """Raise `ValueError` unless the function is finite at all points."""
    finite = torch.isfinite(values).all(-1)
    if not bool(finite.all()):
        where = [round(x, 3) for x in points[~finite][0].tolist()]
        raise ValueError(
            f"`sigma` must be finite on all of R^h; it returns NaN or infinity at z = {where}. "
            "Compose it with a function into its domain, or, if it overflows, lower `scales`."
        )


def _check_tensor(values: object, points: Tensor) -> None:
    if not isinstance(values, Tensor) or values.dtype != points.dtype:
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            "`sigma` must return a float64 tensor for a float64 tensor, because symmetries are "
            f"told from near symmetries at 1e-8; got {got}. Do not cast inside; for a module, "
            "call `.double()` first."
        )
    if values.ndim != 2 or values.shape[0] != points.shape[0] or values.shape[1] == 0:
        raise ValueError(
            "`sigma` must map [..., h] to [..., p]; it maps "
            f"{list(points.shape)} to {list(values.shape)}."
        )


def _check_rowwise(sigma: Activation, points: Tensor, values: Tensor) -> None:
    k, h = points.shape
    for shape in ((2, k // 2, h), (2, 3, k // 6, h), (1, h)):
        parts = points.split(1) if shape == (1, h) else (points.reshape(shape),)
        try:
            results = [evaluate(sigma, part) for part in parts]
        except Exception as error:
            raise _not_rowwise(f"it rejects shape {list(shape)}: {error}") from error
        expected = (*shape[:-1], values.shape[1])
        if any(tuple(result.shape) != expected for result in results):
            raise _not_rowwise(f"it maps {list(shape)} to {list(results[0].shape)}")
        again = torch.cat([result.reshape(-1, values.shape[1]) for result in results])
        if not (again - values).abs().max() <= ROUNDING * values.abs().max():
            raise _not_rowwise(f"samples in shape {list(shape)} have other values")


def _not_rowwise(what: str) -> ValueError:
    return ValueError(
        f"`sigma` must act along the last axis alone, sample by sample; {what}. "
        "Move the axis that it works on to the end, and keep the batch out of it."
    )
