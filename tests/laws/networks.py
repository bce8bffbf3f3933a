"""Small networks with hand-written families: dense, convolutional, attention, recurrent, tied."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

import paramsym as ps
from tests.laws.activations import ACTIVATIONS, Activation
from tests.laws.subject import Params, Subject, normal


def hidden_family(
    name: str,
    activation: Activation,
    writers: tuple[ps.Port, ...],
    reader: Callable[[float], ps.Port],
    n: int,
    shift: tuple[ps.Term, ...] = (),
) -> ps.Family:
    """The family of one hidden space, from the activation's kind.

    Args:
        reader: The reading port as a function of its degree.
        shift: Terms of an affine space's translations.
    """
    group = {
        "scaling": ps.PositiveScaling,
        "linear": ps.GeneralLinear,
        "affine": ps.Affine if shift else ps.GeneralLinear,
        "radial": ps.Orthogonal,
    }[activation.kind](n)
    terms = shift if isinstance(group, ps.Affine) else ()
    return ps.Family(name, group, (*writers, reader(activation.degree)), terms)


def dense(
    activation: str | Activation, widths: tuple[int, ...], *, bias: bool = True, seed: int = 0
) -> Subject:
    """A multilayer perceptron of the given widths, input and output included."""
    act = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    rng = torch.Generator().manual_seed(seed)
    params: dict[str, Tensor] = {}
    for k, (n, m) in enumerate(pairwise(widths)):
        params[f"fc{k}.weight"] = normal((m, n), rng, n**-0.5)
        if bias:
            params[f"fc{k}.bias"] = normal((m,), rng, 0.5)
    last = len(widths) - 2

    def forward(p: Params, x: Tensor) -> Tensor:
        for k in range(last + 1):
            x = functional.linear(x, p[f"fc{k}.weight"], p.get(f"fc{k}.bias"))
            x = act.apply(x) if k < last else x
        return x

    families = []
    for k in range(last):
        here, there = f"fc{k}", f"fc{k + 1}"
        h, m = widths[k + 1], widths[k + 2]
        writers = (ps.Port.along(f"{here}.weight", (h, widths[k]), 0),)
        shift: tuple[ps.Term, ...] = ()
        if bias:
            writers += (ps.Port.along(f"{here}.bias", (h,), 0),)
            weight = ps.Source(ps.Slot(f"{there}.weight"))
            shift = (
                ps.Term(ps.Slot(f"{here}.bias"), "i->i"),
                ps.Term(ps.Slot(f"{there}.bias"), "i,oi->o", (weight,), -1.0),
            )

        def reader(degree: float, there: str = there, shape: tuple[int, int] = (m, h)) -> ps.Port:
            return ps.Port.along(f"{there}.weight", shape, 1, dual=True, degree=degree)

        families.append(hidden_family(f"{here} → {there}", act, writers, reader, h, shift))
    inputs = normal((7, widths[0]), rng)
    return Subject(ps.Symmetry.of(families, params), params, forward, inputs, last + 1)


def convolution(activation: str, *, groups: int = 1, transposed: bool = False) -> Subject:
    """Two convolutions, the second grouped or transposed, on 6×6 images."""
    act = ACTIVATIONS[activation]
    rng = torch.Generator().manual_seed(1)
    c, h, m = 2, 4, 6
    shape = (h, m, 3, 3) if transposed else (m, h // groups, 3, 3)
    params = {
        "conv0.weight": normal((h, c, 3, 3), rng, 0.3),
        "conv0.bias": normal((h,), rng, 0.3),
        "conv1.weight": normal(shape, rng, 0.3),
        "conv1.bias": normal((m,), rng, 0.3),
    }

    def forward(p: Params, x: Tensor) -> Tensor:
        z = act.apply(functional.conv2d(x, p["conv0.weight"], p["conv0.bias"], padding=1))
        if transposed:
            return functional.conv_transpose2d(z, p["conv1.weight"], p["conv1.bias"], stride=2)
        return functional.conv2d(z, p["conv1.weight"], p["conv1.bias"], groups=groups)

    if act.kind == "scaling":
        group, copies = ps.PositiveScaling(h), 1
    else:  # channels mix only inside a group of the second convolution
        group, copies = ps.GeneralLinear(h // groups, groups), groups
    rows = torch.arange(h)
    if transposed:
        reader = ps.Port.along("conv1.weight", shape, 0, dual=True, degree=act.degree)
    else:
        view = (groups, m // groups, h // groups, 3, 3)
        index = rows.reshape(copies, -1, 1)
        reader = ps.Port("conv1.weight", view, (0, 2), index, dual=True, degree=act.degree)
    ports = (
        ps.Port.along("conv0.weight", (h, c, 3, 3), 0, copies=copies),
        ps.Port.along("conv0.bias", (h,), 0, copies=copies),
        reader,
    )
    family = ps.Family("conv0 → conv1", group, ports)
    return Subject(ps.Symmetry.of([family], params), params, forward, normal((3, c, 6, 6), rng))


def flattened(activation: str) -> Subject:
    """A convolution whose C×H×W output a dense layer reads: H·W columns a channel."""
    act = ACTIVATIONS[activation]
    rng = torch.Generator().manual_seed(2)
    c, h, m, pixels = 2, 3, 4, 16
    params = {
        "conv.weight": normal((h, c, 3, 3), rng, 0.3),
        "conv.bias": normal((h,), rng, 0.3),
        "fc.weight": normal((m, h * pixels), rng, 0.2),
        "fc.bias": normal((m,), rng),
    }

    def forward(p: Params, x: Tensor) -> Tensor:
        z = act.apply(functional.conv2d(x, p["conv.weight"], p["conv.bias"]))
        return functional.linear(z.flatten(1), p["fc.weight"], p["fc.bias"])

    rows = torch.arange(h * pixels).reshape(1, h, pixels)
    group = ps.PositiveScaling(h) if act.kind == "scaling" else ps.GeneralLinear(h)
    ports = (
        ps.Port.along("conv.weight", (h, c, 3, 3), 0),
        ps.Port.along("conv.bias", (h,), 0),
        ps.Port.along("fc.weight", (m, h * pixels), 1, rows, dual=True, degree=act.degree),
    )
    family = ps.Family("conv → fc", group, ports)
    return Subject(ps.Symmetry.of([family], params), params, forward, normal((5, c, 6, 6), rng))


def attention(heads: int = 2, size: int = 3) -> Subject:
    """Softmax attention with biases whose queries, keys and values share one parameter."""
    rng = torch.Generator().manual_seed(3)
    n, d, m = 5, heads * size, 4
    params = {
        "qkv.weight": normal((3 * d, n), rng, 0.5),
        "qkv.bias": normal((3 * d,), rng, 0.5),
        "out.weight": normal((m, d), rng, 0.5),
        "out.bias": normal((m,), rng, 0.5),
    }

    def forward(p: Params, x: Tensor) -> Tensor:
        fused = functional.linear(x, p["qkv.weight"], p["qkv.bias"])
        q, k, v = fused.unflatten(-1, (3, heads, size)).movedim(-3, 0).transpose(-3, -2)
        mixed = torch.softmax(q @ k.mT / size**0.5, -1) @ v
        mixed = mixed.transpose(-3, -2).flatten(-2)
        return functional.linear(mixed, p["out.weight"], p["out.bias"])

    rows = torch.arange(d)

    def fused(offset: int, *, dual: bool = False) -> tuple[ps.Port, ...]:
        return tuple(
            ps.Port.along(k, tuple(params[k].shape), 0, rows + offset, copies=heads, dual=dual)
            for k in ("qkv.weight", "qkv.bias")
        )

    out = ps.Port.along("out.weight", (m, d), 1, copies=heads, dual=True)
    group = ps.GeneralLinear(size, heads)
    absorbed = (
        ps.Term(ps.Slot("qkv.bias", ((2 * d, 3 * d),)), "i->i"),
        ps.Term(ps.Slot("out.bias"), "i,oi->o", (ps.Source(ps.Slot("out.weight")),), -1.0),
    )
    families = [
        ps.Family("query → key", group, (*fused(0), *fused(d, dual=True))),
        ps.Family("value → out", group, (*fused(2 * d), out)),
        ps.Family("value bias → out bias", ps.Translation(d), terms=absorbed),
        ps.Family(
            "key bias",
            ps.Translation(d),
            terms=(ps.Term(ps.Slot("qkv.bias", ((d, 2 * d),)), "i->i"),),
        ),
    ]
    return Subject(ps.Symmetry.of(families, params), params, forward, normal((3, 4, n), rng), 3)


def linear_recurrence() -> Subject:
    """A linear state space: the transition matrix writes and reads the same space."""
    rng = torch.Generator().manual_seed(4)
    n, h, m = 2, 3, 2
    params = {
        "input": normal((h, n), rng),
        "transition": normal((h, h), rng, 0.5),
        "output": normal((m, h), rng),
    }

    def forward(p: Params, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], h)
        for step in x.unbind(1):
            state = state @ p["transition"].T + step @ p["input"].T
        return state @ p["output"].T

    ports = (
        ps.Port.along("input", (h, n), 0),
        ps.Port.along("transition", (h, h), 0),
        ps.Port.along("transition", (h, h), 1, dual=True),
        ps.Port.along("output", (m, h), 1, dual=True),
    )
    family = ps.Family("state", ps.GeneralLinear(h), ports)
    return Subject(ps.Symmetry.of([family], params), params, forward, normal((6, 4, n), rng), 5)


def tied_autoencoder() -> Subject:
    """W^T σ(W x) with radial σ: one tied parameter, one port."""
    rng = torch.Generator().manual_seed(5)
    h, n = 4, 3
    params = {"weight": normal((h, n), rng)}
    act = ACTIVATIONS["radial"]

    def forward(p: Params, x: Tensor) -> Tensor:
        return act.apply(x @ p["weight"].T) @ p["weight"]

    family = ps.Family("code", ps.Orthogonal(h), (ps.Port.along("weight", (h, n), 0),))
    return Subject(ps.Symmetry.of([family], params), params, forward, normal((6, n), rng))


def softmax_head() -> Subject:
    """A linear layer under a softmax: a constant shift of all logits, the translation 1 vᵀ."""
    rng = torch.Generator().manual_seed(6)
    params = {"weight": normal((4, 3), rng), "bias": normal((4,), rng)}

    def forward(p: Params, x: Tensor) -> Tensor:
        return torch.softmax(functional.linear(x, p["weight"], p["bias"]), -1)

    families = [
        ps.Family("logits", ps.Translation(3), terms=(ps.Term(ps.Slot("weight"), "i->oi"),)),
        ps.Family("logit bias", ps.Translation(1), terms=(ps.Term(ps.Slot("bias"), "a->o"),)),
    ]
    return Subject(ps.Symmetry.of(families, params), params, forward, normal((8, 3), rng), 1)


def gemma_norm() -> Subject:
    """A linear stream read through RMSNorm with gain 1 + γ: rotations framed by the gain."""
    rng = torch.Generator().manual_seed(7)
    n, h, m = 3, 4, 5
    params = {
        "write": normal((h, n), rng),
        "gain": normal((h,), rng, 0.3),
        "read": normal((m, h), rng),
    }

    def forward(p: Params, x: Tensor) -> Tensor:
        z = x @ p["write"].T
        z = z / z.square().mean(-1, keepdim=True).sqrt()
        return (z * (1 + p["gain"])) @ p["read"].T

    frame = ps.Frame("gain", 1.0)
    ports = (
        ps.Port.along("write", (h, n), 0),
        ps.Port.along("read", (m, h), 1, dual=True, frame=frame),
    )
    stream = ps.Port.along("write", (h, n), 0, torch.arange(h).reshape(1, 1, h))
    families = [
        ps.Family("rotation", ps.Orthogonal(h), ports),
        ps.Family("stream", ps.PositiveScaling(1), (stream,)),
    ]
    return Subject(ps.Symmetry.of(families, params), params, forward, normal((6, n), rng))
