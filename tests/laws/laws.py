"""The laws: each measures a residual on a subject, in units of its rounding bound.

A law returns residual / bound, so that "holds" reads `law(subject) <= 1` for every law, and a
planted fault shows as a ratio of many orders of magnitude. Bounds are of the form
`c · eps · size`, where `size` counts the roundings in sequence, and the residual is relative to the
magnitude of what is compared.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import paramsym as ps
from paramsym import conserved
from tests.laws.subject import Params, Subject, flatten

EPS = torch.finfo(torch.float64).eps

Law = Callable[[Subject, torch.Generator], float]


def distance(a: Params, b: Params) -> float:
    """Largest relative difference of two dicts, entry by entry of the dict."""
    assert a.keys() == b.keys()
    return max(
        (
            float((a[k] - b[k]).abs().max() / b[k].abs().max().clamp_min(1e-300))
            for k in b
            if b[k].numel()
        ),
        default=0.0,
    )


def rounding(subject: Subject, *elements: ps.GroupElement) -> float:
    """Bound for parameters moved by elements: each factor's inner products round at most
    (widest axis)·eps relative to their terms, and terms exceed results by the condition number."""
    longest = max(max(p.shape, default=1) for p in subject.params.values())
    factors = 1 + sum(len(g.names) for g in elements)
    condition = math.prod(g.condition() ** 2 for g in elements)
    return 4 * EPS * longest * factors * condition


def sample(subject: Subject, rng: torch.Generator, scale: float = 0.2) -> ps.GroupElement:
    return subject.symmetry.sample(scale, generator=rng, discrete=True)


def inner(a: Params, b: Params) -> tuple[float, float]:
    """⟨a, b⟩ and the bound on its rounding, ‖a‖‖b‖·eps·√d up to a constant."""
    x, y = flatten(a, b), flatten(b, b)
    return float(x @ y), 16 * EPS * math.sqrt(len(x)) * float(x.norm() * y.norm()) + 1e-300


# -- the action is a group action ---------------------------------------------------------------


def unit(subject: Subject, rng: torch.Generator) -> float:
    """e·θ = θ."""
    e = subject.symmetry.identity()
    return distance(subject.symmetry.act(e, subject.params), subject.params) / rounding(subject, e)


def product(subject: Subject, rng: torch.Generator) -> float:
    """(gh)·θ = g·(h·θ) for words: the right letter acts first."""
    g, h = sample(subject, rng), sample(subject, rng)
    act = subject.symmetry.act
    together = act(g @ h, subject.params)
    return distance(together, act(g, act(h, subject.params))) / rounding(subject, g, h)


def representation(subject: Subject, rng: torch.Generator) -> float:
    """The product of a family's group acts as the word of its letters does."""
    worst = 0.0
    for family in subject.symmetry:
        part = subject.symmetry.select(family.name)
        g = part.sample(0.2, generator=rng, discrete=True)
        h = part.sample(0.2, generator=rng, discrete=True)
        gh = {family.name: family.group.compose(g[family.name], h[family.name])}
        residual = distance(part.act(gh, subject.params), part.act(g @ h, subject.params))
        worst = max(worst, residual / rounding(subject, g, h))
        merged = (g @ h)[family.name] - gh[family.name]
        worst = max(worst, float(merged.abs().max()) / rounding(subject, g, h))
    return worst


def inverse(subject: Subject, rng: torch.Generator) -> float:
    """g⁻¹·(g·θ) = θ."""
    g = sample(subject, rng)
    act = subject.symmetry.act
    back = act(g.inverse(), act(g, subject.params))
    return distance(back, subject.params) / rounding(subject, g, g)


# -- the function stays -------------------------------------------------------------------------


