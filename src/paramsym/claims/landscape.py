"""Appendix H: conserved quantities and the sharpness of minima."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.dynamics import ACTIVATIONS, descend
from paramsym.claims.flow import EPS, Theta, gradient, gradient_flow, worst
from paramsym.claims.sampling import normal
from paramsym.claims.training import run_pairs, sign_test


def hessian(U: float, V: float, X: float, Y: float) -> Tensor:
    """The Hessian of ½(Y − UVX)² in (U, V), by automatic differentiation."""
    theta = torch.tensor([U, V], dtype=torch.float64)
    return torch.func.hessian(lambda p: (Y - p[0] * p[1] * X) ** 2 / 2)(theta)


def minimum(Q: float) -> tuple[float, float]:
    """The minimum UV = 1 with U² − V² = Q."""
    root = math.sqrt(Q * Q + 4)
    # One factor without cancellation, the other from UV = 1.
    large = math.sqrt((abs(Q) + root) / 2)
    return (large, 1 / large) if Q >= 0 else (1 / large, large)


@claim(
    "eq-109",
    "Appendix H.1, eq. (109), (110)",
    "The Hessian has V²X², −YX + 2UVX², U²X²; at the minimum with X = Y = 1 it is (110).",
    documented=Verdict.HOLDS,
)
def scalar_hessian(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for U, V, X, Y in normal(rng, 10, 4).tolist():
        off = -Y * X + 2 * U * V * X * X
        printed = torch.tensor([[V * V * X * X, off], [off, U * U * X * X]], dtype=torch.float64)
        size = (U * U + V * V) * X * X + abs(Y * X)
        pairs.append((float((hessian(U, V, X, Y) - printed).norm()) / size, 8 * EPS))
    for Q in (3 * normal(rng, 6)).tolist():
        root = math.sqrt(Q * Q + 4)
        printed = torch.tensor([[(-Q + root) / 2, 1], [1, (Q + root) / 2]], dtype=torch.float64)
        pairs.append((float((hessian(*minimum(Q), 1, 1) - printed).norm()) / root, 8 * EPS))
    return Evidence(worst(pairs, "largest difference of the two sides, relative, 16 points"))


@claim(
    "eq-111",
    "Appendix H.1, eq. (111)",
    "The eigenvalues at the minimum are λ₁ = 0 and λ₂ = 2√(Q² + 4).",
    documented=Verdict.CORRECTED,
    correction="λ₂ = √(Q² + 4).",
)
def sharpness(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for Q in [7.0, *(3 * normal(rng, 10)).tolist()]:
        low, high = torch.linalg.eigvalsh(hessian(*minimum(Q), 1, 1)).tolist()
        root = math.sqrt(Q * Q + 4)
        printed.append((max(abs(low), abs(high - 2 * root)) / root, 16 * EPS))
        corrected.append((max(abs(low), abs(high - root)) / root, 16 * EPS))
    what = "largest error of an eigenvalue / √(Q² + 4), Q = 7 and 10 draws"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "h.1-flow",
    "Appendix H.1, Figures 1, 8",
    "Gradient flow reaches the minimum with its own Q; the least sharp one is that of Q = 0.",
    documented=Verdict.HOLDS,
)
def reached(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    flattest = float(torch.linalg.eigvalsh(hessian(1, 1, 1, 1))[1])
    for _ in range(4):
        U, V = (normal(rng).abs() + 0.2 for _ in range(2))
        path = gradient_flow(lambda U, V: (1 - U * V) ** 2 / 2, (U, V), 20.0)
        end = [float(p) for p in path.thetas[-1]]
        expected = minimum(float(U**2 - V**2))
        gap = math.dist(end, expected) / math.hypot(*expected)
        # The residual left at t = 20 is e^{−20λ} with λ ≥ 2, below the integrator's error.
        pairs.append((gap, 4 * path.error))
        sharp = float(torch.linalg.eigvalsh(hessian(*expected, 1, 1))[1])
        pairs.append((flattest / sharp - 1, 8 * EPS))
    return Evidence(worst(pairs, "distance of the limit to the minimum with that Q, 4 starts"))


def trained(theta: Theta, Y: Tensor) -> Theta:
    """Gradient descent on ‖Y − UV‖² until the residual is rounding."""

    def loss(U: Tensor, V: Tensor) -> Tensor:
        return (U @ V - Y).square().sum()

    # Training keeps ‖U‖² + ‖V‖² in 2-norms below that of the start and twice that of the product.
    sharp = 2 * sum(float(torch.linalg.matrix_norm(p, 2)) ** 2 for p in theta)
    sharp += 4 * float(torch.linalg.matrix_norm(Y, 2))
    goal = (EPS * max(Y.shape)) ** 2 * float(Y.square().sum())
    for _ in range(2000):
        if float(loss(*theta)) <= goal:
            break
        theta = descend(theta, gradient(loss, theta), 1 / sharp)
    return theta


def full_hessian(theta: Theta, Y: Tensor) -> Tensor:
    """The Hessian of ‖Y − UV‖² in (U, V), dense."""
    U, V = theta
    (m, h), n = U.shape, V.shape[1]
    eye_m, eye_n = torch.eye(m, dtype=U.dtype), torch.eye(n, dtype=U.dtype)
    jacobian = torch.cat([torch.kron(eye_m, V.T.contiguous()), torch.kron(U, eye_n)], dim=1)
    found = 2 * jacobian.T @ jacobian
    # The residual couples U_ia to V_aj.
    rest = 2 * torch.einsum("ij,ab->iabj", U @ V - Y, torch.eye(h, dtype=U.dtype))
    cross = rest.reshape(m * h, h * n)
    found[: m * h, m * h :] += cross
    found[m * h :, : m * h] += cross.T
    return found


@claim(
    "h.2",
    "Appendix H.2",
    "For a trained linear net with (m, h, n) = (10, 50, 5), 700 of the 750 eigenvalues of the "
    "Hessian are around 0 (at most 10⁻³ in size).",
    documented=Verdict.HOLDS,
)
def flat_directions(rng: torch.Generator) -> Evidence:
    m, h, n = 10, 50, 5
    exceptions = 0
    for scale in (0.1, 0.3):
        Y = normal(rng, m, n)
        start = (normal(rng, m, h, scale=scale), normal(rng, h, n, scale=scale))
        values = torch.linalg.eigvalsh(full_hessian(trained(start, Y), Y))
        exceptions += abs(int((values.abs() <= 1e-3).sum()) - 700)
    return Evidence(Residual(exceptions, 0, "eigenvalues too many or too few, 2 trained nets"))


@claim(
    "fig-9",
    "Appendix H.2, Figure 9(a)",
    "After removing the small eigenvalues, the center of the distribution correlates positively "
    "with Q.",
    documented=Verdict.CORRECTED,
    correction="It grows with |Q|, for Q of either sign: it is 2(‖U‖²/m + ‖V‖²/n).",
)
def center(rng: torch.Generator) -> Evidence:
    wrong, missed = 0, 0
    m, h, n = 5, 20, 4
    for _ in range(2):
        Y, U, V = normal(rng, m, n), normal(rng, m, h), normal(rng, h, n)
        centers: list[float] = []
        for c in (0.2, 0.5, 2.0, 5.0):
            theta = trained((0.3 * c * U, 0.3 / c * V), Y)
            values = torch.linalg.eigvalsh(full_hessian(theta, Y))[-m * n :]
            predicted = 2 * sum(
                float(p.square().sum()) / k for p, k in zip(theta, (m, n), strict=True)
            )
            missed += abs(float(values.mean()) / predicted - 1) > 1e-9
            centers.append(float(values.mean()))
        wrong += sum(b <= a for a, b in pairwise(centers))
        missed += (centers[0] <= centers[1]) + (centers[3] <= centers[2])
    what = "starts with larger {} but no larger center, 2 orbits of 4"
    return Evidence(
        Residual(wrong, 0, what.format("Q")),
        Residual(missed, 0, what.format("|Q| of the same sign")),
    )


def curvature(sigma: Callable[[Tensor], Tensor], U: Tensor, V: Tensor, Y: Tensor) -> Tensor:
    """The trace of the Hessian of ‖Y − Uσ(Vᵀ)‖² in (U, V), for each of a batch."""
    V = V.detach().requires_grad_()
    value = sigma(V)
    (first,) = torch.autograd.grad(value.sum(), V, create_graph=True)
    second = torch.zeros_like(V)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), V)
    residual = U @ value.mT - Y
    by_u = U.shape[1] * value.square().sum((1, 2))
    by_v = (U.square().sum(1)[:, None] * first.square()).sum((1, 2))
    return 2 * (by_u + by_v + ((residual.mT @ U) * second).sum((1, 2))).detach()


@claim(
    "fig-9-nonlinear",
    "Appendix H.2, Figures 2(b), 9(b) to (d)",
    "In models with nonlinear activations, Q is still related to the distribution of the "
    "eigenvalues.",
    documented=Verdict.HOLDS,
)
def centers_of_nonlinear_nets(rng: torch.Generator) -> Evidence:
    """Whether a larger |Q| of the same sign has a larger mean eigenvalue after training."""
    exceptions: dict[str, int] = {}
    for name in ("relu", "sigmoid", "tanh"):
        sigma = ACTIVATIONS[name]
        runs = run_pairs(sigma, rng, (5, 20, 4), 2e-3, 0.01)
        less, more = curvature(sigma, runs.U, runs.V, runs.Y).view(2, -1)
        exceptions[name] = int((more <= less).sum())
    return Evidence(sign_test(exceptions, "starts with larger |Q| and no larger mean eigenvalue"))
