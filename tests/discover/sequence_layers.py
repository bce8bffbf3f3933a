"""Layers of random models of sequences that transformers and their adapters have."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.discover.sequence_steps import TIME, heads, merged

Run = Callable[[Any, Tensor], Tensor]
Shapes = Callable[[int], tuple[tuple[int, ...], ...]]


def norm_by_hand(s: Any, z: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return s.weights[0] * (centred / (variance + s.eps).sqrt()) + s.weights[1]


def norm_by_variance(s: Any, z: Tensor) -> Tensor:
    variance, mean = torch.var_mean(z, -1, correction=0, keepdim=True)
    return (z - mean) * torch.rsqrt(variance + s.eps) * s.weights[0] + s.weights[1]


def root_mean_square(s: Any, z: Tensor) -> Tensor:
    return z * torch.rsqrt(z.square().mean(-1, keepdim=True) + s.eps) * (1 + s.weights[0])


def modulated(s: Any, z: Tensor) -> Tensor:
    """An adaptive norm: its scale and its shift are made from the mean over time."""
    made = F.linear(torch.tanh(z.mean(1, keepdim=True)), s.weights[0], s.weights[1])
    scale, shift = made.chunk(2, -1)
    return F.layer_norm(z, z.shape[-1:], eps=s.eps) * (1 + scale) + shift


def gated_branch(s: Any, z: Tensor) -> Tensor:
    """A branch with a scale of its own, added to the stream."""
    return z + s.weights[2] * F.linear(F.gelu(F.linear(z, s.weights[0])), s.weights[1])


def adapter(s: Any, z: Tensor) -> Tensor:
    """A layer and a product of low rank beside it."""
    w, b, down, up = s.weights
    return F.linear(z, w, b) + 0.5 * F.linear(F.linear(z, down), up)


def decomposed(s: Any, z: Tensor) -> Tensor:
    """Directions of rows and their lengths."""
    w, down, up, size = s.weights
    w = w + up @ down
    return F.linear(z, w / w.norm(dim=1, keepdim=True) * size[:, None])


def token_in_front(s: Any, z: Tensor) -> Tensor:
    """A learned token and positions; another one is dropped."""
    token = s.weights[0].expand(len(z), 1, z.shape[-1])
    return (torch.cat([token, z], 1) + s.weights[1])[:, :TIME]


def written(s: Any, z: Tensor) -> Tensor:
    """Halves of a buffer, written one after the other."""
    n = z.shape[-1] // 2
    out = torch.zeros_like(z)
    out[..., :n] = F.linear(z, s.weights[0][:n])
    out[..., n:] = F.relu(F.linear(z, s.weights[0][n:]))
    return out


def recurrence(s: Any, z: Tensor) -> Tensor:
    """A gated state, step by step, with decays of its own."""
    decay, state, states = torch.sigmoid(s.weights[0]), torch.zeros_like(z[:, 0]), []
    for t in range(z.shape[1]):
        state = decay * state + z[:, t]
        states.append(state)
    return torch.stack(states, 1)


def keys_of_rows(s: Any, z: Tensor) -> Tensor:
    """Learned queries in two heads of the same projection, keys and values of the stream."""
    q = heads(F.linear(s.weights[0], s.weights[1]).expand(len(z), -1, -1), 2)
    k, v = (heads(F.linear(z, w), 2) for w in (s.weights[1], s.weights[2]))
    return merged(F.scaled_dot_product_attention(q, k, v))


def crossed(s: Any, z: Tensor) -> Tensor:
    """A fused projection of which one part reads the past."""
    n = z.shape[-1]
    past = z.roll(1, 1)
    q = F.linear(z, s.weights[0][:n])
    k, v = F.linear(past, s.weights[0][n:]).chunk(2, -1)
    return F.scaled_dot_product_attention(q, k, v)


LAYERS: dict[str, tuple[Run, Shapes]] = {
    "layer norm by hand": (norm_by_hand, lambda n: ((n,), (n,))),
    "layer norm by variance": (norm_by_variance, lambda n: ((n,), (n,))),
    "gain one plus": (root_mean_square, lambda n: ((n,),)),
    "modulated": (modulated, lambda n: ((2 * n, n), (2 * n,))),
    "scaled branch": (gated_branch, lambda n: ((3, n), (n, 3), (n,))),
    "adapter": (adapter, lambda n: ((n, n), (n,), (2, n), (n, 2))),
    "decomposed": (decomposed, lambda n: ((n, n), (1, n), (n, 1), (n,))),
    "token in front": (token_in_front, lambda n: ((1, 1, n), (TIME + 1, n))),
    "written": (written, lambda n: ((n, n),)),
    "recurrence": (recurrence, lambda n: ((n,),)),
    "queries of rows": (keys_of_rows, lambda n: ((TIME, n), (4, n), (4, n))),
    "crossed": (crossed, lambda n: ((3 * n, n),)),
}