def invariance(subject: Subject, rng: torch.Generator) -> float:
    """F(gθ) = F(θ), eq. (3), for a joint element of all families, at several scales."""
    before = subject.forward(subject.params, subject.inputs)
    worst = 0.0
    for scale in (1e-3, 0.1, 0.5):
        g = sample(subject, rng, scale)
        after = subject.forward(subject.symmetry.act(g, subject.params), subject.inputs)
        residual = float((after - before).abs().max() / before.abs().max())
        # Each layer amplifies what the parameters' own rounding has done.
        worst = max(worst, residual / (8 * subject.depth * rounding(subject, g)))
    return worst


def noether(subject: Subject, rng: torch.Generator) -> float:
    """⟨∇L, M·θ⟩ = 0, Proposition 3.4."""
    M = subject.symmetry.sample_algebra(generator=rng)
    field = subject.symmetry.tangent(M, subject.params)
    value, bound = inner(subject.gradient(), field)
    return abs(value) / (subject.depth * bound)


def noether_by_moment(subject: Subject, rng: torch.Generator) -> float:
    """The moment of ∇L vanishes for all generators at once."""
    gradient = subject.gradient()
    worst = 0.0
    for name, P in subject.symmetry.moment(subject.params, gradient).items():
        for M in subject.symmetry[name].group.basis():
            field = subject.symmetry.select(name).tangent({name: M}, subject.params)
            _, bound = inner(gradient, field)
            whole = EPS * float(flatten(gradient, gradient).norm() * flatten(field, field).norm())
            worst = max(worst, float((P * M).sum().abs()) / (subject.depth * (bound + 64 * whole)))
    return worst


# -- the infinitesimal action ---------------------------------------------------------------------


def derivative(subject: Subject, rng: torch.Generator) -> float:
    """tangent(M) = d/dt act(exp(tM)) at 0, by forward differentiation through `act`."""
    M = subject.symmetry.sample_algebra(generator=rng)
    t = torch.zeros((), dtype=torch.float64)
    _, velocity = torch.func.jvp(
        lambda s: subject.symmetry.act(M.exp(s), subject.params), (t,), (t + 1,)
    )
    field = subject.symmetry.tangent(M, subject.params)
    size = float(flatten(field, field).norm())
    gap = float((flatten(field, field) - flatten(velocity, field)).norm())
    return gap / (size * rounding(subject, subject.symmetry.identity()))


def adjoint(subject: Subject, rng: torch.Generator) -> float:
    """⟨c, M·θ⟩ = ⟨moment(c), M⟩ for any covector c."""
    covector = {k: torch.randn_like(p) for k, p in subject.params.items()}
    M = subject.symmetry.sample_algebra(generator=rng)
    field = subject.symmetry.tangent(M, subject.params)
    left, bound = inner(covector, field)
    P = subject.symmetry.moment(subject.params, covector)
    right = sum(float((P[k] * M[k]).sum()) for k in P)
    shapes = all(P[f.name].shape == f.group.shape for f in subject.symmetry)
    return abs(left - right) / bound if shapes else math.inf


def pullback(subject: Subject, rng: torch.Generator) -> float:
    """The gradient of ⟨c, exp(M)·θ⟩ in M at M = 0, by backpropagation, is moment(c)."""
    covector = {k: torch.randn_like(p) for k, p in subject.params.items()}
    zero = subject.symmetry.sample_algebra(generator=rng) * 0.0

    def pairing(M: ps.AlgebraElement) -> Tensor:
        moved = subject.symmetry.act(M.exp(), subject.params)
        return torch.stack([(covector[k] * moved[k]).sum() for k in moved]).sum()

    slopes = torch.func.grad(pairing)(zero)
    P = subject.symmetry.moment(subject.params, covector)
    worst = 0.0
    for family in subject.symmetry:
        slope = family.group.project(slopes[family.name])
        size = float(P[family.name].norm()) + 1e-12
        worst = max(worst, float((slope - P[family.name]).norm()) / size)
    return worst / (16 * rounding(subject, subject.symmetry.identity()))


# -- program transformations ------------------------------------------------------------------------


