"""Which values of Q the orbit of a deep net takes: docs/derivations.md §17, measured."""

import itertools

import pytest
import torch
from torch import Tensor

from paramsym.claims.sampling import invertible, normal, rounding, size

F64 = torch.float64


def symmetric(rng: torch.Generator, h: int, scale: float) -> Tensor:
    S = normal(rng, h, h, scale=scale)
    return S + S.T


def scale_function(weights: list[Tensor], P: list[Tensor], targets: list[Tensor]) -> Tensor:
    """f of §17; the targets hold the eigenvalues, ascending."""
    ends = [torch.eye(weights[0].shape[1], dtype=F64), *P, torch.eye(len(weights[-1]), dtype=F64)]
    total = torch.zeros((), dtype=F64)
    for W, before, after in zip(weights, ends[:-1], ends[1:], strict=True):
        total = total + (after @ W @ torch.linalg.solve(before, W.T)).trace() / 2
    for S, values in zip(P, targets, strict=True):
        total = total - (torch.linalg.cholesky(S).diagonal().log() * values).sum()
    return total


def deep(rng: torch.Generator, widths: tuple[int, ...]) -> list[Tensor]:
    return [normal(rng, m, n) for n, m in itertools.pairwise(widths)]


def moments(weights: list[Tensor]) -> list[Tensor]:
    """Q of every hidden space."""
    return [W @ W.T - V.T @ V for W, V in itertools.pairwise(weights)]


def moved(weights: list[Tensor], g: list[Tensor]) -> list[Tensor]:
    ends = [torch.eye(weights[0].shape[1], dtype=F64), *g, torch.eye(len(weights[-1]), dtype=F64)]
    return [
        after @ W @ torch.linalg.inv(before)
        for W, before, after in zip(weights, ends[:-1], ends[1:], strict=True)
    ]


WIDTHS = (4, 3, 3, 3, 5)


@pytest.mark.parametrize("widths", [(3, 3, 3), (4, 2, 3, 5), (4, 3, 2, 3, 4), WIDTHS])
def test_the_function_is_convex_along_geodesics(
    widths: tuple[int, ...], rng: torch.Generator
) -> None:
    for _ in range(20):
        weights = deep(rng, widths)
        X = [invertible(rng, h, 1.0) for h in widths[1:-1]]
        S = [symmetric(rng, h, 0.5) for h in widths[1:-1]]
        targets = [normal(rng, h, scale=5.0).sort().values for h in widths[1:-1]]

        def along(
            t: Tensor,
            X: list[Tensor] = X,
            S: list[Tensor] = S,
            weights: list[Tensor] = weights,
            targets: list[Tensor] = targets,
        ) -> Tensor:
            P = [x.T @ torch.linalg.matrix_exp(t * s) @ x for x, s in zip(X, S, strict=True)]
            return scale_function(weights, P, targets)

        second = torch.func.grad(torch.func.grad(along))(torch.zeros((), dtype=F64))
        assert float(second) > 0


def test_descending_eigenvalues_would_not_be_convex(rng: torch.Generator) -> None:
    """Why the order matters: with large targets the logarithms decide."""
    signs = set()
    for _ in range(20):
        weights, x, s = deep(rng, (3, 3, 3)), invertible(rng, 3), symmetric(rng, 3, 0.5)
        values = torch.tensor([1e4, 0.0, -1e4], dtype=F64)

        def along(t: Tensor, x=x, s=s, weights=weights, values=values) -> Tensor:
            P = x.T @ torch.linalg.matrix_exp(t * s) @ x
            return scale_function(weights, [P], [values])

        second = torch.func.grad(torch.func.grad(along))(torch.zeros((), dtype=F64))
        signs.add(float(second) > 0)
    assert False in signs


def test_its_gradient_is_the_distance_to_the_target(rng: torch.Generator) -> None:
    weights = deep(rng, WIDTHS)
    targets = [normal(rng, h).sort().values for h in WIDTHS[1:-1]]
    b = [normal(rng, h, h).triu(1) + normal(rng, h).exp().diag() for h in WIDTHS[1:-1]]
    T = [normal(rng, h, h).triu() for h in WIDTHS[1:-1]]

    def along(t: Tensor) -> Tensor:
        g = [torch.linalg.matrix_exp(t * x) @ y for x, y in zip(T, b, strict=True)]
        return scale_function(weights, [x.T @ x for x in g], targets)

    slope = float(torch.func.grad(along)(torch.zeros((), dtype=F64)))
    gaps = [Q - q.diag() for Q, q in zip(moments(moved(weights, b)), targets, strict=True)]
    expected = float(sum((x * y).sum() for x, y in zip(gaps, T, strict=True)))
    terms = sum(size(x) ** 2 for x in moved(weights, b)) * sum(size(x) for x in T)
    assert abs(slope - expected) <= rounding(256) * terms


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_all_hidden_spaces_at_once(scale: float, rng: torch.Generator) -> None:
    weights = deep(rng, WIDTHS)
    target = [symmetric(rng, h, scale) for h in WIDTHS[1:-1]]
    g = [torch.eye(h, dtype=F64) for h in WIDTHS[1:-1]]
    for _ in range(100):
        there = moved(weights, g)
        gaps = [q - Q for q, Q in zip(target, moments(there), strict=True)]
        now = sum(size(x) for x in gaps)
        M = joint_step(there, gaps)
        step = 1.0
        while step > 1e-6:
            tried = [torch.linalg.matrix_exp(step * m) @ x for m, x in zip(M, g, strict=True)]
            left = zip(target, moments(moved(weights, tried)), strict=True)
            if sum(size(q - Q) for q, Q in left) <= (1 - step / 4) * now:
                break
            step /= 2
        else:
            break
        g = tried
    there = moved(weights, g)
    gaps = [q - Q for q, Q in zip(target, moments(there), strict=True)]
    assert sum(size(x) for x in gaps) <= 1e-12 * sum(size(W) ** 2 for W in there)
    before, after = (torch.linalg.multi_dot(net[::-1]) for net in (weights, there))
    assert size(before - after) <= 1e-10 * size(before)


def joint_step(weights: list[Tensor], gaps: list[Tensor]) -> list[Tensor]:
    """Symmetric M_i for which the moments change by the gaps, to first order."""
    sizes = [len(x) for x in gaps]

    def change(flat: Tensor) -> Tensor:
        parts = flat.split([h * h for h in sizes])
        M = [(x.view(h, h) + x.view(h, h).T) / 2 for x, h in zip(parts, sizes, strict=True)]
        ends = [weights[0].new_zeros(2 * (weights[0].shape[1],)), *M]
        ends.append(weights[0].new_zeros(2 * (len(weights[-1]),)))
        d = [
            after @ W - W @ before
            for W, before, after in zip(weights, ends[:-1], ends[1:], strict=True)
        ]
        found = [
            x @ W.T + W @ x.T - y.T @ V - V.T @ y
            for (W, V), (x, y) in zip(
                itertools.pairwise(weights), itertools.pairwise(d), strict=True
            )
        ]
        return torch.cat([x.reshape(-1) for x in found])

    count = sum(h * h for h in sizes)
    matrix = torch.stack([change(e) for e in torch.eye(count, dtype=F64)], 1)
    right = torch.cat([x.reshape(-1) for x in gaps])
    flat = torch.linalg.lstsq(matrix, right, driver="gelsd").solution
    parts = flat.split([h * h for h in sizes])
    return [(x.view(h, h) + x.view(h, h).T) / 2 for x, h in zip(parts, sizes, strict=True)]
