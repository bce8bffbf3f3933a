"""Rotations of what normalisations read, through gains: found where they are symmetries, with the
right frames, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from math import comb

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery import framing
from paramsym.discovery.framing import Spaces
from paramsym.discovery.labels import Value
from paramsym.discovery.ops import RULES
from paramsym.discovery.ops.registry import Call, Result
from tests.blocks.gpt2 import Gpt2
from tests.blocks.gpt2_families import gpt2_subject
from tests.blocks.llama import Llama
from tests.blocks.llama_families import llama_subject
from tests.blocks.nullity import tangents
from tests.blocks.randomize import randomized
from tests.discover.cases import Case, check
from tests.discover.checking import Args, Net, assert_sound, change, generic, without_eps
from tests.laws.subject import Subject

IN, D, INNER, OUT = 6, 4, 5, 3
WRITERS = {"embed.weight", "write.weight"}
READERS = {"read.weight", "head.weight"}


class RmsNorm(nn.Module):
    """As in T5 and Llama: a cast, the mean of squares, the gain last."""

    def __init__(self, width: int, *, offset: float = 0.0, gain_first: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps, self.offset, self.gain_first = 1e-6, offset, gain_first

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.float64)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        gain = self.weight.to(torch.float64) + self.offset if self.offset else self.weight
        y = y.to(x.dtype)
        return gain * y if self.gain_first else y * gain


class SplitNorm(nn.Module):
    """LayerNorm by its parts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return self.weight * (x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt())