def vmap_over_elements(subject: Subject, rng: torch.Generator) -> float:
    """`vmap` over a stack of elements equals a loop."""
    elements = [sample(subject, rng) for _ in range(3)]
    leaves = [pytree.tree_flatten(g) for g in elements]
    stacked = pytree.tree_unflatten(
        [torch.stack(column) for column in zip(*(flat for flat, _ in leaves), strict=True)],
        leaves[0][1],
    )
    many = torch.func.vmap(lambda g: subject.symmetry.act(g, subject.params), randomness="error")
    together = many(stacked)
    worst = 0.0
    for i, g in enumerate(elements):
        alone = subject.symmetry.act(g, subject.params)
        got = {k: v[i] if v.ndim > alone[k].ndim else v for k, v in together.items()}
        worst = max(worst, distance(got, alone) / rounding(subject, g))
    return worst


def vmap_over_parameters(subject: Subject, rng: torch.Generator) -> float:
    """`vmap` over an ensemble of parameters equals a loop, for all pure functions."""
    factors = (1.0, 0.7, -1.3)
    ensemble = {k: torch.stack([f * p for f in factors]) for k, p in subject.params.items()}
    g, M = sample(subject, rng), subject.symmetry.sample_algebra(generator=rng)

    def everything(p: Params) -> dict[str, Tensor]:
        symmetry = subject.symmetry
        return {
            **{f"act {k}": v for k, v in symmetry.act(g, p).items()},
            **{f"tangent {k}": v for k, v in symmetry.tangent(M, p).items()},
            **{f"moment {k}": v for k, v in symmetry.moment(p, p).items()},
            **{f"Q {k}": v for k, v in symmetry.conserved(p).items()},
        }

    together = torch.func.vmap(everything)(ensemble)
    worst = 0.0
    for i in range(len(factors)):
        alone = everything({k: p[i] for k, p in ensemble.items()})
        for k, value in alone.items():
            size = float(value.abs().max()) + 1.0
            worst = max(worst, float((together[k][i] - value).abs().max()) / size)
    return worst / rounding(subject, g)


def double_backward(subject: Subject, rng: torch.Generator) -> float:
    """Hessian-vector products through `act`: reverse over reverse equals forward over reverse."""
    g = sample(subject, rng)
    names = list(subject.params)
    v = {k: torch.randn_like(p) for k, p in subject.params.items()}

    def energy(p: Params) -> Tensor:
        moved = subject.symmetry.act(g, p)
        return torch.stack([moved[k].square().sum() * moved[k].cos().sum() for k in names]).sum()

    def slope(p: Params) -> Tensor:
        gradient = torch.func.grad(energy)(p)
        return torch.stack([(gradient[k] * v[k]).sum() for k in names]).sum()

    backward = torch.func.grad(slope)(subject.params)
    _, forward = torch.func.jvp(torch.func.grad(energy), (subject.params,), (v,))
    size = float(flatten(forward, v).norm())
    gap = float((flatten(backward, v) - flatten(forward, v)).norm())
    return gap / (size * 64 * rounding(subject, g))


def _precision(subject: Subject, rng: torch.Generator, dtype: torch.dtype) -> float:
    g = sample(subject, rng)
    low = {k: p.to(dtype) for k, p in subject.params.items()}
    moved = subject.symmetry.act(g, low)
    if any(p.dtype != dtype for p in moved.values()):
        return math.inf
    exact = subject.symmetry.act(g, {k: p.double() for k, p in low.items()})
    ratio = torch.finfo(dtype).eps / EPS
    worst = max(float((moved[k] - exact[k]).norm() / exact[k].norm()) for k in exact)
    return worst / (ratio * rounding(subject, g))


def float32(subject: Subject, rng: torch.Generator) -> float:
    """On float32 parameters `act` stays float32 and agrees to that precision."""
    return _precision(subject, rng, torch.float32)


def bfloat16(subject: Subject, rng: torch.Generator) -> float:
    """On bfloat16 parameters `act` stays bfloat16 and agrees to that precision."""
    return _precision(subject, rng, torch.bfloat16)


