"""Sections 3.2 and 3.3, Appendix C.6: critical points along orbits, and dimensions of orbits."""

from collections.abc import Callable, Iterator, Mapping
from math import comb

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.sampling import (
    EQUIVARIANT,
    LEAKY,
    LINEAR,
    RADIAL,
    Equivariant,
    normal,
    rounding,
    size,
)
from paramsym.family import Family
from paramsym.groups import GeneralLinear, Group, Orthogonal, PositiveScaling
from paramsym.orbit_dimension import tangent_rank
from paramsym.ports import Port
from paramsym.residuals import largest

Shape = tuple[int, int, int]
"""(n, h, m): inputs, hidden units, outputs of a two-layer net without biases."""

Formula = Callable[[int, int, int], int]
"""A dimension as a function of n, h, m."""

GRID: tuple[Shape, ...] = tuple(
    (n, h, m) for n in range(1, 6) for m in range(1, 6) for h in range(1, 10)
)
"""225 shapes on both sides of every case of Theorem 3.3."""

NETS: tuple[Shape, ...] = ((2, 3, 3), (3, 2, 2), (2, 4, 3))
BATCH = 16


# -- critical points ---------------------------------------------------------------------------


def _loss(pair: Equivariant, shape: Shape, X: Tensor, Y: Tensor) -> Callable[[Tensor], Tensor]:
    """½‖Y − Uσ(VX)‖² as a function of (U, V) flattened."""
    n, h, m = shape

    def loss(theta: Tensor) -> Tensor:
        U, V = theta[: m * h].reshape(m, h), theta[m * h :].reshape(h, n)
        return 0.5 * ((Y - U @ pair.sigma(V @ X)) ** 2).sum()

    return loss


def _matrix(pair: Equivariant, shape: Shape, rng: torch.Generator) -> Tensor:
    """A random group element as a matrix that acts on (U, V) flattened, as in Appendix C.6."""
    n, h, m = shape
    g, represented = pair.draw(rng, h)
    on_u = torch.kron(torch.eye(m, dtype=g.dtype), torch.linalg.inv(represented).T.contiguous())
    return torch.block_diag(on_u, torch.kron(g, torch.eye(n, dtype=g.dtype)))


