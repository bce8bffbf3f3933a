"""Which targets are attainable: all ranks and inertias of small spaces, against §17."""

import itertools

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.claims.sampling import invertible, normal, orthogonal
from tests.orbit.measuring import EXACT

F64 = torch.float64


def draw(rng: torch.Generator, h: int, a: int, b: int, r: int) -> tuple[Tensor, Tensor]:
    """Writers `[h, a + 1]` and readers `[b + 1, h]` of ranks a, b, whose product has rank r."""
    W = normal(rng, h, a)
    unread = torch.linalg.svd(W, full_matrices=True).U[:, a : a + b - r]
    R = torch.cat([unread, normal(rng, h, r)], 1)
    R = R @ invertible(rng, b) if b else R
    # One more column than the rank, so that neither has full column rank.
    return W @ normal(rng, a, a + 1), (R @ normal(rng, b, b + 1)).T


def pair(W: Tensor, U: Tensor) -> tuple[ps.Symmetry, dict[str, Tensor]]:
    params = {"V": W, "U": U}
    h = len(W)
    ports = (
        ps.Port.along("V", tuple(W.shape), 0),
        ps.Port.along("U", tuple(U.shape), 1, dual=True),
    )
    return ps.Symmetry.of([ps.Family("V → U", ps.GeneralLinear(h), ports)], params), params


def with_inertia(rng: torch.Generator, h: int, plus: int, minus: int) -> Tensor:
    values = torch.zeros(h, dtype=F64)
    values[:plus] = torch.rand(plus, generator=rng, dtype=F64) + 0.3
    values[plus : plus + minus] = -torch.rand(minus, generator=rng, dtype=F64) - 0.3
    k = orthogonal(rng, h)
    T = k * values @ k.T
    return (T + T.T) / 2


KINDS = [
    (h, a, b, r)
    for h in range(1, 5)
    for a in range(h + 1)
    for b in range(h + 1)
    for r in range(max(0, a + b - h), min(a, b) + 1)
]


@pytest.mark.parametrize("h", [1, 2, 3, 4])
def test_every_inertia(h: int, rng: torch.Generator) -> None:
    """Those that are allowed are reached and change nothing; the others are refused."""
    reached = refused = 0
    kinds = [kind for kind in KINDS if kind[0] == h]
    for _, a, b, r in kinds[:: 1 if h < 4 else 4]:
        symmetry, params = pair(*draw(rng, h, a, b, r))
        for plus, minus in itertools.product(range(h + 1), repeat=2):
            if plus + minus > h:
                continue
            T = with_inertia(rng, h, plus, minus)
            if a - r <= plus <= a and b - r <= minus <= b:
                moved = ps.set_conserved(symmetry, params, {"V → U": T})
                size = sum(float(p.square().sum()) for p in moved.values())
                Q = symmetry.conserved(moved)["V → U"]
                assert float((Q - T).abs().max()) <= EXACT * size, (h, a, b, r, plus, minus)
                product = params["U"] @ params["V"]
                error = float((moved["U"] @ moved["V"] - product).abs().max())
                scale = float(params["U"].norm() * params["V"].norm())
                assert error <= EXACT * (scale + size)
                reached += 1
            else:
                with pytest.raises(ValueError, match="not attainable by any element of GL"):
                    ps.set_conserved(symmetry, params, {"V → U": T})
                refused += 1
    assert reached >= 2 * h
    assert refused >= 2 * h


def test_the_message_names_ranks_and_inertia(rng: torch.Generator) -> None:
    symmetry, params = pair(*draw(rng, 4, 3, 2, 1))
    with pytest.raises(
        ValueError,
        match=r"0 positive and 4 negative eigenvalues.*rank 3, the readers 2, and their product 1.*"
        r"2 to 3 positive and 1 to 2 negative",
    ):
        ps.set_conserved(symmetry, params, {"V → U": -torch.eye(4, dtype=F64)})


def test_heads_are_checked_one_by_one(rng: torch.Generator) -> None:
    h, copies = 3, 2
    V, U = normal(rng, copies * h, 5), normal(rng, 5, copies * h)
    V[h:] = V[h : h + 1]  # the second head has rank 1
    ports = (
        ps.Port.along("V", (copies * h, 5), 0, copies=copies),
        ps.Port.along("U", (5, copies * h), 1, copies=copies, dual=True),
    )
    params = {"V": V, "U": U}
    family = ps.Family("heads", ps.GeneralLinear(h, copies), ports)
    symmetry = ps.Symmetry.of([family], params)
    target = torch.zeros(copies, h, h, dtype=F64)
    with pytest.raises(ValueError, match=r"of copy 1 is not attainable"):
        ps.set_conserved(symmetry, params, {"heads": target})
    target[1] = torch.diag(torch.tensor([1.0, -1.0, -2.0], dtype=F64))
    Q = symmetry.conserved(ps.set_conserved(symmetry, params, {"heads": target}))["heads"]
    assert float((Q - target).abs().max()) <= EXACT * 100


def test_wide_spaces_of_large_spread(rng: torch.Generator) -> None:
    """Singular values over four orders of magnitude, targets over six."""
    h = 24
    stretch = torch.logspace(-2, 2, h, dtype=F64)
    V, U = orthogonal(rng, h) * stretch @ normal(rng, h, h + 3), normal(rng, h + 2, h)
    symmetry, params = pair(V, U)
    T = with_inertia(rng, h, h // 2, h - h // 2) * 1e3
    for target in (T, 1e-3 * T, torch.zeros(h, h, dtype=F64)):
        moved = ps.set_conserved(symmetry, params, {"V → U": target})
        size = sum(float(p.square().sum()) for p in moved.values())
        assert float((symmetry.conserved(moved)["V → U"] - target).abs().max()) <= EXACT * size
