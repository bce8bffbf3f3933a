"""Section 4 and Appendices D.2 to D.5: the data-dependent action."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.rotations import frame
from paramsym.claims.sampling import (
    Activation,
    invertible,
    leaky,
    normal,
    rounding,
    size,
    spectral,
)
from paramsym.data_dependent.frames import Householder, MovingFrame
from paramsym.residuals import largest

Frame = Callable[[Tensor], Tensor]
"""z ↦ R_z, dense."""

Cocycle = Callable[[Tensor, Tensor], Tensor]
"""(g, z) ↦ c(g, z), dense."""

NONZERO: tuple[Activation, ...] = (torch.sigmoid, torch.nn.functional.softplus, torch.cos)
"""Activations that are nonzero everywhere (cosine: almost surely)."""
NONZERO_OFF_ZERO: tuple[Activation, ...] = (torch.tanh, leaky, torch.nn.functional.elu, torch.sin)
"""Activations that are nonzero at nonzero vectors (sine: almost surely)."""

SHAPES = ((4, 6, 3), (3, 2, 2), (2, 5, 4))
"""(n, h, m) of the nets that are drawn."""


def _dense(moving: MovingFrame) -> Frame:
    return lambda z: moving.apply(z, torch.eye(len(z), dtype=z.dtype)).T


FRAMES: tuple[Frame, ...] = (frame, _dense(Householder()))
"""Definition D.1, and another choice with first column z."""


def one_sample(sigma: Activation, R: Frame) -> Cocycle:
    """c(g, z) = R_{σ(gz)} R_{σ(z)}⁻¹."""

    def c(g: Tensor, z: Tensor) -> Tensor:
        a, b = sigma(g @ z), sigma(z)
        return R(a) @ R(b).T / (b @ b)

    return c


def _condition(size_of_z: float, *values: Tensor) -> float:
    """How much rounding of z may turn R_{σ(z)}: the angles of σ(z) vary as 1/‖last two entries‖."""
    return max(1.0, size_of_z / min(size(value[-2:]) for value in values))


def _axioms(c: Cocycle, sigma: Activation, z: Tensor, g: Tensor, f: Tensor) -> float:
    """Largest relative residual of c(1,z) = 1, c(g,fz)c(f,z) = c(gf,z), c(g,z)σ(z) = σ(gz)."""
    unit = torch.eye(len(z), dtype=z.dtype)
    twice, once = c(g, f @ z) @ c(f, z), c(g @ f, z)
    terms = spectral(c(g, f @ z)) * spectral(c(f, z))
    carried = c(g, z) @ sigma(z) - sigma(g @ z)
    worst = largest(
        spectral(c(unit, z) - unit),
        spectral(twice - once) / terms,
        size(carried) / (spectral(c(g, z)) * size(sigma(z))),
    )
    scale = spectral(g) * spectral(f) * size(z)
    return worst / _condition(scale, *(sigma(x) for x in (z, f @ z, g @ z, g @ f @ z)))


def _act(
    U: Tensor, V: Tensor, x: Tensor, g: Tensor, sigma: Activation, R: Frame
) -> tuple[Tensor, Tensor]:
    """The action (7) on (U, V) at the input x, as printed."""
    a, b = sigma(V @ x), sigma(g @ V @ x)
    return U @ R(a) @ R(b).T / (b @ b), g @ V


def _action_residual(activations: Sequence[Activation], rng: torch.Generator) -> Residual:
    """Unit and multiplication axioms of (7), and the change of F(x)."""
    worst, draws = 0.0, 0
    for sigma in activations:
        for R in FRAMES:
            for n, h, m in SHAPES:
                U, V, x = normal(rng, m, h), normal(rng, h, n), normal(rng, n)
                g, f = invertible(rng, h), invertible(rng, h)
                same, _ = _act(U, V, x, torch.eye(h, dtype=x.dtype), sigma, R)
                twice, _ = _act(*_act(U, V, x, f, sigma, R), x, g, sigma, R)
                once, W = _act(U, V, x, g @ f, sigma, R)
                output = size(once @ sigma(W @ x) - U @ sigma(V @ x))
                error = largest(
                    size(same - U) / size(U),
                    size(twice - once) / size(once),
                    output / (size(once) * size(sigma(W @ x))),
                )
                scale = spectral(g) * spectral(f) * spectral(V) * size(x)
                values = (sigma(z) for z in (V @ x, f @ V @ x, W @ x))
                worst = largest(worst, error / _condition(scale, *values))
                draws += 1
    what = f"largest relative error of unit, multiplication and F(x) over condition, {draws} draws"
    return Residual(worst, rounding(128), what)


@claim(
    "thm-4.1",
    "Theorem 4.1, D.4 (2), eq (7)",
    "If σ(z) ≠ 0 for all z, g·(U,V,x) = (U R_{σ(Vx)} R_{σ(gVx)}⁻¹, gV, x) is an action that keeps "
    "F(x).",
    documented=Verdict.HOLDS,
)
def action(rng: torch.Generator) -> Evidence:
    """With the paper's R_z, and with Householder reflections."""
    return Evidence(_action_residual(NONZERO, rng))


