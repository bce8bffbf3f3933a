"""What gradient flow conserves, and how gradient descent drifts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from paramsym.dynamics.drift import gradient_descent_step
from tests.laws.measure import EPS, TINY, inner, largest, rounding
from tests.laws.subject import Params, Subject, flatten


def quantities(subject: Subject) -> Callable[[Params], Tensor]:
    names = list(subject.symmetry.conserved(subject.params))
    return lambda p: torch.cat(
        [torch.zeros(0).double(), *(subject.symmetry.conserved(p)[k].flatten() for k in names)]
    )


def conservation(subject: Subject, rng: torch.Generator) -> float:
    """⟨∇Q, ∇L⟩ = 0 for every entry of every conserved quantity, Proposition 5.1."""
    gradient = subject.gradient()
    rate = torch.func.jvp(quantities(subject), (subject.params,), (gradient,))[1]
    sizes = flatten(subject.params, gradient).norm() * flatten(gradient, gradient).norm()
    bound = 16 * EPS * subject.depth * math.sqrt(len(flatten(gradient, gradient))) * float(sizes)
    return float(rate.abs().max()) / (bound + TINY) if len(rate) else 0.0


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
    return largest(abs(got - expected) / bound, abs(stacked - expected) / bound)


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
        worst = largest(worst, float(gap / flatten(field, field).norm()))
    return worst / rounding(subject, subject.symmetry.identity())


def drift(
    subject: Subject,
    rng: torch.Generator,
    step: Callable[..., Tensor] = gradient_descent_step,
) -> float:
    """Q after a step of SGD with weight decay is what `gradient_descent_step` says, exactly."""
    lr, decay = 0.05, 0.3
    gradient = subject.gradient()
    before = subject.symmetry.conserved(subject.params)
    stepped = {k: p - lr * (gradient[k] + decay * p) for k, p in subject.params.items()}
    after = subject.symmetry.conserved(stepped)
    worst = 0.0
    for name, Q in before.items():
        family = subject.symmetry[name]
        told = step(family, Q, gradient, lr, decay)
        # What Q sums: the squares of the entries that the family moves.
        size = sum(
            float((lr * gradient[k]).square().sum() + subject.params[k].square().sum())
            for k in family.moves
        )
        worst = largest(worst, float((after[name] - told).abs().max()) / (64 * EPS * (1 + size)))
    return worst


def angular_momentum(subject: Subject, rng: torch.Generator) -> float:
    """The angular momentum of a gradient velocity is 0, Theorem 5.2 and eq. (13)."""
    velocity = {k: -g for k, g in subject.gradient().items()}
    size = flatten(subject.params, velocity).norm() * flatten(velocity, velocity).norm()
    bound = 64 * EPS * subject.depth * math.sqrt(len(flatten(velocity, velocity))) * float(size)
    momenta = subject.symmetry.angular_momentum(subject.params, velocity)
    return largest(*(float(x.abs().max()) / (bound + TINY) for x in momenta.values()))