def mixed_precision(subject: Subject, rng: torch.Generator) -> float:
    """Parameters of several dtypes keep theirs (gains in float32, weights in bfloat16)."""
    g, M = sample(subject, rng), subject.symmetry.sample_algebra(generator=rng)
    dtypes = {
        k: torch.float32 if p.ndim == 1 else torch.bfloat16 for k, p in subject.params.items()
    }
    low = {k: p.to(dtypes[k]) for k, p in subject.params.items()}
    moved, field = subject.symmetry.act(g, low), subject.symmetry.tangent(M, low)
    moments = subject.symmetry.moment(low, low)
    kept = all(moved[k].dtype == field[k].dtype == dtypes[k] for k in low)
    if not kept or any(not P.isfinite().all() for P in moments.values()):
        return math.inf
    exact = subject.symmetry.act(g, {k: p.double() for k, p in low.items()})
    worst = max(float((moved[k] - exact[k]).norm() / exact[k].norm()) for k in exact)
    ratio = torch.finfo(torch.bfloat16).eps / EPS
    return worst / (ratio * rounding(subject, g))


def pure(subject: Subject, rng: torch.Generator) -> float:
    """`act` leaves its argument alone; what nothing moves is the same tensor."""
    before = {k: p.clone() for k, p in subject.params.items()}
    moved = subject.symmetry.act(sample(subject, rng), subject.params)
    untouched = all(torch.equal(before[k], p) for k, p in subject.params.items())
    targets: set[str] = set().union(*(f.moves for f in subject.symmetry))
    same = all((moved[k] is subject.params[k]) == (k not in targets) for k in moved)
    return 0.0 if untouched and same and list(moved) == list(before) else math.inf


def in_place(subject: Subject, rng: torch.Generator) -> float:
    """`act_` on a module does what `act` does."""
    module = subject.module()
    g = sample(subject, rng)
    expected = subject.symmetry.act(g, subject.params)
    before = {k: id(p) for k, p in module.named_parameters()}
    subject.symmetry.act_(g, module)
    after = dict(module.named_parameters())
    same = all(torch.equal(after[k], expected[k]) and id(after[k]) == before[k] for k in expected)
    return 0.0 if same else math.inf


# -- what training conserves --------------------------------------------------------------------------


def _quantities(subject: Subject) -> Callable[[Params], Tensor]:
    names = list(subject.symmetry.conserved(subject.params))
    return lambda p: torch.cat(
        [torch.zeros(0).double(), *(subject.symmetry.conserved(p)[k].flatten() for k in names)]
    )


def conservation(subject: Subject, rng: torch.Generator) -> float:
    """⟨∇Q, ∇L⟩ = 0 for every entry of every conserved quantity, Proposition 5.1."""
    gradient = subject.gradient()
    _, rate = torch.func.jvp(_quantities(subject), (subject.params,), (gradient,))
    sizes = flatten(subject.params, gradient).norm() * flatten(gradient, gradient).norm()
    bound = 16 * EPS * subject.depth * math.sqrt(len(flatten(gradient, gradient))) * float(sizes)
    return float(rate.abs().max()) / bound if len(rate) else 0.0


def quantity(subject: Subject, rng: torch.Generator) -> float:
    """`conserved_quantity` is ⟨θ, M·θ⟩ and pairs `conserved` with M, eq. (12)."""
    M = subject.symmetry.sample_algebra(generator=rng).symmetric()
    lawful = list(subject.symmetry.conserved(subject.params))
    part = {k: M[k] for k in lawful}
    if not part:
        return 0.0
    got = float(subject.symmetry.conserved_quantity(part, subject.params))
    field = subject.symmetry.tangent(part, subject.params)
    expected, bound = inner(subject.params, field)
    stacked = sum(
        float((Q * part[k]).sum()) for k, Q in subject.symmetry.conserved(subject.params).items()
    )
    return max(abs(got - expected), abs(stacked - expected)) / bound


