"""Appendix D.4: the data-dependent action on a batch."""

from itertools import pairwise

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.sampling import (
    Activation,
    invertible,
    leaky,
    normal,
    radial,
    rounding,
    size,
    spectral,
)
from paramsym.residuals import largest

ACTIVATIONS: tuple[Activation, ...] = (torch.tanh, torch.sigmoid, leaky, radial)

DEEP: tuple[Activation, ...] = (torch.tanh, torch.sigmoid, leaky)
"""Those of the hidden layers of a deep net."""


def completion(Y: Tensor) -> Tensor:
    """A(Y) = Q·diag(R, τI) from Y = Q[R; 0], invertible with first columns Y; τ = ‖Y‖/√k."""
    h, k = Y.shape
    Q, R = torch.linalg.qr(Y, mode="complete")
    return Q @ torch.block_diag(R[:k], size(Y) / k**0.5 * torch.eye(h - k, dtype=Y.dtype))


def batch_cocycle(sigma: Activation, g: Tensor, Z: Tensor) -> Tensor:
    """c(g, Z) = A(σ(gZ)) A(σ(Z))⁻¹ (ours; docs/derivations.md)."""
    return torch.linalg.solve(completion(sigma(Z)), completion(sigma(g @ Z)), left=False)


def unexplained(target: Tensor, source: Tensor) -> float:
    """‖target − C·source‖ / ‖target‖ for the matrix C that fits best."""
    rows = torch.linalg.svd(source, full_matrices=False)
    kept = rows.Vh[rows.S / rows.S[0] > rounding(source.numel())]
    return size(target - target @ kept.T @ kept) / size(target)


@claim(
    "lemma-d.6",
    "Lemma D.6, eq (32)–(34)",
    "If k ≤ h and σ preserves full rank, there is c with c(1,Z) = 1, c(g₁,g₂Z)c(g₂,Z) = c(g₁g₂,Z), "
    "c(g,Z)σ(Z) = σ(gZ) for any nonzero Z.",
    documented=Verdict.CORRECTED,
    correction="For Z of full rank with σ(Z), σ(gZ) of full rank: c = A(σ(gZ))A(σ(Z))⁻¹, where A "
    "completes the QR factors.",
)
def batch_action(rng: torch.Generator) -> Evidence:
    """Printed: radial σ preserves full rank, but no matrix takes σ(Z) to σ(gZ) at Z = [z, 2z].

    Corrected: the three identities by QR, over the condition of σ(Z) and of the factors.
    """
    printed = corrected = 0.0
    for h, k in ((6, 1), (6, 3), (8, 7), (5, 5)):
        z, g, f = normal(rng, h, 1), invertible(rng, h), invertible(rng, h)
        Z = torch.cat([z, 2 * z], 1)
        printed = largest(printed, unexplained(radial(g @ Z), radial(Z)))
        for sigma in ACTIVATIONS:
            Z, unit = normal(rng, h, k), torch.eye(h, dtype=z.dtype)
            c = batch_cocycle(sigma, g, f @ Z)
            twice, once = c @ batch_cocycle(sigma, f, Z), batch_cocycle(sigma, g @ f, Z)
            terms = spectral(c) * spectral(batch_cocycle(sigma, f, Z))
            carried = batch_cocycle(sigma, f, Z) @ sigma(Z) - sigma(f @ Z)
            error = largest(
                spectral(batch_cocycle(sigma, unit, Z) - unit),
                spectral(twice - once) / terms,
                size(carried) / (spectral(batch_cocycle(sigma, f, Z)) * size(sigma(Z))),
            )
            values = (sigma(X) for X in (Z, f @ Z, g @ f @ Z))
            conditions = [float(torch.linalg.cond(value)) for value in values]
            corrected = largest(corrected, error / max(conditions) / spectral(g @ f))
    return Evidence(
        Residual(
            printed, rounding(64), "least ‖σ(gZ) − Cσ(Z)‖/‖σ(gZ)‖ over C, Z = [z, 2z], radial"
        ),
        Residual(corrected, rounding(256), "largest relative error over condition, 16 draws"),
    )


@claim(
    "sec-d.4-deep",
    "Appendix D.4, after Lemma D.6",
    "For deep nets the lemma gives an action as in Proposition D.5 on k samples at which all Z_i "
    "have full rank.",
    documented=Verdict.HOLDS,
)
def deep_batch_action(rng: torch.Generator) -> Evidence:
    """Unit, multiplication and F(X), with the corrected Proposition D.5; 4 draws of 3 samples."""
    worst, widths = 0.0, (3, 5, 4, 6, 2)
    for _ in range(4):
        net = [(normal(rng, b, a), normal(rng, b, 1)) for a, b in pairwise(widths)]
        X = normal(rng, widths[0], 3)
        g, f = ([invertible(rng, w) for w in widths[1:-1]] for _ in range(2))
        units = [torch.eye(w, dtype=X.dtype) for w in widths[1:-1]]
        products = [a @ b for a, b in zip(g, f, strict=True)]
        moved, outputs, condition = act_on_deep_batch(net, products, X)
        twice = act_on_deep_batch(act_on_deep_batch(net, f, X)[0], g, X)[0]
        same = act_on_deep_batch(net, units, X)[0]
        after = act_on_deep_batch(moved, units, X)[1]
        errors = [size(after - outputs) / size(outputs)]
        for layers, others in ((same, net), (twice, moved)):
            for (W, b), (V, c) in zip(layers, others, strict=True):
                errors += [size(W - V) / size(V), size(b - c) / size(c)]
        worst = largest(worst, *(error / condition for error in errors))
    what = "largest relative error of unit, multiplication and F(X) over condition, 4 draws"
    return Evidence(Residual(worst, rounding(64), what))