class VarianceNorm(SplitNorm):
    """LayerNorm by `var_mean`."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight


def residual(n: Net, x: Tensor) -> Tensor:
    """A stream that two layers write to, and that two layers read through a norm."""
    z = n.embed(x)
    z = z + n.write(torch.tanh(n.read(n.first(z))))
    return n.head(n.last(z))


def stream(norm: Callable[[int], nn.Module], run: Callable[..., Tensor] = residual) -> nn.Module:
    return Net(
        run,
        embed=nn.Linear(IN, D, bias=False),
        first=norm(D),
        read=nn.Linear(D, INNER, bias=False),
        write=nn.Linear(INNER, D, bias=False),
        last=norm(D),
        head=nn.Linear(D, OUT, bias=False),
    )


def made(model: nn.Module) -> tuple[nn.Module, Args]:
    x = torch.randn(90, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return generic(model), (x,)


def rotation(symmetry: ps.Symmetry) -> ps.Family:
    (found,) = [f for f in symmetry if isinstance(f.group, ps.Orthogonal)]
    return found


COMPLETE = {"T₊(1)": 1, "T₊(4)": 2, "O(4)": 1}
CASES = [
    Case("fused", lambda: stream(nn.RMSNorm), ((90, IN),), COMPLETE),
    Case("decomposed", lambda: stream(RmsNorm), ((90, IN),), COMPLETE),
    Case(
        "gain behind",
        lambda: stream(lambda d: RmsNorm(d, gain_first=False)),
        ((90, IN),),
        COMPLETE,
    ),
    Case(
        "no gain: no frame, and one scale more is erased than without a norm",
        lambda: stream(lambda d: nn.RMSNorm(d, elementwise_affine=False)),
        ((90, IN),),
        {"T₊(1)": 1, "O(4)": 1},
    ),
    Case(
        "one gain for both norms",
        lambda: stream(
            RmsNorm,
            lambda n, x: n.head(
                n.first((z := n.embed(x)) + n.write(torch.tanh(n.read(n.first(z)))))
            ),
        ),
        ((90, IN),),
        {"T₊(1)": 1, "T₊(4)": 1, "O(4)": 1},
        unused=("last.weight",),
    ),
    Case(
        "a gain in a bottleneck between layers",
        lambda: Net(
            lambda n, x: n.b(n.norm(n.a(x))),
            a=nn.Linear(6, D, bias=False),
            norm=RmsNorm(D),
            b=nn.Linear(D, 7, bias=False),
        ),
        ((90, 6),),
        {"T₊(1)": 1, "T₊(4)": 1, "O(4)": 1},
    ),
    Case(
        "scales of layers: the inverse frame",
        lambda: Net(
            lambda n, x: n.head(
                n.norm((z := n.embed(x)) + n.scale * n.write(torch.tanh(n.read(z))))
            ),
            embed=nn.Linear(IN, D, bias=False),
            read=nn.Linear(D, INNER, bias=False),
            write=nn.Linear(INNER, D, bias=False),
            scale=nn.Parameter(torch.randn(D)),
            norm=RmsNorm(D),
            head=nn.Linear(D, OUT, bias=False),
        ),
        ((90, IN),),
        COMPLETE,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rotations_complete_the_families(case: Case) -> None:
    """Rank is nullity."""
    check(case)


@pytest.mark.parametrize("norm", [nn.RMSNorm, RmsNorm, nn.LayerNorm, SplitNorm, VarianceNorm])
def test_the_ports_of_a_stream(norm: Callable[[int], nn.Module]) -> None:
    """Writers as they are; readers, and biases of norms, framed by the gain of their norm."""
    model, args = made(stream(norm))
    symmetry = ps.discover(model, args)
    found = rotation(symmetry)
    centred = norm not in (nn.RMSNorm, RmsNorm)
    assert found.group == ps.Orthogonal(D, fixes_mean=centred)
    assert found.dim == comb(D - centred, 2)
    frames = {port.parameter: port.frame for port in found.ports}
    gain = {"read.weight": "first.weight", "head.weight": "last.weight"}
    biases = {"first.bias", "last.bias"} if norm is nn.LayerNorm else set()
    assert set(frames) == WRITERS | READERS | biases
    assert all(frames[name] is None for name in WRITERS)
    for name in READERS | biases:
        expected = gain.get(name) or name.replace("bias", "weight")
        assert frames[name] == ps.Frame(expected)
    assert {p.parameter for p in found.ports if p.dual} == READERS
    assert not found.has_law
    assert not found.exactness.as_eps_vanishes
    assert_sound(model, args, symmetry.select(found.name))
    assert_sound(without_eps(model), args, symmetry)


def test_a_gain_of_one_plus_a_parameter() -> None:
    model, args = made(stream(lambda d: RmsNorm(d, offset=1.0)))
    symmetry = ps.discover(model, args)
    frames = {port.frame for port in rotation(symmetry).ports}
    assert frames == {None, ps.Frame("first.weight", 1.0), ps.Frame("last.weight", 1.0)}
    assert_sound(model, args, symmetry.select(rotation(symmetry).name))


def test_a_zero_gain_stops_the_rotation_and_nothing_else() -> None:
    """Found by structure at any gains; acting there says why it cannot."""
    model, args = made(stream(RmsNorm))
    with torch.no_grad():
        model.get_parameter("first.weight")[1] = 0
    symmetry = ps.discover(model, args)
    found = rotation(symmetry)
    assert found.verified
    params = dict(model.named_parameters())
    with pytest.raises(ValueError, match=r"divides by 'first.weight', in which 1 entries are zero"):
        symmetry.act(symmetry.select(found.name).sample(), params, check=True)


# -- where there are none -----------------------------------------------------------------------


def tied(n: Net, x: Tensor) -> Tensor:
    """The head is the embedding, and sees the stream through the gain."""
    z = F.linear(x @ n.embed.weight, n.write.weight) + x @ n.embed.weight
    return F.linear(n.last(z), n.embed.weight)


NONE: dict[str, Callable[[], nn.Module]] = {
    "post-norm: the normalised value is added back": lambda: stream(
        RmsNorm,
        lambda n, x: n.head(
            n.last((z := n.first(n.embed(x))) + n.write(torch.tanh(n.read(z))))
        ),
    ),
    "a norm of the branch, added to a stream that is normalised": lambda: stream(
        RmsNorm, lambda n, x: n.head(n.last((z := n.embed(x)) + n.first(n.write(n.read(z)))))
    ),
    "a tied head": lambda: Net(
        tied,
        embed=nn.Linear(D, IN, bias=False),
        write=nn.Linear(D, D, bias=False),
        last=RmsNorm(D),
    ),
    "an activation on what is normalised": lambda: stream(
        RmsNorm, lambda n, x: n.head(torch.tanh(n.last(n.embed(x))))
    ),
    "an activation in the stream": lambda: stream(
        RmsNorm, lambda n, x: n.head(n.last(torch.tanh(n.embed(x))))
    ),
    "the stream is an output too": lambda: stream(
        RmsNorm, lambda n, x: torch.cat([z := n.embed(x), n.head(n.last(z))], -1)
    ),
    "two gains, one after the other": lambda: stream(
        RmsNorm, lambda n, x: n.head(n.last.weight * n.first(n.embed(x)))
    ),
    "products of a query and a key behind norms": lambda: stream(
        RmsNorm,
        lambda n, x: n.first(n.embed(x)) @ n.last(n.write(n.read(x[:, :1] * n.head.weight[0]))).mT,
    ),
    "batch norm": lambda: Net(
        lambda n, x: n.b(n.norm(n.a(x))),
        a=nn.Linear(IN, D), norm=nn.BatchNorm1d(D), b=nn.Linear(D, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_no_rotation(name: str) -> None:
    """None is found, none is withdrawn, and of all rotations of what is written none is flat."""
    model, args = made(NONE[name]())
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert not [f for f in symmetry if isinstance(f.group, ps.Orthogonal)]


# -- planted faults --------------------------------------------------------------------------------


def assert_caught(model: nn.Module, args: Args) -> None:
    """A false rotation is found, which the check withdraws by name."""
    trusted = ps.discover(model, args, verify=False)
    false = rotation(trusted)
    defect, _ = change(model, args, trusted.select(false.name))
    assert defect > 1e-3
    checked = ps.discover(model, args)
    assert checked.verification is not None
    assert checked.verification.withdrawn == (false.name,)


def plant(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Spaces], Spaces]) -> None:
    """The grouping by gains, changed."""
    right = framing.spaces
    monkeypatch.setattr("paramsym.discovery.mixing.spaces", lambda *args: wrong(right(*args)))


def test_a_forgotten_frame_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda found: replace(found, frame=0 * found.frame - 1))
    assert_caught(*made(stream(RmsNorm)))


def test_an_inverted_frame_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda found: replace(found, frames=found.frames[::-1]))
    assert_caught(*made(stream(nn.LayerNorm)))


def test_a_wrong_offset_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES["add"]

    def without_offset(call: Call) -> Result:
        found = right(call)
        return replace(found, offset=0.0) if isinstance(found, Value) else found

    monkeypatch.setitem(RULES, "add", without_offset)
    assert_caught(*made(stream(lambda d: RmsNorm(d, offset=1.0))))


@pytest.mark.parametrize("name", ["a tied head", "products of a query and a key behind norms"])
def test_a_broken_space_taken_for_whole_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda found: replace(found, broken=found.broken & False))
    assert_caught(*made(NONE[name]()))


# -- against families written by hand -------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "model"),
    [
        (llama_subject(layers=2), Llama(layers=2)),
        (gpt2_subject(layers=1, tied=False), Gpt2(layers=1, tied=False)),
    ],
    ids=["llama", "gpt2"],
)
def test_the_rotation_written_by_hand(subject: Subject, model: nn.Module) -> None:
    """The same directions at generic parameters."""
    found = ps.discover(randomized(model, 2), (subject.inputs,))
    by_hand = tangents(replace(subject, symmetry=subject.symmetry.select("rotation")))
    discovered = tangents(replace(subject, symmetry=found.select(rotation(found).name)))
    rank = torch.linalg.matrix_rank(by_hand)
    assert torch.linalg.matrix_rank(discovered) == rank
    assert torch.linalg.matrix_rank(torch.cat([by_hand, discovered])) == rank
