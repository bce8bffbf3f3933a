"""The functions are pure: they run under `torch.func`."""

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tests.laws.measure import distance, largest, rounding, sample
from tests.laws.subject import Params, Subject, flatten, normal


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
        worst = largest(worst, distance(got, alone) / rounding(subject, g))
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
            worst = largest(worst, float((together[k][i] - value).abs().max()) / size)
    return worst / rounding(subject, g)


def double_backward(subject: Subject, rng: torch.Generator) -> float:
    """Hessian-vector products through `act`: reverse over reverse equals forward over reverse."""
    g = sample(subject, rng)
    names = list(subject.params)
    v = {k: normal(p.shape, rng) for k, p in subject.params.items()}

    def energy(p: Params) -> Tensor:
        moved = subject.symmetry.act(g, p)
        return torch.stack([moved[k].square().sum() * moved[k].cos().sum() for k in names]).sum()

    def slope(p: Params) -> Tensor:
        gradient = torch.func.grad(energy)(p)
        return torch.stack([(gradient[k] * v[k]).sum() for k in names]).sum()

    backward = torch.func.grad(slope)(subject.params)
    forward = torch.func.jvp(torch.func.grad(energy), (subject.params,), (v,))[1]
    size = float(flatten(forward, v).norm())
    gap = float((flatten(backward, v) - flatten(forward, v)).norm())
    return gap / (size * 64 * rounding(subject, g))
