"""Appendix I: ensembles by the pseudo-inverse."""

from collections.abc import Callable

import torch
from torch import Tensor

from paramsym.claims.batches import batch_cocycle
from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.sampling import (
    Activation,
    invertible,
    leaky,
    normal,
    rounding,
    size,
    spectral,
)
from paramsym.residuals import largest

ACTIVATIONS: tuple[Activation, ...] = (torch.tanh, torch.sigmoid, leaky)
WIDTH = 32
"""The hidden width of the paper's ensemble experiment."""


def pseudo_inverse(sigma: Activation, g: Tensor, H: Tensor) -> Tensor:
    """π(g, H) = σ(H)σ(gH)†, eq (112)."""
    return sigma(H) @ torch.linalg.pinv(sigma(g @ H))


def near_identity(rng: torch.Generator, epsilon: float) -> Tensor:
    """g = I + εM with a standard normal M, as in Appendix I."""
    return torch.eye(WIDTH, dtype=torch.float64) + epsilon * normal(rng, WIDTH, WIDTH)


@claim(
    "eq-113",
    "Appendix I, eq (112), (113)",
    "With π(g,H) = σ(H)σ(gH)†, Uσ(H) = Uπ(g,H)σ(gH).",
    documented=Verdict.CORRECTED,
    correction="If and only if the row space of σ(H) lies in that of σ(gH): in general k ≤ h.",
)
def exactness(rng: torch.Generator) -> Evidence:
    """h = 32 and k samples: k ≤ 32 with and without repeated samples, and k > 32."""
    printed = corrected = 0.0
    for sigma in ACTIVATIONS:
        for k in (1, 8, 31, 32, 33, 64, 256):
            H, g = normal(rng, WIDTH, k), near_identity(rng, 0.3)
            batches = [H, H[:, torch.arange(k) % max(1, k // 2)]] if k <= WIDTH else [H]
            for X in batches:
                change = size(pseudo_inverse(sigma, g, X) @ sigma(g @ X) - sigma(X))
                residual = change / size(sigma(X))
                printed = largest(printed, residual)
                if k <= WIDTH:
                    corrected = largest(corrected, residual / _condition(sigma(g @ X)))
    return Evidence(
        Residual(printed, rounding(4096), "largest ‖πσ(gH) − σ(H)‖ / ‖σ(H)‖, k = 1 to 256"),
        Residual(corrected, rounding(256), "the same over cond(σ(gH)), k ≤ h"),
    )


def _condition(value: Tensor) -> float:
    """Ratio of the largest to the smallest singular value that is not zero to rounding."""
    values = torch.linalg.svdvals(value)
    return float(values[0] / values[values > rounding(value.numel()) * values[0]][-1])


@claim(
    "eq-112",
    "Appendix I, eq (112)",
    "g·(U,V) = (Uπ(g,H), gV) with π(g,H) = σ(H)σ(gH)† is a group action.",
    documented=Verdict.CORRECTED,
    correction="For k = h only. For k < h π(I,H) is a projector of rank k, for k > h products "
    "fail; c(g,H)⁻¹ of Lemma D.6 gives an action for all k ≤ h.",
)
def group_action(rng: torch.Generator) -> Evidence:
    """Unit and multiplication of π, at k < h and k > h, and of c⁻¹ at k ≤ h = 16."""
    printed = corrected = 0.0
    h = 16
    for sigma in ACTIVATIONS:
        for k in (4, 15, 16, 24):
            H, g, f = normal(rng, h, k), invertible(rng, h), invertible(rng, h)
            printed = largest(
                printed, _axioms(lambda g, H, s=sigma: pseudo_inverse(s, g, H), g, f, H)
            )
            if k > h:
                continue
            error = _axioms(lambda g, H, s=sigma: torch.linalg.inv(batch_cocycle(s, g, H)), g, f, H)
            values = (sigma(X) for X in (H, f @ H, g @ f @ H))
            condition = max(_condition(value) for value in values)
            corrected = largest(corrected, error / condition**2 / spectral(g @ f))
    return Evidence(
        Residual(
            printed, rounding(4096), "‖π(I,H) − I‖ and relative error of products, 4 ≤ k ≤ 24"
        ),
        Residual(corrected, rounding(256), "the same for c⁻¹, k ≤ 16, over cond(σ(H))²"),
    )


def _axioms(
    represent: Callable[[Tensor, Tensor], Tensor], g: Tensor, f: Tensor, H: Tensor
) -> float:
    """Residuals of π(1,H) = 1 and π(f,H)π(g,fH) = π(gf,H), the order in which U is multiplied."""
    unit = torch.eye(len(H), dtype=H.dtype)
    first, second, once = represent(f, H), represent(g, f @ H), represent(g @ f, H)
    product = spectral(first @ second - once) / (spectral(first) * spectral(second))
    return largest(spectral(represent(unit, H) - unit), product)


@claim(
    "app-i-new-activation",
    "Appendix I, after eq (113)",
    "Wrapping σ'(x) = π(g,x)σ(gx) around the batch at hand gives other models, an ensemble.",
    documented=Verdict.CORRECTED,
    correction="On a batch of k ≤ h, σ'(x) = σ(x): all members agree. Freeze π(g,H) from a "
    "reference batch H.",
)
def diversity(rng: torch.Generator) -> Evidence:
    """Members that equal the original on a fresh batch, with π recomputed and with π frozen."""
    recomputed = frozen = 0
    least, most = float("inf"), 0.0
    for sigma in ACTIVATIONS:
        for k in (4, 16, 31):
            U, g = normal(rng, 10, WIDTH), near_identity(rng, 0.1)
            H, fresh = normal(rng, WIDTH, k), normal(rng, WIDTH, k)
            truth, moved = U @ sigma(fresh), sigma(g @ fresh)
            again = size(U @ pseudo_inverse(sigma, g, fresh) @ moved - truth) / size(truth)
            kept = size(U @ pseudo_inverse(sigma, g, H) @ moved - truth) / size(truth)
            recomputed += again < 1e-9
            frozen += kept < 1e-9
            least, most = min(least, kept), largest(most, again)
    return Evidence(
        Residual(
            recomputed, 0, f"members of 9 that equal the original, to {most:.0e}, π recomputed"
        ),
        Residual(frozen, 0, f"members of 9 that do, π frozen; they differ by {least:.0e} or more"),
    )


@claim(
    "app-i-fresh-data",
    "Appendix I, first paragraph, Figure 10",
    "The loss is approximately unchanged on new data for g = I + εM with small ε.",
    documented=Verdict.CORRECTED,
    correction="With the pseudo-inverse for k ≥ h only: for k < h the change does not vanish with "
    "ε. With c(g,H)⁻¹ of Lemma D.6 it is O(ε) for k ≤ h too.",
)
def fresh_data(rng: torch.Generator) -> Evidence:
    """Change of outputs on fresh inputs at ε = 1e-5, with π from a reference batch."""
    epsilon, printed, corrected = 1e-5, 0.0, 0.0
    for sigma in ACTIVATIONS:
        V, U = normal(rng, WIDTH, 40) / 40**0.5, normal(rng, 10, WIDTH) / WIDTH**0.5
        g, fresh = near_identity(rng, epsilon), V @ normal(rng, 40, 200)
        truth, moved = U @ sigma(fresh), sigma(g @ fresh)
        for k in (16, 256):
            H = V @ normal(rng, 40, k)
            maps = [pseudo_inverse(sigma, g, H)]
            if k <= WIDTH:
                maps.append(torch.linalg.inv(batch_cocycle(sigma, g, H)))
            changes = [size(U @ c @ moved - truth) / size(truth) for c in maps]
            printed = largest(printed, changes[0])
            corrected = largest(corrected, changes[-1])
    bound = epsilon**0.5
    return Evidence(
        Residual(printed, bound, "largest relative change of outputs, pseudo-inverse, k = 16, 256"),
        Residual(corrected, bound, "the same, c⁻¹ for k = 16, pseudo-inverse for k = 256"),
    )