def _critical(
    pair: Equivariant, shape: Shape, error: float, rng: torch.Generator
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A loss and a critical point where its value is ½·error².

    Targets differ from the outputs by a vector that is orthogonal to all derivatives of them.
    """
    n, h, m = shape
    theta, X = normal(rng, m * h + h * n), normal(rng, n, BATCH)
    zero = torch.zeros(m, BATCH, dtype=theta.dtype)

    def outputs(theta: Tensor) -> Tensor:
        U, V = theta[: m * h].reshape(m, h), theta[m * h :].reshape(h, n)
        return U @ pair.sigma(V @ X)

    derivatives = torch.func.jacfwd(outputs)(theta).reshape(m * BATCH, -1)
    blind = torch.linalg.svd(derivatives)[0][:, derivatives.shape[1] :]
    direction = (blind @ normal(rng, blind.shape[1])).reshape_as(zero)
    targets = outputs(theta) + error * direction / size(direction)
    return _loss(pair, shape, X, targets), theta


def _condition(g: Tensor) -> float:
    return float(torch.linalg.cond(g))


@claim(
    "prop-3.2-critical",
    "Proposition 3.2, C.2",
    "If θ* is a critical point of 𝓛, so is g·θ*.",
    documented=Verdict.HOLDS,
)
def critical_points(rng: torch.Generator) -> Evidence:
    """Gradients at g·θ* for critical points of losses ½, relative to those nearby."""
    worst = 0.0
    for pair in (LINEAR, *LEAKY, RADIAL):
        for shape in NETS:
            loss, theta = _critical(pair, shape, 1.0, rng)
            g, gradient = _matrix(pair, shape, rng), torch.func.grad(loss)
            nearby = gradient(g @ (theta + 0.1 * normal(rng, len(theta))))
            worst = largest(worst, size(gradient(g @ theta)) / size(nearby) / _condition(g))
    what = "largest ‖∇𝓛(gθ*)‖ relative to 0.1 away from it, over cond(g), 15 draws"
    return Evidence(Residual(worst, rounding(512), what))


@claim(
    "prop-3.2-minimum",
    "Proposition 3.2, C.2",
    "If θ* is a local minimum of 𝓛, so is g·θ*.",
    documented=Verdict.HOLDS,
)
def minima(rng: torch.Generator) -> Evidence:
    """Signatures of Hessians at θ* and g·θ*; small losses give minima, larger ones saddles."""
    wrong, found = 0, 0
    for pair in (LINEAR, LEAKY[0], RADIAL):
        for shape in NETS:
            for error in (0.01, 30.0):
                loss, theta = _critical(pair, shape, error, rng)
                g, hessian = _matrix(pair, shape, rng), torch.func.hessian(loss)
                before, after = (_negative(hessian(x)) for x in (theta, g @ theta))
                wrong += before != after
                found += before == 0
    what = f"critical points whose Hessian has another index at gθ*, of 18; {found} are minima"
    return Evidence(Residual(wrong, 0, what))


def _negative(hessian: Tensor) -> int:
    """Eigenvalues below what rounding makes of zeros."""
    values = torch.linalg.eigvalsh(hessian)
    return int((values < -rounding(1e4) * values.abs().max()).sum())


@claim(
    "eq-26",
    "Proposition C.2, eq (26)",
    "gᵀ·∇_{g·θ}𝓛 = ∇_θ𝓛.",
    documented=Verdict.HOLDS,
)
def transported_gradients(rng: torch.Generator) -> Evidence:
    """Gradients at random points, with g as a matrix on the parameters."""
    worst = 0.0
    for pair in EQUIVARIANT:
        for shape in NETS:
            n, h, m = shape
            theta, g = normal(rng, m * h + h * n), _matrix(pair, shape, rng)
            loss = _loss(pair, shape, normal(rng, n, BATCH), normal(rng, m, BATCH))
            gradient = torch.func.grad(loss)
            error = g.T @ gradient(g @ theta) - gradient(theta)
            worst = largest(worst, size(error) / size(gradient(theta)) / _condition(g))
    what = "largest ‖gᵀ∇_{gθ}𝓛 − ∇_θ𝓛‖ / ‖∇_θ𝓛‖, over cond(g)"
    return Evidence(Residual(worst, rounding(256), what))


# -- dimensions --------------------------------------------------------------------------------


def family(group: Group, shape: Shape) -> Family:
    """The symmetry V ↦ gV, U ↦ Ug⁻¹ of a two-layer net."""
    n, h, m = shape
    writer = Port.along("V", (h, n), 0)
    return Family("V → U", group, (writer, Port.along("U", (m, h), 1, dual=True)))


def draw(shape: Shape, rng: torch.Generator) -> dict[str, Tensor]:
    """Gaussian weights, which are of full rank."""
    n, h, m = shape
    return {"V": normal(rng, h, n), "U": normal(rng, m, h)}


def normal_form(shape: Shape) -> dict[str, Tensor]:
    """U₀ = [I 0] and V₀ = [I 0]ᵀ, the full-rank point in the proof of Proposition C.3."""
    n, h, m = shape
    return {"V": torch.eye(h, n, dtype=torch.float64), "U": torch.eye(m, h, dtype=torch.float64)}


def orbit(group: Callable[[int], Group], shape: Shape, theta: Mapping[str, Tensor]) -> int:
    """Dimension of the orbit through a point: rank of the infinitesimal action."""
    return tangent_rank([family(group(shape[1]), shape)], theta)


def exceptions(
    group: Callable[[int], Group],
    formulas: tuple[Formula, ...],
    points: Callable[[Shape], Iterator[Mapping[str, Tensor]]],
) -> list[int]:
    """For each formula the number of shapes with a point where it is not the orbit's dimension."""
    wrong = [0] * len(formulas)
    for shape in GRID:
        found = [orbit(group, shape, theta) for theta in points(shape)]
        for k, formula in enumerate(formulas):
            wrong[k] += any(dim != formula(*shape) for dim in found)
    return wrong


def _count(value: int, what: str) -> Residual:
    return Residual(value, 0, f"shapes (n, h, m) of {len(GRID)} where the rank {what}")


def general_linear_dim(n: int, h: int, m: int) -> int:
    """h² − (h−n)₊(h−m)₊."""
    return h * h - max(0, h - n) * max(0, h - m)


def printed_scaling_dim(n: int, h: int, m: int) -> int:
    """min(h, max(n, m))."""
    return min(h, max(n, m))


def printed_orthogonal_dim(n: int, h: int, m: int) -> int:
    """C(h,2) − C((h−max(n,m))₊, 2)."""
    return comb(h, 2) - comb(max(0, h - max(n, m)), 2)


def orthogonal_dim(n: int, h: int, m: int) -> int:
    """C(h,2) − C((h−n−m)₊, 2)."""
    return comb(h, 2) - comb(max(0, h - n - m), 2)


@claim(
    "thm-3.3-gl",
    "Theorem 3.3, C.4",
    "Generic GL_h orbits have dimension h² if h ≤ max(n,m), else h(n+m) − nm.",
    documented=Verdict.HOLDS,
)
def general_linear_orbits(rng: torch.Generator) -> Evidence:
    """Ranks at random points of all shapes."""

    def printed(n: int, h: int, m: int) -> int:
        return h * h if h <= max(n, m) else h * (n + m) - n * m

    wrong = exceptions(GeneralLinear, (printed,), lambda shape: iter([draw(shape, rng)]))
    return Evidence(_count(wrong[0], "at a random point differs"))


@claim(
    "prop-c.3",
    "Proposition C.3",
    "The GL_h orbit of each (U, V) of full rank has dimension h² − (h−n)₊(h−m)₊.",
    documented=Verdict.HOLDS,
)
def full_rank_orbits(rng: torch.Generator) -> Evidence:
    """Ranks at points of full rank that are not generic: normal forms, and U permuted there."""

    def points(shape: Shape) -> Iterator[Mapping[str, Tensor]]:
        theta = normal_form(shape)
        yield theta
        order = torch.randperm(shape[1], generator=rng)
        yield {"V": theta["V"], "U": theta["U"][:, order]}

    wrong = exceptions(GeneralLinear, (general_linear_dim,), points)
    return Evidence(_count(wrong[0], "at a normal form or a permuted one differs"))


@claim(
    "thm-3.3-scaling",
    "Theorem 3.3, C.4",
    "Generic T₊(h) orbits have dimension min(h, max(n,m)).",
    documented=Verdict.CORRECTED,
    correction="h, the number of neurons with (V_i, U_i) ≠ 0.",
)
def scaling_orbits(rng: torch.Generator) -> Evidence:
    """Ranks at random points, and at points with some neurons off."""
    generic = exceptions(
        PositiveScaling,
        (printed_scaling_dim, lambda _n, h, _m: h),
        lambda shape: iter([draw(shape, rng)]),
    )
    wrong = generic[1] + _with_neurons_off(rng)
    corrected = Residual(wrong, 0, "exceptions: 225 shapes, and 225 with neurons off")
    return Evidence(_count(generic[0], "at a random point differs"), corrected)


def _with_neurons_off(rng: torch.Generator) -> int:
    """Shapes where the orbit's dimension is not the number of neurons that are on."""
    wrong = 0
    for shape in GRID:
        theta = draw(shape, rng)
        on = torch.rand(shape[1], generator=rng) < 0.6
        theta = {"V": theta["V"] * on[:, None], "U": theta["U"] * on}
        wrong += orbit(PositiveScaling, shape, theta) != int(on.sum())
    return wrong


@claim(
    "thm-3.3-orthogonal",
    "Theorem 3.3, C.4",
    "Generic O(h) orbits have dimension C(h,2) − C((h−max(n,m))₊, 2).",
    documented=Verdict.CORRECTED,
    correction="C(h,2) − C((h−n−m)₊, 2): what is fixed is orthogonal to n + m vectors.",
)
def orthogonal_orbits(rng: torch.Generator) -> Evidence:
    """Ranks at random points of all shapes."""
    printed, corrected = exceptions(
        Orthogonal,
        (printed_orthogonal_dim, orthogonal_dim),
        lambda shape: iter([draw(shape, rng)]),
    )
    return Evidence(
        _count(printed, "at a random point differs"),
        _count(corrected, "at a random point differs from the corrected one"),
    )


@claim(
    "cor-c.4-constant",
    "Corollary C.4",
    "The T₊(h) and O(h) orbits of all points of full rank have one dimension.",
    documented=Verdict.CORRECTED,
    correction="Almost all points do; the normal form [I 0], [I 0]ᵀ of the proof is an exception.",
)
def constant_dimension(rng: torch.Generator) -> Evidence:
    """Ranks at normal forms against random points, and at random points against each other."""
    printed, corrected = 0, 0
    shapes = [(n, h, m) for n, h, m in GRID if max(n, m) <= 3]
    for group in (PositiveScaling, Orthogonal):
        for shape in shapes:
            first, second = (orbit(group, shape, draw(shape, rng)) for _ in range(2))
            printed += orbit(group, shape, normal_form(shape)) != first
            corrected += first != second
    total = 2 * len(shapes)
    return Evidence(
        Residual(printed, 0, f"normal forms of {total} with another dimension than a random point"),
        Residual(corrected, 0, f"pairs of random points, of {total}, with different dimensions"),
    )


@claim(
    "orbit-is-fibre",
    "Section 3.2, Section 5 (implicit)",
    "For linear nets, the GL_h orbit has the dimension of the whole flat fibre {UV = W}.",
    documented=Verdict.CORRECTED,
    correction="The fibre has (h−min(n,m))(max(n,m)−h) more where min(n,m) < h < max(n,m).",
)
def fibres(rng: torch.Generator) -> Evidence:
    """Dimensions of fibres by the rank of (dU, dV) ↦ dU V + U dV."""
    printed, corrected = 0, 0
    for shape in GRID:
        n, h, m = shape
        theta = draw(shape, rng)
        excess = fibre(shape, theta) - orbit(GeneralLinear, shape, theta)
        printed += excess != 0
        corrected += excess != max(0, h - min(n, m)) * max(0, max(n, m) - h)
    return Evidence(
        _count(printed, "says that the fibre is larger than the orbit"),
        _count(corrected, "says that the fibre exceeds the orbit by another number"),
    )


def fibre(shape: Shape, theta: Mapping[str, Tensor]) -> int:
    """The dimension of {UV = W}, by the rank of (dU, dV) ↦ dU V + U dV."""
    n, h, m = shape
    by_u = torch.einsum("ia,jk->ikaj", torch.eye(m, dtype=torch.float64), theta["V"])
    by_v = torch.einsum("ij,kb->ikjb", theta["U"], torch.eye(n, dtype=torch.float64))
    differential = torch.cat([by_u.reshape(m * n, -1), by_v.reshape(m * n, -1)], 1)
    return h * (n + m) - int(torch.linalg.matrix_rank(differential))


@claim(
    "sec-5-flat",
    "Section 5, below footnote 8",
    "In linear nets UVx flat minima generically have h² dimensions.",
    documented=Verdict.CORRECTED,
    correction="h(n+m) − r(n+m−r) with r = min(n, h, m); that is h² for h ≤ min(n, m).",
)
def flat_minima(rng: torch.Generator) -> Evidence:
    """Dimensions of fibres against both numbers."""
    printed, corrected = 0, 0
    for n, h, m in GRID:
        found, r = fibre((n, h, m), draw((n, h, m), rng)), min(n, h, m)
        printed += found != h * h
        corrected += found != h * (n + m) - r * (n + m - r)
    return Evidence(
        _count(printed, "says that the fibre has another dimension than h²"),
        _count(corrected, "says that it has another than the corrected one"),
    )