@claim(
    "thm-d.4",
    "Theorem D.4 (1)",
    "If σ(z) ≠ 0 for z ≠ 0, it is an action on the locus Vx ≠ 0 and keeps F(x).",
    documented=Verdict.HOLDS,
)
def action_on_locus(rng: torch.Generator) -> Evidence:
    """With the same two choices of R_z; activations that vanish at 0."""
    return Evidence(_action_residual(NONZERO_OFF_ZERO, rng))


@claim(
    "sec-4-other-inputs",
    "Section 4, before Proposition 4.2",
    "At inputs other than x, the transformed net differs from the original in general.",
    documented=Verdict.HOLDS,
)
def other_inputs(rng: torch.Generator) -> Evidence:
    """Relative change of F at a second input."""
    unchanged, smallest = 0, float("inf")
    for sigma in (*NONZERO, *NONZERO_OFF_ZERO):
        for n, h, m in SHAPES:
            U, V, x, y = (normal(rng, *s) for s in ((m, h), (h, n), (n,), (n,)))
            moved, W = _act(U, V, x, invertible(rng, h), sigma, frame)
            change = size(moved @ sigma(W @ y) - U @ sigma(V @ y)) / size(U @ sigma(V @ y))
            smallest = min(smallest, change)
            unchanged += change < 1e-6
    what = f"draws of 21 with a relative change below 1e-6; the smallest is {smallest:.1e}"
    return Evidence(Residual(unchanged, 0, what))


# -- Lipschitz bounds --------------------------------------------------------------------------

LIPSCHITZ: tuple[tuple[Activation, float], ...] = (
    (torch.sigmoid, 0.25),
    (torch.tanh, 1.0),
    (leaky, 1.0),
)
"""Activations and their Lipschitz constants η."""


def _ratios(rng: torch.Generator) -> tuple[float, float, float]:
    """For random nets, with K the bound of Proposition 4.2 and F' the transformed net, the largest
    ‖F'(x₁) − F'(x₂)‖/K‖x₁ − x₂‖, ‖F'(x₁ − x₂)‖/K‖x₁ − x₂‖, and the first for F itself.
    """
    values = difference = original = 0.0
    for sigma, eta in LIPSCHITZ:
        for n, h, m in SHAPES * 5:
            scale = float(torch.rand(1, generator=rng) * 4 - 2)
            U, V, x = normal(rng, m, h), normal(rng, h, n) * 2.718**scale, normal(rng, n)
            g = invertible(rng, h, 1.5)
            moved, W = _act(U, V, x, g, sigma, frame)
            plain = eta * spectral(U) * spectral(V)
            bound = plain * size(sigma(V @ x)) * spectral(g) / size(sigma(W @ x))
            for step in (1e-4, 1e-2, 1.0):
                y, d = normal(rng, n), step * normal(rng, n)
                change = moved @ (sigma(W @ (y + d)) - sigma(W @ y))
                before = U @ (sigma(V @ (y + d)) - sigma(V @ y))
                values = largest(values, size(change) / bound / size(d))
                difference = largest(difference, size(moved @ sigma(W @ d)) / bound / size(d))
                original = largest(original, size(before) / plain / size(d))
    return values, difference, original


