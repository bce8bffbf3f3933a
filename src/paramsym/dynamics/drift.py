"""The exact path of Q under gradient descent, with momentum and weight decay, from gradients alone.

Everything follows from ⟨g, M·θ⟩ = 0, which holds for the gradient of any loss that a family leaves
unchanged, and so for that of every minibatch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from paramsym.family import Family
from paramsym.moment_map import moment, moments


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


@final
@dataclass(frozen=True, eq=False)
class MomentumState:
    """What has to be known to follow Q under momentum: nothing that needs the parameters.

    torch.optim.SGD's momentum buffer b is a multiple of the parameters, which weight decay put
    there, and a sum of gradients: b = share · θ + rest.

    Attributes:
        Q: Conserved quantities, {family name: tensor}.
        cross: ⟨θ, M·rest⟩ of each family; for translations along a, ⟨a, rest⟩.
        rest: The part of the buffer that consists of gradients; empty before the first step.
        share: The multiple.
    """

    Q: dict[str, Tensor]
    cross: dict[str, Tensor]
    rest: dict[str, Tensor]
    share: float = 0.0

    def pairing(self) -> dict[str, Tensor]:
        """⟨θ, M·b⟩ of the buffer b, {family name: tensor}."""
        return {name: self.share * Q + self.cross[name] for name, Q in self.Q.items()}


def at_rest(Q: Mapping[str, Tensor]) -> MomentumState:
    """The state before the first step, with an empty momentum buffer.

    Args:
        Q: Conserved quantities of the parameters, as `symmetry.conserved` gives them.
    """
    return MomentumState(dict(Q), {name: q * 0 for name, q in Q.items()}, {})


def moving(
    families: Iterable[Family],
    Q: Mapping[str, Tensor],
    params: Mapping[str, Tensor],
    buffer: Mapping[str, Tensor],
) -> MomentumState:
    """The state at parameters and a momentum buffer that is not empty, as of a resumed training.

    Args:
        families: Families with a law, those of Q.
        Q: Conserved quantities of the parameters.
        params: Parameter dict θ.
        buffer: torch.optim.SGD's momentum buffer, which is −1/η times the last step.
    """
    families = list(families)
    cross = _symmetric(families, params, buffer)
    return MomentumState({f.name: Q[f.name] for f in families}, cross, dict(buffer))


def momentum_step(
    families: Iterable[Family],
    state: MomentumState,
    grads: Mapping[str, Tensor],
    lr: float,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> MomentumState:
    """The state after one step of torch.optim.SGD (without dampening), exactly.

    With b' = βb + g + λθ the step is θ' = θ − ηs, where s = b', or g + λθ + βb' for Nesterov's
    kind. Write b = ρθ + W (`share` and `rest`), b' = cθ + D and s = eθ + E. Then ⟨θ, M·g⟩ = 0 gives
    ⟨θ, M·D⟩ = β⟨θ, M·W⟩, ⟨θ, M·E⟩ the same, once more times β for Nesterov's kind, and

        Q' = (1−ηe)² Q − 2η(1−ηe) ⟨θ, M·E⟩ + η² ⟨E, M·E⟩.

    b' is again of this form at θ' = (1−ηe)θ − ηE, with share c/(1−ηe). The learning rate and all
    else may change from step to step.

    Args:
        families: Families with a law; all those of the state.
        state: Before the step.
        grads: Loss gradients g at the parameters before the step, without weight decay; those of
            parameters that no family moves may be absent.
        lr: Learning rate η.
        momentum: β.
        weight_decay: λ, of the coupled kind.
        nesterov: Whether the momentum is Nesterov's.

    Raises:
        ValueError: If the families are not those of the state, a gradient is missing, or the step
            erases the parameters (ηλ = 1 without momentum).
    """
    families = list(families)
    if {f.name for f in families} != state.Q.keys():
        raise ValueError(
            f"`families` must be those of the state, {list(state.Q)}; "
            f"got {[f.name for f in families]}."
        )
    moved = sorted(frozenset[str]().union(*(f.moves for f in families)))
    missing = [name for name in moved if name not in grads]
    if missing:
        raise ValueError(
            f"`grads` must have the gradient of every parameter that a family moves; missing: "
            f"{missing}."
        )
    c = momentum * state.share + weight_decay
    D = {k: grads[k] + momentum * state.rest[k] if state.rest else grads[k] for k in moved}
    e, E, lag = c, D, momentum
    if nesterov:
        e = weight_decay + momentum * c
        E, lag = {k: grads[k] + momentum * D[k] for k in moved}, momentum**2
    shrink = 1 - lr * e
    if shrink == 0:
        raise ValueError(
            f"`lr` and `weight_decay` must not erase the parameters; got lr = {lr}, weight_decay = "
            f"{weight_decay}, with which nothing is left of them after the step."
        )
    share = c / shrink
    rest = {k: D[k] + share * lr * E[k] for k in moved}
    squares, crosses = _symmetric(families, E, E), _symmetric(families, E, rest)
    Q, cross = {}, {}
    for family in families:
        name = family.name
        before, pair = state.Q[name], lag * state.cross[name]
        after = momentum * state.cross[name] + share * lr * pair
        if family.ports:
            Q[name] = shrink**2 * before - 2 * lr * shrink * pair + lr**2 * squares[name]
            cross[name] = shrink * after - lr * crosses[name]
        else:
            Q[name], cross[name] = shrink * before - lr * pair, after
    return MomentumState(Q, cross, rest, share)


def _symmetric(
    families: list[Family], x: Mapping[str, Tensor], y: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """⟨x, M·y⟩ over symmetric generators M; for translations along a, ⟨a, y⟩."""
    found = moments(families, x, y)
    return {f.name: f.group.symmetric(found[f.name]) for f in families}
