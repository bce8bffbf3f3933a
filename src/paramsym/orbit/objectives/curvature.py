"""How sharp a loss is, as objectives: the trace and the largest eigenvalue of its Hessian."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paramsym.landscape import extreme_eigenvalues
from paramsym.orbit.objectives.derivatives import Loss, gradient


def _products(
    parts: list[Tensor], leaves: list[Tensor], vector: list[Tensor]
) -> tuple[Tensor, ...]:
    """The product of the Hessian with a vector, with its graph."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        along = torch.stack([(g * v).sum() for g, v in zip(parts, vector, strict=True)]).sum()
        if not along.requires_grad:  # a loss that is linear in the parameters
            return tuple(torch.zeros_like(p) for p in leaves)
        return torch.autograd.grad(along, leaves, create_graph=True, materialize_grads=True)


def _form(parts: list[Tensor], leaves: list[Tensor], vector: list[Tensor]) -> Tensor:
    """⟨v, Hv⟩."""
    product = _products(parts, leaves, vector)
    return torch.stack([(h * v).sum() for h, v in zip(product, vector, strict=True)]).sum()


@final
@dataclass(frozen=True)
class HessianTrace:
    """The trace of a loss's Hessian in all parameters, by Hutchinson's estimator.

    The probes are the same at every call, so that the objective is a function; a minimiser can fit
    them where they are few. Judge a result with probes of another seed.

    Away from critical points of the loss it may be unbounded below along the orbit, as the Hessian
    may be indefinite there: for L(uv), the scaling c gives L″(u²/c² + v²c²), of the sign of L″. A
    descent then ends at `max_condition`, and has found no flat point (docs/derivations.md §26).

    Attributes:
        loss: From a parameter dict to a scalar.
        probes: Number of random sign vectors z; the estimate is the mean of ⟨z, Hz⟩.
        seed: Of the probes.
    """

    loss: Loss
    probes: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.probes < 1:
            raise ValueError(f"`probes` must be at least 1; got {self.probes}.")

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        parts, leaves = gradient(self.loss, params)
        generator = torch.Generator().manual_seed(self.seed)
        forms = []
        for _ in range(self.probes):
            signs = [
                (2 * torch.randint(0, 2, p.shape, generator=generator) - 1).to(p) for p in leaves
            ]
            forms.append(_form(parts, leaves, signs))
        return torch.stack(forms).mean()


@final
@dataclass(frozen=True)
class LargestEigenvalue:
    """The largest eigenvalue of a loss's Hessian in all parameters.

    Its value is the Rayleigh quotient of the eigenvector v that Lanczos finds, and its derivative
    that of ⟨v, H v⟩ at constant v, which is exact where the eigenvalue is simple (Feynman and
    Hellmann). Where it is not, the objective has a kink, and a descent may end there with no
    progress. At a minimum of the loss it is 0 or more; elsewhere it may be negative, and without a
    lower bound on the orbit.

    Attributes:
        loss: From a parameter dict to a scalar.
        tolerance: Largest residual of the eigenvector, relative to the Hessian's norm.
    """

    loss: Loss
    tolerance: float = 1e-8

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        real = {k: p for k, p in params.items() if p.is_floating_point()}
        rest = {k: p for k, p in params.items() if k not in real}
        order = {k: i for i, k in enumerate(params)}

        def loss(given: dict[str, Tensor]) -> Tensor:
            joint = {**given, **rest}
            return self.loss({k: joint[k] for k in order})

        found = extreme_eigenvalues(loss, real, tolerance=self.tolerance)
        vector = found.coordinates.unflatten(found.vectors[0])
        parts, leaves = gradient(self.loss, params)
        return _form(parts, leaves, [vector[k].to(p) for k, p in real.items()])
