"""Potentials Φ of activations, Φ' = σ/σ': the part of V in the laws of elementwise activations.

Along gradient flow with whitened data an entry z of the hidden layer moves by ż = −σ'(z) g, where g
is the gradient at its activation; so Φ(z) changes at the rate −σ(z) g, which is that of the part of
½‖U‖² which reads the entry (eq. (53)). Every Φ here is the integral from 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from paramsym.laws import tanh_sinh

Pointwise = Callable[[Tensor], Tensor]
"""A function that acts on each entry of a tensor."""


@final
@dataclass(frozen=True)
class Potential:
    """An antiderivative of σ/σ', branch by branch between the zeros of σ'.

    Attributes:
        name: Name of the activation.
        ratio: σ/σ' = Φ'.
        value: Φ, with Φ(0) = 0 where 0 is in a branch; accurate to rounding relative to 1 + |Φ|.
        poles: Zeros of σ' where σ is not 0. Φ diverges there like a logarithm, gradient flow does
            not cross them, and each side has a constant of its own.
        period: Distance at which the poles repeat, or 0 if they do not.
        error: An estimate of the error of a coarser rule, if `value` is a quadrature.
    """

    name: str
    ratio: Pointwise
    value: Pointwise
    poles: tuple[float, ...] = ()
    period: float = 0.0
    error: Pointwise | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Φ of every entry, of the same shape and dtype; reads no values (see `require`)."""
        return self.value(x)

    def require(self, x: Tensor, argument: str = "x") -> None:
        """Raise unless Φ is defined and accurate at every entry.

        Raises:
            ValueError: If an entry or its Φ is not finite, or the entry is nearer to a pole than
                √eps (relative to its position), where rounding of the entry alone changes Φ by
                √eps; or if the quadrature did not converge, as when a pole that was not named lies
                on its way.
        """
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"`{argument}` must be finite; got {x[~x.isfinite()][0].item()}.")
        near = math.sqrt(torch.finfo(x.dtype).eps)
        for pole in self.poles:
            distance = x - pole
            if self.period:
                distance = distance - self.period * (distance / self.period).round()
            at = distance.abs() <= near * x.abs().clamp(min=1)
            if bool(at.any()):
                raise ValueError(
                    f"`{argument}`: the potential of {self.name} has a pole at "
                    f"{float((x - distance)[at][0]):.7g}, where its derivative is 0; "
                    f"{int(at.sum())} entries are there to within {near:.0e}. An entry at a pole "
                    "has no law: leave out its neuron, or start elsewhere."
                )
        if self.error is not None:
            # The rule's error is about the square of that of the rule with half the points.
            late = ~(self.error(x) <= near * (1 + self.value(x).abs()))
            if bool(late.any()):
                raise ValueError(
                    f"`{argument}`: the integral of σ/σ' for {self.name} did not converge at "
                    f"{x[late][0].item():.7g}. σ must be smooth, with σ' not 0, from 0 to every "
                    "entry: name the zeros of σ' in `poles`."
                )
        elif not bool((finite := torch.isfinite(self.value(x))).all()):
            raise ValueError(
                f"`{argument}`: the potential of {self.name} is too large for {x.dtype} at "
                f"{x[~finite][0].item():.7g}. Use float64, or start with smaller weights."
            )


def potential(name: str) -> Potential:
    """The potential of a named activation.

    In closed form for all but GELU and SiLU, whose quadratures have one pole each. `relu` gives
    negative entries, which do not move, 0. `elu` is that with α = 1; `leaky_relu` has any slope.

    Raises:
        ValueError: If there is no activation of that name.
    """
    if name not in NAMED:
        raise ValueError(
            f"`name` must be one of {sorted(NAMED)}; got {name!r}. "
            "For another activation use `by_quadrature`."
        )
    return NAMED[name]


def by_quadrature(
    activation: Pointwise,
    *,
    poles: tuple[float, ...] = (),
    name: str = "the activation",
) -> Potential:
    """The potential of any smooth pointwise activation, by numerical integration of σ/σ'.

    Branches away from 0 start in the middle between two poles, or at distance 1 from the last.

    Args:
        activation: σ, acting on each entry of a tensor; differentiable by torch.func. Its values
            and derivatives must be accurate relative to themselves: torch's tanh' = 1 − tanh² is
            not at large arguments.
        poles: Zeros of σ' where σ is not 0, accurate to rounding.
        name: For messages.

    Raises:
        ValueError: If 0 is a pole or poles are not finite and distinct.
    """

    def ratio(x: Tensor) -> Tensor:
        found = torch.func.jvp(activation, (x,), (torch.ones_like(x),))
        return found[0] / torch.where(found[0] == 0, 1, found[1])

    return _integrated(name, ratio, poles)


def _integrated(name: str, ratio: Pointwise, poles: tuple[float, ...] = ()) -> Potential:
    ends = tuple(sorted(poles))
    if not all(map(math.isfinite, ends)) or len(set(ends)) < len(ends) or 0 in ends:
        raise ValueError(
            f"`poles` must be finite, distinct and not 0, where the integral starts; got {poles}."
        )

    def start(x: Tensor) -> Tensor:
        """Where the integral to each entry begins: a fixed point of the entry's branch."""
        first, *later = [_anchor(a, b) for a, b in pairwise((-math.inf, *ends, math.inf))]
        found = torch.full_like(x, first)
        for pole, anchor in zip(ends, later, strict=True):
            found = torch.where(x > pole, anchor, found)
        return found

    def value(x: Tensor) -> Tensor:
        return tanh_sinh.integral(ratio, start(x), x)

    def error(x: Tensor) -> Tensor:
        return (value(x) - tanh_sinh.integral(ratio, start(x), x, every=2)).abs()

    return Potential(name, ratio, value, ends, error=error)