def act_on_deep_batch(
    net: list[tuple[Tensor, Tensor]], g: list[Tensor], X: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], Tensor, float]:
    """W_i ↦ g_i W_i c_{i−1}⁻¹, b_i ↦ g_i b_i with c_i = c(g_i, Z_i), and F(X) of the net itself.

    Also the largest condition number of a hidden Z_i, σ_i(Z_i), σ_i(g_iZ_i) and c_i, multiplied
    over the layers.
    """
    moved: list[tuple[Tensor, Tensor]] = []
    value, inverse, condition = X, torch.eye(len(X), dtype=X.dtype), 1.0
    for i, (W, b) in enumerate(net):
        Z = W @ value + b
        if i == len(g):
            return [*moved, (W @ inverse, b)], Z, condition
        sigma = DEEP[i]
        moved.append((g[i] @ W @ inverse, g[i] @ b))
        c = batch_cocycle(sigma, g[i], Z)
        value, inverse = sigma(Z), torch.linalg.inv(c)
        condition *= max(float(torch.linalg.cond(x)) for x in (Z, value, sigma(g[i] @ Z), c))
    raise AssertionError("a net has one layer more than hidden spaces")


def _relative_det(value: Tensor) -> float:
    return abs(float(torch.linalg.det(value))) / size(value) ** 2


def _example(sigma: Activation, Z: Tensor, shown: float) -> Evidence:
    """det σ(Z) = 0, and det Z is the number shown to four digits."""
    misprint = largest(0.0, abs(float(torch.linalg.det(Z)) - shown) - 5e-5)
    what = "|det σ(Z)| / ‖σ(Z)‖², and |det Z − the value shown| beyond its last digit"
    return Evidence(Residual(largest(misprint, _relative_det(sigma(Z))), rounding(32), what))


def _fifths(inverse: Activation) -> Tensor:
    return inverse(torch.tensor([[0.2, 0.4], [0.4, 0.8]], dtype=torch.float64))


@claim(
    "ex-d.1-1",
    "Example D.1 (1)",
    "For Z = σ⁻¹([1/5 2/5; 2/5 4/5]), σ the sigmoid: det Z = −2.0862, det σ(Z) = 0.",
    documented=Verdict.HOLDS,
)
def sigmoid_example(rng: torch.Generator) -> Evidence:
    """Both determinants."""
    return _example(torch.sigmoid, _fifths(torch.logit), -2.0862)


@claim(
    "ex-d.1-2",
    "Example D.1 (2)",
    "For Z = tanh⁻¹([1/5 2/5; 2/5 4/5]): det Z = 0.0432, det tanh(Z) = 0 (k = 2; printed k = 1).",
    documented=Verdict.HOLDS,
)
def tanh_example(rng: torch.Generator) -> Evidence:
    """Both determinants."""
    return _example(torch.tanh, _fifths(torch.atanh), 0.0432)


@claim(
    "ex-d.1-3",
    "Example D.1 (3)",
    "With leaky ReLU σ(z) = sz·min(0,z) + z·max(0,z) and Z = [s −1; −1 s], det σ(Z) = 0 ≠ det Z.",
    documented=Verdict.CORRECTED,
    correction="With σ(z) = max(0,z) + s·min(0,z).",
)
def leaky_example(rng: torch.Generator) -> Evidence:
    """det σ(Z) by both formulas, for random 0 < s < 1; det Z = s² − 1 is not small there."""
    printed = corrected = 0.0
    for s in (0.1 + 0.8 * torch.rand(6, generator=rng, dtype=torch.float64)).tolist():
        Z = torch.tensor([[s, -1], [-1, s]], dtype=torch.float64)
        assert abs(float(torch.linalg.det(Z)) - (s * s - 1)) <= rounding(32)
        low, high = Z.clamp(max=0), Z.clamp(min=0)
        printed = largest(printed, _relative_det(s * Z * low + Z * high))
        corrected = largest(corrected, _relative_det(high + s * low))
    what, bound = "largest |det σ(Z)| / ‖σ(Z)‖², 6 values of s", rounding(32)
    return Evidence(Residual(printed, bound, what), Residual(corrected, bound, what))


@claim(
    "sec-d.4-large-batch",
    "Appendix D.4, last paragraph",
    "For k > h there is in general no matrix that takes σ(Z) to σ(gZ).",
    documented=Verdict.HOLDS,
)
def large_batches(rng: torch.Generator) -> Evidence:
    """The best matrix leaves a residual, in every draw."""
    matched, smallest = 0, float("inf")
    for h, k in ((2, 22), (5, 6), (5, 20), (8, 9)):
        for sigma in ACTIVATIONS:
            Z, g = normal(rng, h, k), invertible(rng, h)
            left = unexplained(sigma(g @ Z), sigma(Z))
            smallest = min(smallest, left)
            matched += left < 1e-6
    what = f"draws of 16 where the best matrix leaves less than 1e-6; the least is {smallest:.1e}"
    return Evidence(Residual(matched, 0, what))
