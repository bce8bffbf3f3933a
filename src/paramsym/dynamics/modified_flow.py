"""The flow that gradient descent follows to second order, and how Q drifts along it.

Gradient descent with learning rate η follows, up to O(η²) over a fixed time, the gradient flow of
the modified loss L̃ = L + η/4 ‖∇L‖². Along it, exactly,

    dQ_M/dt = η ⟨∇L, M·∇L⟩.

*Proof.* θ̇ = −∇L − η/2 ∇²L ∇L. Differentiating ⟨∇L, M·θ⟩ = 0 gives ∇²L (M·θ) = −M·∇L for M = Mᵀ.
So dQ_M/dt = 2⟨θ̇, M·θ⟩ = −η ⟨∇²L ∇L, M·θ⟩ = η ⟨∇L, M·∇L⟩. ∎
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.moment_map import moment

Params = Mapping[str, Tensor]


def modified_velocity(
    loss: Callable[[Params], Tensor], params: Params, lr: float
) -> dict[str, Tensor]:
    """θ̇ = −∇L − η/2 ∇²L ∇L, the velocity of the modified flow.

    Args:
        loss: A function of a parameter dict, twice differentiable by torch.func.
        params: Parameter dict.
        lr: Learning rate η.
    """
    gradient = torch.func.grad(loss)(params)
    curved = torch.func.jvp(torch.func.grad(loss), (params,), (gradient,))[1]
    return {k: -gradient[k] - lr / 2 * curved[k] for k in params}


def drift_rate(family: Family, gradient: Params, lr: float, momentum: float = 0.0) -> Tensor:
    """dQ/dt along the modified flow, in the time that counts η/(1−β) a step.

    Exact for β = 0. With momentum β it is the leading term: steps of η/(1−β) along the flow, whose
    squares add up with correlations, (1+β)/(1−β) in all.

    Args:
        family: A family with a law.
        gradient: ∇L.
        lr: Learning rate η.
        momentum: β of heavy ball or Nesterov's kind, below 1.

    Returns:
        A tensor of the group's shape; zero for translations, which do not drift.

    Raises:
        ValueError: If β is not in [0, 1).
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"`momentum` must be at least 0 and below 1; got {momentum}.")
    square = family.group.symmetric(moment(family, gradient, gradient))
    if not family.ports:
        return torch.zeros_like(square)
    return lr * (1 + momentum) / (1 - momentum) ** 2 * square
