"""The baselines of Appendix I: how readers are moved where not by the group action.

| kind | writer | reader |
|---|---|---|
| `inverse` | gV | U g⁻¹ |
| `random` | gV | U (I + εD), D diagonal with entries N(0, 1) |
| `shuffle` | gV | U π', the entries of the paper's π in random order |
| `interpolated` | PV | U P⁻¹, P = (I + ε/2 (I + S))/(1 + ε), S a random permutation matrix |

None keeps the outputs at any sample, unless σ happens to be linear there. At ε = 0 all but
`shuffle` are the model.
"""

import torch
from torch import Tensor


def inverse(g: Tensor) -> Tensor:
    """g⁻¹, `[members, h, h]`; NaN where g is singular."""
    found, failed = torch.linalg.inv_ex(g)
    return torch.where(failed[:, None, None] == 0, found, float("nan"))


def random_diagonal(h: int, members: int, scale: float, generator: torch.Generator) -> Tensor:
    """I + εD, `[members, h, h]`."""
    device = generator.device
    noise = torch.randn(members, h, generator=generator, dtype=torch.float64, device=device)
    return torch.diag_embed(1 + scale * noise)


def shuffled(pi: Tensor, generator: torch.Generator) -> Tensor:
    """The h² entries of each matrix of `[..., h, h]` in an order of its own."""
    flat = pi.flatten(-2).flatten(0, -2)
    size, device = flat.shape[-1], generator.device
    orders = [torch.randperm(size, generator=generator, device=device) for _ in flat]
    return flat.gather(-1, torch.stack(orders).to(flat.device)).reshape(pi.shape)


def interpolated(h: int, members: int, scale: float, generator: torch.Generator) -> Tensor:
    """P = (I + ε/2 (I + S))/(1 + ε), `[members, h, h]`.

    S is normal with eigenvalues on the unit circle, so that cond(P) ≤ 1 + ε for any ε.
    """
    device = generator.device
    eye = torch.eye(h, dtype=torch.float64, device=device)
    orders = [torch.randperm(h, generator=generator, device=device) for _ in range(members)]
    return (eye + scale / 2 * (eye + eye[torch.stack(orders)])) / (1 + scale)
