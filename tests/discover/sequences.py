"""Random small models of sequences: embeddings, attention, rotary positions, gates, experts."""

import math
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Args
from tests.discover.graphs import Builder, Draw, Graph, Op, Weighted, weight

BATCH, TIME, WORDS = 2, 4, 5


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


ROTARY: dict[str, Callable[[Tensor], Tensor]] = {
    "no positions": lambda z: z,
    "halves": rotary_halves,
    "cut": rotary_cut,
    "interleaved": rotary_interleaved,
    "partial": rotary_partial,
    "wrong": rotary_wrong,
    "unequal": rotary_unequal,
    "late": rotary_late,
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
    "combined with itself": lambda z: z + 2 * z.flip(-1),
    "combined in time": lambda z: z * torch.arange(1.0, 5.0).to(z)[:, None] - z.roll(1, 1),
}


def _experts(s: Any, z: Tensor) -> Tensor:
    """Every token goes to the first or the second expert."""
    up, down = s.weights
    choice = (z.detach()[..., 0] > 0).long()
    total = torch.zeros_like(z)
    for e in range(2):
        mine = (choice == e).to(z)[..., None]
        total = total + mine * (F.relu(z @ up[e]) @ down[e])
    return total


class SequenceBuilder(Builder):
    """Steps on [batch, time, features]."""

    def dense(self) -> None:
        i = self.value(3)
        n = self.values[i].shape[-1]
        self.append(nn.Linear(n, self.choose([2, 4, 6]), bias=self.choose([True, False])), i)

    def shared(self) -> None:
        """A layer or a table used again."""
        i = self.value(3)
        n = self.values[i].shape[-1]
        layers = [m for m, _ in self.steps if isinstance(m, nn.Linear) and m.in_features == n]
        tables = [m for m, _ in self.steps if isinstance(m, nn.Embedding) and m.embedding_dim == n]
        if tables and self.choose([True, False]):
            table = self.choose(tables)
            self.append(Weighted("unembedding", lambda s, z: z @ s.weights[0].t(), table.weight), i)
        elif layers:
            self.append(self.choose(layers), i)

    def embedding(self) -> None:
        """Words or positions added to the stream."""
        i = self.value(3)
        n = self.values[i].shape[-1]
        if self.choose([True, False]):
            self.append(nn.Embedding(WORDS, n), 1)
            self.append(Op("add", torch.add), i, len(self.values) - 1)
        else:
            run = lambda s, z: z + F.embedding(torch.arange(TIME), s.weights[0])  # noqa: E731
            self.append(Weighted("positions", run, weight(TIME, n)), i)

    def attention(self) -> None:
        i = self.value(3)
        n, count, width = self.values[i].shape[-1], self.choose([1, 2]), self.choose([2, 4])
        kind, positions = self.choose(list(ATTENTION)), self.choose(list(ROTARY))
        shared, layout = self.choose([True, False]), self.choose(["apart", "fused", "by head"])
        turn, attend = ROTARY[positions], ATTENTION[kind]

        def run(s: Any, z: Tensor) -> Tensor:
            fused = F.linear(z, s.weights[0])
            if layout == "by head":
                q, k, v = (x.transpose(1, 2) for x in fused.unflatten(-1, (count, 3, -1)).unbind(3))
            else:
                q, k, v = (heads(x, count) for x in fused.chunk(3, -1))
            if shared:  # all query heads read the first key head
                k, v = (x[:, :1].expand_as(x) for x in (k, v))
            return F.linear(merged(attend(turn(q), turn(k), v)), s.weights[1])

        def apart(s: Any, z: Tensor) -> Tensor:
            q, k, v = (heads(F.linear(z, s.weights[j]), count) for j in range(3))
            return F.linear(merged(attend(turn(q), turn(k), v)), s.weights[3])

        name = f"attention, {kind}, {positions}, {layout}, {shared=}"
        size = count * width
        if layout == "apart":
            module = Weighted(name, apart, *(weight(size, n) for _ in range(3)), weight(n, size))
        else:
            module = Weighted(name, run, weight(3 * size, n), weight(n, size))
        self.append(module, i)

    def gate(self) -> None:
        i = self.value(3)
        n, h = self.values[i].shape[-1], self.choose([2, 3])
        sigma = self.choose([F.silu, F.gelu, F.relu, torch.sigmoid, lambda z: z])
        run = lambda s, z: (sigma(z @ s.weights[0]) * (z @ s.weights[1])) @ s.weights[2]  # noqa: E731
        self.append(Weighted("gate", run, weight(n, h), weight(n, h), weight(h, n)), i)

    def experts(self) -> None:
        i = self.value(3)
        n = self.values[i].shape[-1]
        self.append(Weighted("experts", _experts, weight(2, n, 3), weight(2, 3, n)), i)

    def many_letters(self) -> None:
        i = self.value(3)
        n = self.values[i].shape[-1]

        def run(s: Any, z: Tensor) -> Tensor:
            h = torch.einsum("btd,dhk->bthk", z, s.weights[0])
            return torch.einsum("bthk,hkd->btd", h, s.weights[1])

        self.append(Weighted("einsum", run, weight(n, 2, 2), weight(2, 2, n)), i)

    def token_norm(self) -> None:
        i = self.value(3)
        n, affine = self.values[i].shape[-1], self.choose([True, False])
        kind = self.choose([nn.LayerNorm, nn.RMSNorm])
        self.append(kind(n, eps=1e-5, elementwise_affine=affine), i)

    def residual(self) -> None:
        i, j = self.value(3), self.value(3)
        if self.values[i].shape == self.values[j].shape:
            self.append(Op("add", torch.add), i, j)

    def sequence_op(self) -> None:
        name = self.choose(list(SEQUENCE))
        self.append(Op(name, SEQUENCE[name]), self.value(3))

    def sequences(self) -> tuple[nn.Module, Args]:
        rng = torch.Generator().manual_seed(self.draw(st.integers(0, 3)))
        x = torch.randn(BATCH, TIME, 3, generator=rng, dtype=torch.float64)
        ids = torch.randint(0, WORDS, (BATCH, TIME), generator=rng)
        self.values += [x, ids]
        self.append(nn.Linear(3, self.choose([2, 4]), bias=self.choose([True, False])), 0)
        steps = [
            *[self.dense] * 3, *[self.attention] * 3, *[self.sequence_op] * 3, self.gate,
            self.experts, self.many_letters, self.token_norm, self.residual, self.shared,
            self.embedding, lambda: self.pointwise(3),
        ]  # fmt: skip
        for _ in range(self.draw(st.integers(1, 6))):
            self.choose(steps)()
        self.dense()
        model = Graph(self.steps, [len(self.values) - 1])
        return model.train(self.choose([True, False])), (x, ids)


@st.composite
def sequences(draw: Draw) -> tuple[nn.Module, Args]:
    """A random model of sequences, with vectors and words as inputs."""
    return SequenceBuilder(draw).sequences()