@claim(
    "prop-4.2",
    "Proposition 4.2",
    "The transformed net has Lipschitz bound η‖U‖‖V‖·|σ(Vx)|‖g‖/|σ(gVx)|, the original η‖U‖‖V‖.",
    documented=Verdict.HOLDS,
)
def lipschitz(rng: torch.Generator) -> Evidence:
    """Difference quotients at many distances, over the bounds."""
    values, _, original = _ratios(rng)
    what = "largest difference quotient of F' and of F, over its bound"
    return Evidence(Residual(largest(values, original), 1 + rounding(64), what))


@claim(
    "prop-4.2-proof",
    "Appendix D.5, proof of Proposition 4.2",
    "|F'(x₁ − x₂)| ≤ |U R_{σ(Vx)} R_{σ(gVx)}⁻¹ σ(gV(x₁ − x₂))| ≤ K|x₁ − x₂|.",
    documented=Verdict.CORRECTED,
    correction="The same for |F'(x₁) − F'(x₂)|, with σ(gVx₁) − σ(gVx₂) in the middle; "
    "F' is not linear and need not vanish at 0.",
)
def lipschitz_proof(rng: torch.Generator) -> Evidence:
    """The two sides of the printed inequality, and of the one that is needed."""
    values, difference, _ = _ratios(rng)
    bound = 1 + rounding(64)
    return Evidence(
        Residual(difference, bound, "largest |F'(x₁ − x₂)| / K|x₁ − x₂|"),
        Residual(values, bound, "largest |F'(x₁) − F'(x₂)| / K|x₁ − x₂|"),
    )


@claim(
    "eq-9",
    "eq (9), (31)",
    "c(g,z) = R_{σ(gz)}R_{σ(z)}⁻¹ has c(1,z) = 1, c(g₁,g₂z)c(g₂,z) = c(g₁g₂,z), "
    "c(g,z)σ(z) = σ(gz).",
    documented=Verdict.HOLDS,
)
def general_equivariance(rng: torch.Generator) -> Evidence:
    """The three identities at random g and z, for two choices of R_z."""
    worst = 0.0
    for sigma in (*NONZERO, *NONZERO_OFF_ZERO):
        for R in FRAMES:
            for h in (2, 5, 7):
                c, z = one_sample(sigma, R), normal(rng, h)
                worst = largest(worst, _axioms(c, sigma, z, invertible(rng, h), invertible(rng, h)))
    return Evidence(
        Residual(worst, rounding(128), "largest relative error over condition, 42 draws")
    )


@claim(
    "eq-9-lipschitz",
    "Section 4, after eq (9)",
    "Proposition 4.2 holds for any c with ‖c(g,Vx)⁻¹‖ in place of |σ(Vx)|‖g‖/|σ(gVx)|.",
    documented=Verdict.CORRECTED,
    correction="With ‖g‖·‖c(g,Vx)⁻¹‖.",
)
def general_lipschitz(rng: torch.Generator) -> Evidence:
    """Linear nets with c(g,z) = g = 10·(orthogonal), and others with R_{σ(gz)}R_{σ(z)}⁻¹."""
    printed = corrected = 0.0
    for n, h, m in SHAPES:
        U, V = normal(rng, m, h), normal(rng, h, n)
        g = 10 * torch.linalg.qr(normal(rng, h, h))[0]
        inverse = spectral(torch.linalg.inv(g))
        bound = spectral(U) * spectral(V)
        true = spectral(U @ torch.linalg.inv(g) @ g @ V)
        printed = largest(printed, true / (bound * inverse))
        corrected = largest(corrected, true / (bound * inverse * spectral(g)))
        for sigma, eta in LIPSCHITZ:
            x, g = normal(rng, n), invertible(rng, h, 1.5)
            inverted = torch.linalg.inv(one_sample(sigma, frame)(g, V @ x))
            y, d = normal(rng, n), 0.01 * normal(rng, n)
            change = size(U @ inverted @ (sigma(g @ V @ (y + d)) - sigma(g @ V @ y))) / size(d)
            ratio = change / (eta * bound * spectral(inverted))
            printed = largest(printed, ratio)
            corrected = largest(corrected, ratio / spectral(g))
    limit = 1 + rounding(64)
    return Evidence(
        Residual(printed, limit, "largest difference quotient over η‖U‖‖V‖‖c⁻¹‖"),
        Residual(corrected, limit, "largest difference quotient over η‖U‖‖V‖‖g‖‖c⁻¹‖"),
    )


