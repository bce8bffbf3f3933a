"""What random models of sequences are made of: functions of `[batch, time, features]`."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

TIME = 4


def heads(z: Tensor, count: int) -> Tensor:
    """[batch, time, features] → [batch, heads, time, features of a head]."""
    return z.unflatten(-1, (count, -1)).transpose(1, 2)


def merged(z: Tensor) -> Tensor:
    """The inverse of `heads`."""
    return z.transpose(1, 2).flatten(2)


def _angles(z: Tensor, width: int) -> Tensor:
    rates = 1.3 ** -torch.arange(width).to(z)
    return torch.arange(z.shape[-2]).to(z)[:, None] * rates


def rotary_halves(z: Tensor) -> Tensor:
    """Pairs (i, i + d/2), by a negated and swapped copy."""
    angles = _angles(z, z.shape[-1] // 2)
    angles = torch.cat([angles, angles], -1)
    a, b = z.chunk(2, -1)
    return z * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


def rotary_cut(z: Tensor) -> Tensor:
    """Pairs (i, i + d/2), half by half."""
    angles = _angles(z, z.shape[-1] // 2)
    a, b = z[..., : z.shape[-1] // 2], z[..., z.shape[-1] // 2 :]
    c, s = angles.cos(), angles.sin()
    return torch.cat([a * c - b * s, b * c + a * s], -1)


def rotary_interleaved(z: Tensor) -> Tensor:
    """Pairs (2i, 2i + 1)."""
    angles = _angles(z, z.shape[-1] // 2).repeat_interleave(2, -1)
    turned = torch.stack([-z[..., 1::2], z[..., ::2]], -1).flatten(-2)
    return z * angles.cos() + turned * angles.sin()


def rotary_partial(z: Tensor) -> Tensor:
    """The first two coordinates turn."""
    return torch.cat([rotary_halves(z[..., :2]), z[..., 2:]], -1)


def rotary_wrong(z: Tensor) -> Tensor:
    """A sign is missing, so that nothing turns."""
    angles = _angles(z, z.shape[-1] // 2)
    angles = torch.cat([angles, angles], -1)
    a, b = z.chunk(2, -1)
    return z * angles.cos() + torch.cat([b, a], -1) * angles.sin()


def rotary_unequal(z: Tensor) -> Tensor:
    """Each coordinate has an angle of its own."""
    angles = _angles(z, z.shape[-1])
    a, b = z.chunk(2, -1)
    return z * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


def rotary_late(z: Tensor) -> Tensor:
    """The partner is of another time."""
    angles = _angles(z, z.shape[-1] // 2)
    angles = torch.cat([angles, angles], -1)
    a, b = z.chunk(2, -1)
    return z * angles.cos() + torch.cat([-b.roll(1, -2), a], -1) * angles.sin()


def rotary_complex(z: Tensor, *, late: bool = False) -> Tensor:
    """Pairs (2i, 2i + 1) as complex numbers."""
    angles = _angles(z, z.shape[-1] // 2)
    c = torch.view_as_complex(z.unflatten(-1, (-1, 2))) * torch.polar(angles.cos() + 2, angles)
    if late:
        c = torch.cat([c[..., :1], c.roll(1, -2)[..., 1:]], -1)
    return torch.view_as_real(c).flatten(-2)


ROTARY: dict[str, Callable[[Tensor], Tensor]] = {
    "no positions": lambda z: z,
    "halves": rotary_halves,
    "cut": rotary_cut,
    "interleaved": rotary_interleaved,
    "partial": rotary_partial,
    "wrong": rotary_wrong,
    "unequal": rotary_unequal,
    "late": rotary_late,
    "complex": rotary_complex,
    "complex, late": lambda z: rotary_complex(z, late=True),
    "normed": lambda z: z / (z.norm(dim=-1, keepdim=True) + 1e-60),
    "squared": lambda z: z * z.square().sum(-1, keepdim=True),
}


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _biased(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    ages = torch.arange(k.shape[-2]) - torch.arange(q.shape[-2])[:, None]
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) + 0.1 * ages.to(q)
    scores = scores.masked_fill(ages > 0, torch.finfo(q.dtype).min)
    return torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1), v)


ATTENTION: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "one op": F.scaled_dot_product_attention,
    "causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "masked": lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, attn_mask=torch.ones(q.shape[-2], k.shape[-2]).tril().bool(), scale=0.3
    ),
    "by hand": _plain,
    "einsum with a bias": _biased,
    "linear": lambda q, k, v: q @ (k.transpose(-1, -2) @ v),
    "linear with features": lambda q, k, v: F.relu(q) @ (F.relu(k).transpose(-1, -2) @ v),
    "capped": lambda q, k, v: torch.tanh(q @ k.transpose(-1, -2)) @ v,
    "keys by norm": lambda q, k, v: (k.norm(dim=-1, keepdim=True) * v) + q.mean(-1, True),
}

SEQUENCE: dict[str, Callable[[Tensor], Tensor]] = {
    "shifted in time": lambda z: z.roll(1, 1),
    "half shifted in time": lambda z: torch.cat([z[..., :1], z.roll(1, 1)[..., 1:]], -1),
    "half of the future": lambda z: torch.cat(
        [F.pad(z[:, 1:], (0, 0, 0, 1))[..., : z.shape[-1] // 2], z[..., z.shape[-1] // 2 :]], -1
    ),
    "half negated": lambda z: torch.cat([-z[..., :1], z[..., 1:]], -1),
    "half doubled": lambda z: torch.cat([2 * z[..., :1], z[..., 1:]], -1),
    "halves swapped": lambda z: torch.cat(z.chunk(2, -1)[::-1], -1),
    "rolled when flat": lambda z: z.flatten(1).roll(1, 1).view(z.shape),
    "turned as a matrix": lambda z: (
        z.transpose(1, 2) if z.shape[1] == z.shape[2] else z.transpose(1, 2).reshape(z.shape)
    ),
    "gathered in time": lambda z: z[:, torch.tensor([0, 2, 1, 2])],
    "gathered by data": lambda z: z.gather(1, (z[..., :1].detach() > 0).long().expand_as(z)),
    "chosen by data": lambda z: (
        z[torch.arange(len(z)), (z[:, :, 0].detach() > 0).sum(1) % TIME].unsqueeze(1).expand_as(z)
    ),
    "added by data": lambda z: torch.zeros_like(z).index_add(1, torch.tensor([0, 0, 1, 3]), z),
    "put by data": lambda z: torch.zeros_like(z).index_copy(1, torch.tensor([3, 0, 1, 2]), z),
    "some time written": lambda z: torch.select_scatter(z, 2 * z[:, 0], 1, 1),
    "some features written": lambda z: torch.slice_scatter(z, 2 * z[..., :1], 2, 0, 1),
    "masked in time": lambda z: torch.where(torch.tensor([[True], [False], [True], [True]]), z, 0),
    "masked features": lambda z: torch.where(torch.arange(z.shape[-1]) > 0, z, -z),
    "sorted in time": lambda z: z.sort(1).values,
    "largest in time": lambda z: z.topk(1, 1).values.expand_as(z),
    "summed over time": lambda z: z.cumsum(1),
    "differences": lambda z: z - F.pad(z[:, :-1], (0, 0, 1, 0)),
    "softmax over time": lambda z: z.softmax(1),
    "layer norm": lambda z: F.layer_norm(z, z.shape[-1:], eps=1e-60),
    "own attention": lambda z: F.scaled_dot_product_attention(z, z, z),
    "gated halves": lambda z: (
        z.chunk(2, -1)[0] * F.silu(z.chunk(2, -1)[1]) if z.shape[-1] % 2 == 0 else z
    ),
    "halves gated by relu": lambda z: (
        z.chunk(2, -1)[0] * F.relu(z.chunk(2, -1)[1]) if z.shape[-1] % 2 == 0 else z
    ),
    "rotary": lambda z: rotary_halves(z) if z.shape[-1] % 2 == 0 else z,
    "rotary, interleaved": lambda z: rotary_interleaved(z) if z.shape[-1] % 2 == 0 else z,
    "rotary, partner late": lambda z: rotary_late(z) if z.shape[-1] % 2 == 0 else z,
    "filtered in time": lambda z: torch.fft.irfft(torch.fft.rfft(z, dim=1) * (1 - 2j), n=4, dim=1),
    "filtered features": lambda z: torch.fft.fft(z, dim=-1).real,
    "moduli in time": lambda z: torch.fft.fft(z, dim=1).abs(),
    "gathered entry by entry": lambda z: z.gather(1, (z.detach() > 0).long()),
    "scattered entry by entry": lambda z: torch.zeros_like(z).scatter_add(
        1, z.detach().argsort(1), z
    ),
    "averaged where data say": lambda z: torch.zeros_like(z).scatter_reduce(
        1, (z[..., :1].detach() > 0).long().expand_as(z), z, "mean"
    ),
    "stopped": lambda z: z + z.detach(),
    "stopped, as a mask": lambda z: z * (z.detach() > 0),
    "interpolated": lambda z: z.lerp(z.roll(1, 1), 0.3),
    "interpolated to the reverse": lambda z: z.lerp(z.flip(-1), 0.3),
    "inner product with the past": lambda z: (z * z.roll(1, 1)).sum(-1, keepdim=True) * z,
    "cosine with the past": lambda z: (
        F.cosine_similarity(z, z.roll(1, 1), -1, 1e-60)[..., None] * z
    ),
    "distances": lambda z: (z[:, :, None] - z.roll(1, 1)[:, None]).norm(dim=-1).softmax(-1) @ z,
    "einsum of three": lambda z: torch.einsum("btd,bsd,bse->bte", z, z, z),
    "three by three": lambda z: torch.einsum("btd,bte,btf->btf", z, z, z),
    "norms of two halves": lambda z: (
        (lambda v: v * v.square().sum(-1, keepdim=True))(z.unflatten(-1, (2, -1))).flatten(-2)
        if z.shape[-1] % 2 == 0
        else z
    ),
    "mirrored in time": lambda z: F.pad(z.mT, (1, 1), mode="reflect")[..., :TIME].mT,
    "mirrored features": lambda z: F.pad(z, (1, 1), mode="reflect")[..., : z.shape[-1]],
    "combined with itself": lambda z: z + 2 * z.flip(-1),
    "combined in time": lambda z: z * torch.arange(1.0, 5.0).to(z)[:, None] - z.roll(1, 1),
}
