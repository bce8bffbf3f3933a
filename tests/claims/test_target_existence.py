"""Which values of Q an orbit takes: the statements of docs/derivations.md §17, measured."""

import math

import pytest
import torch
from torch import Tensor

from paramsym.claims.sampling import invertible, normal, orthogonal, rounding, size, spectral

F64 = torch.float64


# -- GL(h), one hidden space -----------------------------------------------------------------------


def pair(rng: torch.Generator, h: int) -> tuple[Tensor, Tensor]:
    """A and B, positive definite."""
    W, R = normal(rng, h, h + 1), normal(rng, h, h + 2)
    return W @ W.T, R @ R.T


def carried(g: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """gAgᵀ and g⁻ᵀBg⁻¹."""
    inverse = torch.linalg.inv(g)
    return g @ A @ g.T, inverse.T @ B @ inverse


def symmetric(rng: torch.Generator, h: int, scale: float = 2.0) -> Tensor:
    S = normal(rng, h, h, scale=scale)
    return S + S.T


def power(S: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(S)
    return vectors * values**exponent @ vectors.T


@pytest.mark.parametrize("q", [-3.0, 0.0, 0.7, 40.0])
def test_scalar_target(q: float, rng: torch.Generator) -> None:
    h = 4
    A, B = pair(rng, h)
    root = power(A, 0.5)
    N = root @ B @ root
    one = torch.eye(h, dtype=F64)
    Z = q / 2 * one + power(q * q / 4 * one + N, 0.5)
    P = torch.linalg.solve(root, torch.linalg.solve(root, Z).T)
    for k in (one, orthogonal(rng, h)):
        X, Y = carried(k @ power(P, 0.5), A, B)
        assert size(X - Y - q * one) <= rounding(256, float(torch.linalg.cond(A))) * size(X + Y)


def test_the_invariant_that_bounds_the_orbit(rng: torch.Generator) -> None:
    for _ in range(10):
        A, B = pair(rng, 4)
        X, Y = carried(invertible(rng, 4, 2.0), A, B)
        left, right = size(X + Y) ** 2, size(X - Y) ** 2 + 4 * float((A @ B).trace())
        assert abs(left - right) <= rounding(64, spectral(X) * spectral(Y)) * left


def lyapunov(g: Tensor, A: Tensor, B: Tensor, target: Tensor) -> tuple[Tensor, list[float]]:
    """Damped Newton of §17: the last g, and all residuals."""
    X, Y = carried(g, A, B)
    residuals = [size(target - X + Y)]
    for _ in range(60):
        values, vectors = torch.linalg.eigh(X + Y)
        right = vectors.T @ (target - X + Y) @ vectors
        M = vectors @ (right / (values[:, None] + values)) @ vectors.T
        step = 1.0
        while True:
            tried = torch.linalg.matrix_exp(step * M) @ g
            P, Q = carried(tried, A, B)
            if size(target - P + Q) <= (1 - step / 4) * residuals[-1] or step < 1e-4:
                break
            step /= 2
        if step < 1e-4:
            break
        g, X, Y = tried, P, Q
        residuals.append(size(target - X + Y))
    return g, residuals


def test_every_symmetric_target_is_reached(rng: torch.Generator) -> None:
    for h in (1, 2, 3, 5):
        for scale in (0.1, 2.0, 20.0):
            A, B = pair(rng, h)
            target = symmetric(rng, h, scale)
            g, residuals = lyapunov(torch.eye(h, dtype=F64), A, B, target)
            X, Y = carried(g, A, B)
            assert residuals == sorted(residuals, reverse=True)
            assert residuals[-1] <= rounding(256, float(torch.linalg.cond(g))) * size(X + Y)


def triangular(A: Tensor, B: Tensor, target: Tensor, start: Tensor) -> Tensor:
    """The upper triangular b with Q(b·θ) = target, by Newton along a path of targets."""
    h = len(A)
    rows, columns = torch.triu_indices(h, h)
    units = torch.zeros(len(rows), h, h, dtype=F64)
    units[range(len(rows)), rows, columns] = 1
    b = start
    X, Y = carried(b, A, B)
    first = X - Y
    for t in [i / 40 for i in range(1, 41)] + [1.0] * 6:
        X, Y = carried(b, A, B)
        moved = units @ X + (units @ X).mT + units.mT @ Y + Y @ units
        gap = first + t * (target - first) - X + Y
        weights = torch.linalg.solve(moved[:, rows, columns].T, gap[rows, columns])
        b = torch.linalg.matrix_exp((weights[:, None, None] * units).sum(0)) @ b
    return b


def test_one_solution_for_each_orthogonal_factor(rng: torch.Generator) -> None:
    h = 3
    A, B = pair(rng, h)
    target = torch.diag(torch.tensor([-2.0, 0.5, 3.0], dtype=F64))
    found: list[Tensor] = []
    for k in (torch.eye(h, dtype=F64), orthogonal(rng, h)):
        C, D = carried(k, A, B)
        solutions = []
        for _ in range(3):
            start = normal(rng, h, h, scale=0.3).triu(1) + normal(rng, h).exp().diag()
            solutions.append(triangular(C, D, target, start))
        for b in solutions:
            X, Y = carried(b, C, D)
            assert size(X - Y - target) <= 1e-11 * size(X + Y)
            assert bool((b.diagonal() > 0).all())
            assert size(b - solutions[0]) <= 1e-9 * size(b)
        found.append(solutions[0] @ k)
    # The two solutions are no rotations of each other by the stabilizer {±1}³ of the target.
    turn = found[1] @ torch.linalg.inv(found[0])
    assert size(turn.abs() - torch.eye(h, dtype=F64)) > 0.1


# -- ranks -----------------------------------------------------------------------------------------


def ranks(limit: int) -> list[tuple[int, int, int, int]]:
    """(h, rk W, rk R, rk RᵀW) of every possible kind."""
    return [
        (h, a, b, r)
        for h in range(1, limit + 1)
        for a in range(h + 1)
        for b in range(h + 1)
        for r in range(max(0, a + b - h), min(a, b) + 1)
    ]


def allowed(h: int, a: int, b: int, r: int) -> list[tuple[int, int]]:
    """The numbers of positive and negative eigenvalues of §17."""
    return [
        (plus, minus)
        for plus in range(a - r, a + 1)
        for minus in range(b - r, b + 1)
        if plus + minus <= h
    ]


def draw(rng: torch.Generator, h: int, a: int, b: int, r: int) -> tuple[Tensor, Tensor]:
    """W and R with a and b independent columns, and rk RᵀW = r."""
    W = normal(rng, h, a)
    unread = torch.linalg.svd(W, full_matrices=True).U[:, a : a + b - r]
    # R has b − r directions that W does not write to, and r generic ones.
    R = torch.cat([unread, normal(rng, h, r)], 1)
    return W, R @ invertible(rng, b) if b else R


def normal_form(W: Tensor, R: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """Σ, and g with gAgᵀ = diag(Σ, 1, 0, 0) and g⁻ᵀBg⁻¹ = diag(Σ, 0, 1, 0)."""
    X, values, Yt = torch.linalg.svd(R.T @ W)
    sigma = values[:r]
    scale = sigma.rsqrt()
    written, unread = W @ Yt[:r].T * scale, W @ Yt[r:].T
    rows = torch.cat([scale[:, None] * (R @ X[:, :r]).T, (R @ X[:, r:]).T])
    unwritten = torch.linalg.pinv(rows)[:, r:]
    both = torch.cat([rows, unread.T])
    rest = torch.linalg.svd(both, full_matrices=True).Vh[len(both) :].T
    return sigma, torch.linalg.inv(torch.cat([written, unread, unwritten, rest], 1))


def placed(sigma: Tensor, sizes: tuple[int, int, int], target: tuple[Tensor, Tensor]) -> Tensor:
    """g in the coordinates of the normal form, so that Q is diagonal with the target's eigenvalues.

    `sizes` are r, a − r and b − r; `target` the positive eigenvalues λ, and the −μ without sign.
    """
    r, unread, unwritten = sizes
    plus, minus = list(target[0]), list(target[1])
    h = unread + unwritten + r + max(0, len(plus) + len(minus) - unread - unwritten - r)
    g = torch.eye(h, dtype=F64)
    for i in range(r, r + unread):
        g[i, i] = plus.pop().sqrt()
    for i in range(r + unread, r + unread + unwritten):
        g[i, i] = minus.pop().rsqrt()
    spare = list(range(r + unread + unwritten, h))
    for i in range(r):
        s = sigma[i]
        if spare:
            j, up, down = spare.pop(), plus.pop(), minus.pop()
            t = torch.asinh(2 * s / (up + down)) / 2
            v = torch.stack([up.sqrt() * t.cosh(), down.sqrt() * t.sinh()])
            u = torch.stack([up.sqrt() * t.sinh(), down.sqrt() * t.cosh()])
            g[[i, j], i] = v / s.sqrt()
            g[i, j], g[j, j] = -u[1], u[0]
        else:
            q = float(plus.pop()) if plus else -float(minus.pop()) if minus else 0.0
            g[i, i] = math.sqrt((q + math.hypot(q, 2 * s)) / (2 * s))
    assert not plus
    assert not minus
    return g


def test_inertias_that_are_allowed_are_reached(rng: torch.Generator) -> None:
    reached = 0
    for h, a, b, r in ranks(4):
        W, R = draw(rng, h, a, b, r)
        sigma, first = normal_form(W, R, r)
        for plus, minus in allowed(h, a, b, r):
            up, down = (torch.rand(k, generator=rng, dtype=F64) + 0.2 for k in (plus, minus))
            inner = placed(sigma, (r, a - r, b - r), (up, down))
            second = torch.eye(h, dtype=F64)
            second[: len(inner), : len(inner)] = inner
            g = orthogonal(rng, h) @ second @ first
            X, Y = carried(g, W @ W.T, R @ R.T)
            expected = (
                torch.cat([-down, torch.zeros(h - plus - minus, dtype=F64), up]).sort().values
            )
            error = torch.linalg.eigvalsh(X - Y) - expected
            condition = float(torch.linalg.cond(first)) ** 2
            assert size(error) <= rounding(256, condition) * (1 + size(X + Y)), (h, a, b, r)
            reached += 1
    assert reached > 200


def test_no_other_inertia_occurs(rng: torch.Generator) -> None:
    for h, a, b, r in ranks(4):
        for _ in range(8):
            W, R = draw(rng, h, a, b, r)
            spread = float(torch.rand((), generator=rng)) * 2
            X, Y = carried(invertible(rng, h, spread), W @ W.T, R @ R.T)
            values = torch.linalg.eigvalsh(X - Y)
            small = 1e-9 * size(X + Y)
            found = int((values > small).sum()), int((values < -small).sum())
            assert found in allowed(h, a, b, r), (h, a, b, r, found)
