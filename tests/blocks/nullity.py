"""How many directions of parameter space leave all outputs alone, to first order."""

from collections.abc import Callable

import torch
from torch import Tensor

from tests.laws.subject import Params


def output_jacobian(
    forward: Callable[[Params, Tensor], Tensor], params: dict[str, Tensor], inputs: Tensor
) -> Tensor:
    """∂(all outputs)/∂θ, `[outputs, parameters]`, columns in the order of `params`."""
    jacobian = torch.func.jacrev(lambda p: forward(p, inputs).flatten(), chunk_size=512)(params)
    return torch.cat([jacobian[k].flatten(1) for k in params], 1)


def null_space(jacobian: Tensor) -> tuple[int, float, float]:
    """Nullity of a Jacobian with normalised columns, and the gap in its spectrum.

    Returns:
        The nullity; the smallest retained and the largest null singular value, relative to the
        largest. A wide gap between the two shows that the count is no matter of threshold.
    """
    values = torch.linalg.svdvals(jacobian / jacobian.norm(dim=0))
    relative = values / values[0]
    kept = relative[relative > 1e-9]
    null = relative[relative <= 1e-9]
    return len(null), float(kept[-1]), float(null[0]) if len(null) else 0.0
