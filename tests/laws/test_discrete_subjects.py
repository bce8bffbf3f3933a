"""Laws of discrete symmetries over networks; each is seen to fail on a planted fault.

Wherever every neuron of a layer scales on its own, the neurons may change places as well.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.storage import from_dict, to_dict
from tests.laws.measure import EPS, largest, relative
from tests.laws.subject import Subject, normal
from tests.laws.subjects import subject

Law = Callable[[Subject, torch.Generator], float]


def with_discrete(base: Subject, *families: ps.DiscreteFamily) -> Subject:
    return replace(base, symmetry=replace(base.symmetry, discrete=families))


def permuted(name: str) -> Subject:
    """A registered subject with the permutations of every layer whose neurons scale."""
    base = subject(name)
    families = [
        ps.DiscreteFamily(
            f"{family.name} (permutations)",
            ps.Permutations(family.group.n),
            tuple(replace(port, degree=1.0) for port in family.ports),
        )
        for family in base.symmetry
    ]
    return with_discrete(base, *families)


def heads() -> Subject:
    """Attention with its heads permuted: the rows of a head move together, in their order."""
    base = subject("attention")
    ports = [port for family in base.symmetry for port in family.ports]
    copies, size, _ = ports[0].index.shape
    whole = tuple(replace(port, index=port.index.reshape(1, copies, size)) for port in ports)
    return with_discrete(base, ps.DiscreteFamily("heads", ps.Permutations(copies), whole))


def tanh() -> Subject:
    """A layer of tanh between two others: permutations and signs."""
    rng = torch.Generator().manual_seed(0)
    shapes = {"a.weight": (5, 3), "a.bias": (5,), "b.weight": (2, 5)}
    params = {name: normal(shape, rng) for name, shape in shapes.items()}
    ports = (
        ps.Port.along("a.weight", (5, 3), 0),
        ps.Port.along("a.bias", (5,), 0),
        ps.Port.along("b.weight", (2, 5), 1, dual=True),
    )
    base = Subject(
        ps.Symmetry.of([], params),
        params,
        lambda p, x: torch.tanh(x @ p["a.weight"].T + p["a.bias"]) @ p["b.weight"].T,
        normal((7, 3), rng),
    )
    return with_discrete(
        base,
        ps.DiscreteFamily("a → b (permutations)", ps.Permutations(5), ports),
        ps.DiscreteFamily("a → b (signs)", ps.Signs(5), ports),
    )


BUILDERS: dict[str, Callable[[], Subject]] = {
    **{
        name: (lambda name=name: permuted(name))
        for name in ("dense relu", "deep leaky_relu", "deep relu_2", "convolution relu")
    },
    "flattened relu_1.5": lambda: permuted("flattened relu_1.5"),
    "heads": heads,
    "tanh": tanh,
}


@cache
def discrete(name: str) -> Subject:
    return BUILDERS[name]()


def word(of: Subject, rng: torch.Generator) -> ps.GroupElement:
    """Letters of the discrete families alone, none of them the unit."""
    families = of.symmetry.discrete
    draws = []
    for family in families:
        g = family.group.sample(generator=rng)
        while torch.equal(g, family.group.identity()):
            g = family.group.sample(generator=rng)
        draws.append(g)
    names = tuple(family.name for family in families)
    return ps.GroupElement(names, tuple(family.group for family in families), tuple(draws))


# -- laws: residuals in units of their bounds ------------------------------------------------------


def invariance(of: Subject, rng: torch.Generator) -> float:
    """F(gθ) = F(θ): only sums are taken in another order."""
    before = of.forward(of.params, of.inputs)
    worst = 0.0
    for _ in range(4):
        after = of.forward(of.symmetry.act(word(of, rng), of.params), of.inputs)
        worst = largest(worst, relative(after - before, before) / (64 * of.depth * EPS))
    return worst


def gradients(of: Subject, rng: torch.Generator) -> float:
    """∇L(gθ) = g·∇L(θ), because the elements act as orthogonal matrices."""
    g, gradient = word(of, rng), of.gradient()
    there = torch.func.grad(of.loss)(of.symmetry.act(g, of.params))
    carried = of.symmetry.act(g, gradient)
    size = max(float(x.abs().max()) for x in gradient.values())
    return max(float((there[k] - carried[k]).abs().max()) for k in there) / (
        512 * of.depth * EPS * size
    )


def inverse(of: Subject, rng: torch.Generator) -> float:
    """g⁻¹gθ = θ, to the bit; and the parameters stay what they were."""
    g, kept = word(of, rng), {name: p.clone() for name, p in of.params.items()}
    back = of.symmetry.act(g.inverse() @ g, of.params)
    again = of.symmetry.act(g.inverse(), of.symmetry.act(g, of.params))
    same = all(
        torch.equal(back[k], p) and torch.equal(again[k], p) and torch.equal(of.params[k], p)
        for k, p in kept.items()
    )
    return 0.0 if same else float("inf")


def in_place(of: Subject, rng: torch.Generator) -> float:
    """`act_` does what `act` does, to the bit."""
    g, module = word(of, rng), of.module()
    of.symmetry.act_(g, module)
    moved = of.symmetry.act(g, of.params)
    same = all(torch.equal(p, moved[name]) for name, p in module.named_parameters())
    return 0.0 if same else float("inf")


def moves(of: Subject, rng: torch.Generator) -> float:
    """A word that is not the unit moves parameters, and only those that it says."""
    g = word(of, rng)
    moved = of.symmetry.act(g, of.params)
    changed = {k for k, p in of.params.items() if not torch.equal(moved[k], p)}
    said = frozenset[str]().union(*(family.moves for family in of.symmetry.discrete))
    return 0.0 if changed and changed <= said else float("inf")


def laws_stay(of: Subject, rng: torch.Generator) -> float:
    """The conserved quantities of a point are those of its image, coordinates permuted: their sums
    do not change."""
    before = of.symmetry.conserved(of.params)
    after = of.symmetry.conserved(of.symmetry.act(word(of, rng), of.params))
    worst = 0.0
    for name, q in before.items():
        size = float(q.abs().sum()) or 1.0
        traces = [_trace(x).sum() for x in (q, after[name])]
        worst = largest(worst, abs(float(traces[0] - traces[1])) / (64 * EPS * size))
    return worst


def _trace(q: Tensor) -> Tensor:
    return q.diagonal(dim1=-2, dim2=-1).sum(-1) if q.ndim > 1 else q


def json_round_trip(of: Subject, rng: torch.Generator) -> float:
    """A symmetry that was written and read acts as before."""
    g, read = word(of, rng), from_dict(to_dict(of.symmetry))
    left, right = of.symmetry.act(g, of.params), read.act(g, of.params)
    same = read == of.symmetry and all(torch.equal(left[k], right[k]) for k in left)
    return 0.0 if same else float("inf")


LAWS: tuple[Law, ...] = (
    invariance, gradients, inverse, in_place, moves, laws_stay, json_round_trip,
)  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", BUILDERS)
def test_law_holds(name: str, law: Law, rng: torch.Generator) -> None:
    ratio = law(discrete(name), rng)
    assert ratio <= 1, f"{law.__name__} on {name}: residual is {ratio:.1e} of its bound"


# -- planted faults --------------------------------------------------------------------------------


def changed(name: str, change: Callable[[ps.Port], ps.Port | None]) -> Subject:
    """A subject with the ports of its first discrete family changed, or left out."""
    base = discrete(name)
    first, *others = base.symmetry.discrete
    ports = tuple(new for port in first.ports if (new := change(port)) is not None)
    return with_discrete(base, replace(first, ports=ports), *others)


def displaced(port: ps.Port) -> ps.Port:
    return replace(port, index=port.index.roll(1, 1)) if port.dual else port


def only_weights(port: ps.Port) -> ps.Port | None:
    return None if port.parameter.endswith("bias") else port


def only_writers(port: ps.Port) -> ps.Port | None:
    return None if port.dual else port


def interleaved(port: ps.Port) -> ps.Port:
    """Rows of a head taken from all heads, as by another layout."""
    return replace(
        port, index=port.index.flatten().reshape(port.index.shape[::-1]).permute(2, 1, 0)
    )


def signs_of(name: str) -> Subject:
    base = discrete(name)
    first = base.symmetry.discrete[0]
    wrong = ps.DiscreteFamily("signs", ps.Signs(first.group.n), first.ports)
    return with_discrete(base, wrong)


FAULTS: dict[str, Callable[[], Subject]] = {
    "readers displaced": lambda: changed("dense relu", displaced),
    "channels displaced": lambda: changed("convolution relu", displaced),
    "blocks displaced": lambda: changed("flattened relu_1.5", displaced),
    "biases forgotten": lambda: changed("tanh", only_weights),
    "readers forgotten": lambda: changed("deep leaky_relu", only_writers),
    "heads read in another layout": lambda: changed("heads", interleaved),
    "signs behind relu": lambda: signs_of("dense relu"),
    "signs behind leaky relu": lambda: signs_of("deep leaky_relu"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_claims_are_found(fault: str, rng: torch.Generator) -> None:
    wrong = FAULTS[fault]()
    assert invariance(wrong, rng) > 1e6
    assert gradients(wrong, rng) > 1e6