# -- deep nets ---------------------------------------------------------------------------------

Layers = list[tuple[Tensor, Tensor]]
"""(W_i, b_i) for i = 1, …, L."""

MIXED: tuple[Activation, ...] = (torch.tanh, torch.sigmoid, leaky)
"""σ₁, …, σ_{L−1}; the output has none."""
WIDTHS = (3, 5, 4, 6, 2)


def _features(net: Layers, x: Tensor) -> list[Tensor]:
    """Z_0 = x, Z_1, …, Z_L."""
    z, a = [x], x
    for i, (W, b) in enumerate(net):
        z.append(W @ a + b)
        a = MIXED[i](z[-1]) if i < len(MIXED) else z[-1]
    return z


def act_on_deep(net: Layers, g: list[Tensor], x: Tensor, *, printed: bool = False) -> Layers:
    """Proposition D.5 with g_0, …, g_L; as printed, with σ_i inside R and layer L left alone."""
    z = _features(net, x)
    sigmas: list[Activation] = [lambda x: x, *MIXED]
    moved: Layers = []
    for i, (W, b) in enumerate(net, start=1):
        if printed and i == len(net):
            moved.append((W, b))
            continue
        inner = sigmas[i if printed else i - 1]
        value, target = sigmas[i - 1](z[i - 1]), inner(g[i - 1] @ z[i - 1])
        R = frame(value) @ frame(target).T / (target @ target)
        moved.append((g[i] @ W @ R, g[i] @ b))
    return moved


@claim(
    "prop-d.5",
    "Proposition D.5",
    "W_i ↦ g_i W_i R_{F_{i−1}} R_{σ_i(g_{i−1}Z_{i−1})}⁻¹, b_i ↦ g_i b_i for i = 1, …, L−1 is an "
    "action and preserves the extended feedforward function.",
    documented=Verdict.CORRECTED,
    correction="With σ_{i−1} inside R (σ₀ the identity), for i = 1, …, L.",
)
def deep_action(rng: torch.Generator) -> Evidence:
    """Four layers with biases and three activations: outputs, features, and the axioms."""
    printed = corrected = 0.0
    for _ in range(4):
        pairs = list(pairwise(WIDTHS))
        net, x = [(normal(rng, b, a), normal(rng, b)) for a, b in pairs], normal(rng, WIDTHS[0])
        units = [torch.eye(w, dtype=x.dtype) for w in WIDTHS]
        g, f = (
            [units[0], *(invertible(rng, w) for w in WIDTHS[1:-1]), units[-1]] for _ in range(2)
        )
        z = _features(net, x)
        output = _features(act_on_deep(net, g, x, printed=True), x)[-1]
        printed = largest(printed, size(output - z[-1]) / size(z[-1]))
        moved = act_on_deep(net, g, x)
        for gi, zi, feature in zip(g, z, _features(moved, x), strict=True):
            corrected = largest(corrected, size(feature - gi @ zi) / size(gi @ zi))
        twice = act_on_deep(act_on_deep(net, f, x), g, x)
        once = act_on_deep(net, [a @ b for a, b in zip(g, f, strict=True)], x)
        for layers, others in ((act_on_deep(net, units, x), net), (twice, once)):
            for (W, b), (X, c) in zip(layers, others, strict=True):
                corrected = largest(corrected, size(W - X) / size(X), size(b - c) / size(c))
    return Evidence(
        Residual(printed, rounding(2048), "largest relative change of F(x), 4 draws"),
        Residual(corrected, rounding(2048), "largest relative error of features and axioms"),
    )
