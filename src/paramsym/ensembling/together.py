"""A function of one member, evaluated for all members together."""

from collections.abc import Callable
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.func import vmap


def together(one: Callable[[Any], Tensor], states: Any) -> Tensor:
    """`one` of every state, stacked: `states` are tensors with a leading axis of members.

    By `torch.func.vmap`, so that what does not depend on the state is computed once. Models that it
    does not take (control flow that depends on data, in-place operations that write what differs
    between members into what does not) are run for one member after the other, which is slower.
    """
    try:
        return vmap(one, randomness="different")(states)
    except RuntimeError:
        # What is wrong with the model itself is raised again, without vmap around it.
        leaves, spec = pytree.tree_flatten(states)
        each = (pytree.tree_unflatten(list(row), spec) for row in zip(*leaves, strict=True))
        return torch.stack([one(state) for state in each])