def field_is_gradient(subject: Subject, rng: torch.Generator) -> float:
    """∇Q_M = 2 M·θ where the action is linear, M·θ where it is a constant shift.

    This is why Q is conserved: its gradient is a direction in which the loss does not change.
    """
    worst = 0.0
    for name in subject.symmetry.conserved(subject.params):
        family, part = subject.symmetry[name], subject.symmetry.select(name)
        M = family.group.symmetric(family.group.sample_algebra(generator=rng))
        slope = torch.func.grad(lambda p, s=part, k=name, M=M: s.conserved_quantity({k: M}, p))(
            subject.params
        )
        factor = 2.0 if family.ports else 1.0
        field = {k: factor * v for k, v in part.tangent({name: M}, subject.params).items()}
        gap = (flatten(slope, field) - flatten(field, field)).norm()
        worst = max(worst, float(gap / flatten(field, field).norm()))
    return worst / rounding(subject, subject.symmetry.identity())


def drift(subject: Subject, rng: torch.Generator) -> float:
    """Q after a step of SGD with weight decay is what `gradient_descent_step` says, exactly."""
    lr, decay = 0.05, 0.3
    gradient = subject.gradient()
    before = subject.symmetry.conserved(subject.params)
    stepped = {k: p - lr * (gradient[k] + decay * p) for k, p in subject.params.items()}
    after = subject.symmetry.conserved(stepped)
    worst = 0.0
    for name, Q in before.items():
        family = subject.symmetry[name]
        told = conserved.gradient_descent_step(family, Q, gradient, lr, decay)
        # What Q sums: the squares of the entries that the family moves.
        size = sum(
            float((lr * gradient[k]).square().sum() + subject.params[k].square().sum())
            for k in family.moves
        )
        worst = max(worst, float((after[name] - told).abs().max()) / (64 * EPS * (1 + size)))
    return worst


def angular_momentum(subject: Subject, rng: torch.Generator) -> float:
    """The angular momentum of a gradient velocity is 0, Theorem 5.2 and eq. (13)."""
    velocity = {k: -g for k, g in subject.gradient().items()}
    size = flatten(subject.params, velocity).norm() * flatten(velocity, velocity).norm()
    bound = 64 * EPS * subject.depth * math.sqrt(len(flatten(velocity, velocity))) * float(size)
    momenta = subject.symmetry.angular_momentum(subject.params, velocity)
    return max((float(x.abs().max()) for x in momenta.values()), default=0.0) / bound


# -- counting ---------------------------------------------------------------------------------------


def orbit_dimension(subject: Subject, rng: torch.Generator) -> float:
    """`dim`, by closed forms, is the rank of the infinitesimal action at generic parameters."""
    symmetry = subject.symmetry
    agree = symmetry.dim == symmetry.orbit_dim(subject.params) <= symmetry.group_dim
    return 0.0 if agree else math.inf


def law_dimension(subject: Subject, rng: torch.Generator) -> float:
    """`law_dim` is the rank of the gradients of all conserved quantities."""
    slopes = torch.func.jacrev(_quantities(subject))(subject.params)
    rows = torch.cat([slopes[k].flatten(1) for k in slopes], 1)
    rank = int(torch.linalg.matrix_rank(rows)) if rows.numel() else 0
    return 0.0 if rank == subject.symmetry.law_dim else math.inf


LAWS: Mapping[str, Law] = {
    law.__name__: law
    for law in (
        unit,
        product,
        representation,
        inverse,
        invariance,
        noether,
        noether_by_moment,
        derivative,
        adjoint,
        pullback,
        vmap_over_elements,
        vmap_over_parameters,
        double_backward,
        float32,
        bfloat16,
        mixed_precision,
        pure,
        in_place,
        conservation,
        quantity,
        field_is_gradient,
        drift,
        angular_momentum,
        orbit_dimension,
        law_dimension,
    )
}
"""Every law by name."""