def _anchor(a: float, b: float) -> float:
    if a < 0 < b:
        return 0.0
    if math.isinf(a):
        return b - 1
    return a + 1 if math.isinf(b) else (a + b) / 2


# -- closed forms -----------------------------------------------------------------------------


def _exp_minus_linear(t: Tensor) -> Tensor:
    """eᵗ − 1 − t for t ≥ 0, accurate relative to itself."""
    small = t.clamp(max=0.5)
    series = torch.ones_like(t)
    for k in range(16, 2, -1):
        series = 1 + series * small / k
    return torch.where(t < 0.5, small * small / 2 * series, torch.expm1(t) - t)


def _elu(x: Tensor) -> Tensor:
    return x.clamp(min=0).square() / 2 + _exp_minus_linear((-x).clamp(min=0))


def _log_cos(x: Tensor) -> Tensor:
    """−log|cos x|, accurate relative to itself near 0 and near the poles."""
    sine = x.sin().square()
    flat = sine < 0.5
    return torch.where(
        flat, -torch.log1p(-torch.where(flat, sine, 0)) / 2, -torch.log(x.cos().abs())
    )


_BERNOULLI = ((0, 1.0), (1, -1 / 2), (2, 1 / 6), (4, -1 / 30), (6, 1 / 42), (8, -1 / 30),
              (10, 5 / 66), (12, -691 / 2730), (14, 7 / 6), (16, -3617 / 510))  # fmt: skip


def dilogarithm_of_minus(q: Tensor) -> Tensor:
    """Li₂(−q) for 0 ≤ q ≤ 1, by its series in u = −log(1 + q), Σ B_k u^{k+1}/(k+1)!.

    |u| ≤ log 2 is far inside the radius 2π: ten terms reach rounding.
    """
    u = -torch.log1p(q)
    return sum(
        (b / math.factorial(k + 1) * u ** (k + 1) for k, b in _BERNOULLI), torch.zeros_like(u)
    )


def _softplus_ratio(x: Tensor) -> Tensor:
    q = _exp_of_minus_size(x)
    above = torch.log1p(q) * (1 + q) + x.clamp(min=0) * (1 + q)
    return torch.where(x > 0, above, _log1p_over(q) * (1 + q))


def _exp_of_minus_size(x: Tensor) -> Tensor:
    """e^{−|x|}, whose derivative at 0 is that from the left: torch's |x| has 0 there."""
    return torch.exp(torch.where(x > 0, -x, x))


def _log1p_over(q: Tensor) -> Tensor:
    """log(1 + q)/q for q ≥ 0; below eps it is 1 to rounding, and derivatives would overflow."""
    visible = q > torch.finfo(q.dtype).eps
    safe = torch.where(visible, q, 1)
    return torch.where(visible, torch.log1p(safe) / safe, 1)


def _softplus(x: Tensor) -> Tensor:
    """x − (1 + e⁻ˣ) log(1 + eˣ) − Li₂(−eˣ), less its value at 0.

    For x > 0 the terms that grow are taken out: Li₂(−eˣ) = −π²/6 − x²/2 − Li₂(−e⁻ˣ).
    """
    q, above = _exp_of_minus_size(x), x.clamp(min=0)
    li = dilogarithm_of_minus(q)
    right = above.square() / 2 - above * q - torch.log1p(q) * (1 + q) + li + math.pi**2 / 6
    left = x - _log1p_over(q) * (1 + q) - li
    return torch.where(x > 0, right, left) + (2 * math.log(2) - math.pi**2 / 12)


def _gelu_ratio(x: Tensor) -> Tensor:
    """x/(1 + xφ/Φ), with the normal density φ and distribution Φ; φ/Φ does not underflow."""
    below, above = x.clamp(max=0), x.clamp(min=0)
    scale = math.sqrt(2 / math.pi)
    left = scale / torch.special.erfcx(-below * math.sqrt(0.5))
    right = scale * torch.exp(-above.square() / 2) / (1 + torch.erf(above * math.sqrt(0.5)))
    return x / (1 + x * torch.where(x < 0, left, right))


def _silu_ratio(x: Tensor) -> Tensor:
    return x / (1 + x * torch.sigmoid(-x))


GELU_POLE = -0.7517915246935645
SILU_POLE = -1.2784645427610738

NAMED = {
    p.name: p
    for p in (
        Potential("identity", lambda x: x, lambda x: x.square() / 2),
        Potential("leaky_relu", lambda x: x, lambda x: x.square() / 2),
        Potential("relu", lambda x: x.clamp(min=0), lambda x: x.clamp(min=0).square() / 2),
        Potential("exp", torch.ones_like, lambda x: x),
        Potential("tanh", lambda x: torch.sinh(2 * x) / 2, lambda x: torch.sinh(x).square() / 2),
        Potential("elu", lambda x: torch.where(x > 0, x, -torch.expm1((-x).clamp(min=0))), _elu),
        Potential("sigmoid", lambda x: 1 + x.exp(), lambda x: x + torch.expm1(x)),
        Potential(
            "softsign",
            lambda x: x * (1 + x.abs()),
            lambda x: x.square() / 2 + x.abs() ** 3 / 3,
        ),
        Potential("softplus", _softplus_ratio, _softplus),
        Potential("sin", torch.tan, _log_cos, (math.pi / 2,), math.pi),
        _integrated("gelu", _gelu_ratio, (GELU_POLE,)),
        _integrated("silu", _silu_ratio, (SILU_POLE,)),
    )
}
