"""What training conserves: Q, angular momentum, and the exact drift of Q under gradient descent.

All are readings of the moment map (`action.moment`). One convention holds everywhere: Q_M(θ) =
⟨θ, M·θ⟩, eq. (12), writers minus readers, without a factor ½. Stacked over the symmetric generators
of a hidden space this is VVᵀ + bbᵀ − α UᵀU.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from paramsym.action import moment, moments
from paramsym.family import Family


def conserved(families: Iterable[Family], params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Conserved quantities of gradient flow, of every family that has a law.

    Args:
        families: Families; those without a law are left out of the result.
        params: Parameter dict.

    Returns:
        For each family a tensor Q of its group's shape, in the symmetric part of the (dual)
        algebra: Q_M(θ) = ⟨Q, M⟩ for symmetric M. For scalings `[h]`, for GL(n) a symmetric
        `[n, n]` matrix. For translations along constant directions Q is linear in θ.
    """
    lawful = [family for family in families if family.has_law]
    found = moments(lawful, params, params)
    return {family.name: family.group.symmetric(found[family.name]) for family in lawful}


def angular_momentum(
    families: Iterable[Family], params: Mapping[str, Tensor], velocity: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Angular momentum ⟨θ̇, M·θ⟩ over antisymmetric generators; 0 along gradient flow (eq. (13)).

    Args:
        families: Families; those whose algebra is all symmetric are left out.
        params: Parameter dict θ.
        velocity: Dict of θ̇, shaped like the parameters.

    Returns:
        For each family a tensor of its group's shape, in the antisymmetric part of the algebra.
    """
    turning = [f for f in families if f.ports and f.group.symmetric_dim < f.group.dim]
    found = moments(turning, params, velocity)
    return {family.name: family.group.antisymmetric(found[family.name]) for family in turning}


def gradient_descent_step(
    family: Family,
    Q: Tensor,
    grads: Mapping[str, Tensor],
    lr: float,
    weight_decay: float = 0.0,
) -> Tensor:
    """Q after one step of gradient descent, exactly: (1−ηλ)² Q + η² ⟨g, M g⟩.

    Holds for any loss that the family leaves unchanged, minibatches included, because the term
    linear in η is ⟨g, M·θ⟩ = 0 (docs/derivations.md §7). Weight decay is the coupled kind, λθ added
    to the gradient. Translations have a linear Q, which no gradient moves: (1−ηλ) Q.

    Args:
        family: A family with a law.
        Q: Its conserved quantity before the step.
        grads: Loss gradients g at the parameters before the step, without weight decay.
        lr: Learning rate η.
        weight_decay: λ.
    """
    shrink = 1 - lr * weight_decay
    if not family.ports:
        return shrink * Q
    return shrink**2 * Q + lr**2 * family.group.symmetric(moment(family, grads, grads))
