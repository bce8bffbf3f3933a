"""Sets, graphs, tables of relations, and towers that are compared."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.checking import Net
from tests.discover.heldout.register import free, heldout, weight

N = 3


@heldout("deep set", (30, 4, N), scales=5 + 5, linear=4)
def deep_set() -> nn.Module:
    """Relu units on both sides (T₊(5) twice), a linear mean between (GL(2)), whose bias is absorbed
    (a shift)."""
    return Net(
        lambda n, x: n.out(F.leaky_relu(n.mix(n.code(F.leaky_relu(n.phi(x), 0.2)).mean(1)), 0.2)),
        phi=nn.Linear(N, 5), code=nn.Linear(5, 2), mix=nn.Linear(2, 5), out=nn.Linear(5, 3),
    )  # fmt: skip


@heldout("attention of sets with a residual of queries", (6, 4, N), scales=4)
def set_attention() -> nn.Module:
    """Queries are also the residual, and a relu is added to it: each coordinate's scale, of
    queries, keys, values, the layer behind, and the head (T₊(4))."""

    def split(z: Tensor) -> Tensor:
        return z.unflatten(-1, (2, 2)).transpose(1, 2)

    def run(net: Net, x: Tensor) -> Tensor:
        q, k, v = (split(layer(x)) for layer in (net.q, net.k, net.v))
        y = (q + (q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return net.head(y + torch.relu(net.o(y)))

    return Net(run, q=free(N, 4), k=free(N, 4), v=free(N, 4), o=nn.Linear(4, 4), head=free(4, 2))


EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 2, 0]])


@heldout("graph convolution", (5, N), scales=4, linear=4)
def graph_convolution() -> nn.Module:
    """Messages are summed at their targets: relu units (T₊(4)), then a linear layer (GL(2))."""

    def spread(z: Tensor) -> Tensor:
        return torch.zeros_like(z).index_add(0, EDGES[1], z[EDGES[0]])

    return Net(
        lambda n, x: n.out(spread(n.second(torch.relu(spread(n.first(x)))))),
        first=nn.Linear(N, 4), second=free(4, 2), out=free(2, 3),
    )  # fmt: skip


@heldout("graph attention", (5, N), linear=4 * 4)
def graph_attention() -> nn.Module:
    """What is sent is also what the scores look at (GL(4), with the vectors of the scores as dual
    ones)."""

    def run(net: Net, x: Tensor) -> Tensor:
        h = net.into(x)
        scores = F.leaky_relu(h @ net.here + (h @ net.there)[:, None], 0.2)
        return net.out(scores.softmax(-1) @ h)

    return Net(run, into=free(N, 4), here=weight(4), there=weight(4), out=free(4, 3))


@heldout("edges that carry messages", (5, N), (7, 2), scales=5 + 4)
def message_passing() -> nn.Module:
    """Messages from both ends and the edge, relu (T₊(5)); their mean added to the node's own
    part, relu (T₊(4))."""

    def run(net: Net, x: Tensor, edges: Tensor) -> Tensor:
        ends = torch.cat([x[EDGES[0]], x[EDGES[1]], edges], -1)
        sent = torch.relu(net.message(ends))
        where = EDGES[1][:, None].expand_as(sent)
        arrived = torch.zeros(5, 5, dtype=x.dtype).scatter_reduce(0, where, sent, "mean")
        return net.out(torch.relu(net.own(x) + net.update(arrived)))

    return Net(
        run, message=nn.Linear(2 * N + 2, 5), own=free(N, 4), update=nn.Linear(5, 4),
        out=nn.Linear(4, 2),
    )  # fmt: skip


@heldout("diagonal relations", (200,), (200,), (200,), scales=3, indices=(0, 1, 2), gap=0)
def distmult() -> nn.Module:
    """Σ_k s_k r_k o_k, with one table for subjects and objects: scale c of entities, c⁻² of
    relations (T₊(3))."""
    return Net(
        lambda n, s, r, o: (n.entities(s) * n.relations(r) * n.entities(o)).sum(-1),
        entities=nn.Embedding(5, 3), relations=nn.Embedding(5, 3),
    )  # fmt: skip


@heldout(
    "a matrix for every relation", (200,), (200,), (200,), linear=2 * 2, indices=(0, 1, 2), gap=0
)
def rescal() -> nn.Module:
    """sᵀ R_r o with one table for both: one GL(2), dual on both sides of all matrices."""

    def run(net: Net, s: Tensor, r: Tensor, o: Tensor) -> Tensor:
        left = torch.einsum("bi,bij->bj", net.entities(s), net.relations[r])
        return (left * net.entities(o)).sum(-1)

    return Net(run, entities=nn.Embedding(5, 2), relations=weight(5, 2, 2))


@heldout("two towers", (12, N), (12, 4), scales=5 + 2, rotations=3)
def towers() -> nn.Module:
    """Codes of norm one, compared: rotations of the space (O(3)), the erased scale of each tower's
    last layer (T₊(1) twice); relu units of the first tower (T₊(5))."""

    def run(net: Net, x: Tensor, y: Tensor) -> Tensor:
        a = F.normalize(net.project(torch.relu(net.first(x))), dim=-1)
        b = F.normalize(net.second(y), dim=-1)
        return net.temperature.exp() * a @ b.T

    return Net(
        run, first=nn.Linear(N, 5), project=free(5, 3), second=free(4, 3), temperature=weight(1)
    )


@heldout("capsules", (20, N), rotations=2 * 1, scales=0, gap=0)
def capsules() -> nn.Module:
    """Two vectors of width 2, each shortened by its norm: a rotation each (O(2) twice)."""

    def run(net: Net, x: Tensor) -> Tensor:
        v = net.into(x).unflatten(-1, (2, 2))
        square = v.square().sum(-1, keepdim=True)
        return net.out((v * square.sqrt() / (1 + square)).flatten(1))

    return Net(run, into=free(N, 4), out=free(4, 5))


@heldout("factorisation machine", (60, 4), gap=2)
def factorisation() -> nn.Module:
    """½ (‖Vᵀx‖² − Σ V² x²): both parts are sums of squares over the factors, of which the second,
    a product of squared weights, is not seen as one: O(2) is missed, and that only pairs of
    different features count (2)."""

    def run(net: Net, x: Tensor) -> Tensor:
        joint = (x @ net.v).square().sum(-1)
        return x @ net.w + 0.5 * (joint - (x**2 @ net.v.square()).sum(-1))

    return Net(run, v=weight(4, 2), w=weight(4))
