"""Random small models of sequences: embeddings, attention, rotary positions, gates, experts."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Args
from tests.discover.graphs import Builder, Draw, Graph, Op, Weighted, weight
from tests.discover.sequence_layers import LAYERS
from tests.discover.sequence_steps import ATTENTION, ROTARY, SEQUENCE, TIME, heads, merged

BATCH, WORDS = 2, 5


def _experts(s: Any, z: Tensor) -> Tensor:
    """Every token goes to the first or the second expert."""
    up, down = s.weights
    choice = (z.detach()[..., 0] > 0).long()
    total = torch.zeros_like(z)
    for e in range(2):
        mine = (choice == e).to(z)[..., None]
        total = total + mine * (F.relu(z @ up[e]) @ down[e])
    return total


def _chosen(s: Any, z: Tensor) -> Tensor:
    """Two choices of one of three matrices, the same one or another one."""
    up, bias, down = s.weights
    first = (z.detach()[..., 0] > 0).long() + (z.detach()[..., 1] > 0).long()
    second = first if s.eps < 1 else (z.detach()[..., 0] > 0.1).long()
    h = F.leaky_relu(torch.einsum("btd,btdh->bth", z, up[first]) + bias[first], 0.2)
    return torch.einsum("bth,bthd->btd", h, down[second])


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
        shared, layout = (
            self.choose([True, False]),
            self.choose(["apart", "fused", "by head", "within heads"]),
        )
        turn, attend = ROTARY[positions], ATTENTION[kind]

        def run(s: Any, z: Tensor) -> Tensor:
            fused = F.linear(z, s.weights[0])
            if layout == "by head":
                q, k, v = (x.transpose(1, 2) for x in fused.unflatten(-1, (count, 3, -1)).unbind(3))
            elif layout == "within heads":
                q, k, v = heads(fused, count).chunk(3, -1)
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

    def choices(self) -> None:
        i = self.value(3)
        n, crossed = self.values[i].shape[-1], self.choose([0.0, 1.0])
        if n > 1:
            parts = weight(3, n, 2), weight(3, 2), weight(3, 2, n)
            self.append(Weighted("choices", _chosen, *parts, eps=crossed), i)

    def layer(self) -> None:
        i = self.value(3)
        name = self.choose(list(LAYERS))
        run, shapes = LAYERS[name]
        parts = (weight(*shape) for shape in shapes(self.values[i].shape[-1]))
        self.append(Weighted(name, run, *parts), i)

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
            self.experts, self.choices, self.many_letters, self.token_norm, self.residual,
            self.shared, self.embedding, lambda: self.pointwise(3), *[self.layer] * 4,
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
