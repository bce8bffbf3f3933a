"""Ops that are not understood never break discovery: they are named, and the rest stays sound."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.replaying import run_as
from tests.discover.checking import Net, assert_sound, change, derivative, generic, groups


@torch.library.custom_op("paramsym_tests::wave", mutates_args=())
def wave(x: Tensor) -> Tensor:
    """An op that no rule knows."""
    return x.sin() + x


@wave.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: torch.autograd.function.FunctionCtx, slope: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
    return slope * (x.cos() + 1)


wave.register_autograd(_backward, setup_context=_setup)


def three_layers(op: Callable[[Tensor], Tensor], width: int = 4) -> nn.Module:
    """A relu layer, the op behind the second one, and a relu layer behind it."""
    return generic(
        Net(
            lambda n, x: n.d(torch.relu(n.c(op(n.b(torch.relu(n.a(x))))))),
            a=nn.Linear(3, 5),
            b=nn.Linear(5, 4),
            c=nn.Linear(width, 6),
            d=nn.Linear(6, 2),
        )
    )


UNKNOWN: list[tuple[str, Callable[[Tensor], Tensor], int, set[str]]] = [
    ("custom op", lambda z: wave(z), 4, {"paramsym_tests::wave"}),
    ("cumprod", lambda z: z.cumprod(-1), 4, {"cumprod"}),
    ("prod", lambda z: z.prod(-1, keepdim=True), 1, {"prod"}),
    ("fft", lambda z: torch.fft.rfft(z, dim=-1).abs(), 3, set()),
    ("complex", lambda z: torch.view_as_real(torch.complex(z, z)).flatten(1), 8, set()),
    ("bessel", torch.special.bessel_j0, 4, {"special_bessel_j0"}),
    ("inverse", lambda z: torch.linalg.inv(z.view(-1, 2, 2)).flatten(1), 4, {"linalg_inv"}),
    ("einsum of three", lambda z: torch.einsum("bi,bj,bk->bi", z, z, z), 4, set()),
    (
        "einsum with a trace",
        lambda z: torch.einsum("bii->b", z.view(-1, 2, 2))[:, None],
        1,
        {"einsum"},
    ),
    ("histogram", lambda z: z + torch.histc(z.detach(), 4), 4, {"histc", "detach"}),
    ("lerp", lambda z: torch.lerp(z, -z, 0.2), 4, set()),
    ("renorm", lambda z: torch.renorm(z, 2, 0, 1.0), 4, {"renorm"}),
    ("logcumsumexp", lambda z: z.logcumsumexp(-1), 4, {"logcumsumexp"}),
    ("distance", lambda z: torch.cdist(z, z), 8, set()),
    ("unfold", lambda z: z.unfold(1, 2, 2).flatten(1), 4, set()),
    ("fmod", lambda z: torch.fmod(z, 1.0), 4, {"fmod"}),
    ("long round trip", lambda z: z.long().double(), 4, set()),
]


@pytest.mark.parametrize(("name", "op", "width", "names"), UNKNOWN, ids=[u[0] for u in UNKNOWN])
def test_named_and_the_rest_is_found(
    name: str, op: Callable[[Tensor], Tensor], width: int, names: set[str]
) -> None:
    """Scalings before and behind the op are found; the layer that feeds it stands still."""
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = three_layers(op, width)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert {barrier.op for barrier in symmetry.barriers} <= names
    assert bool(symmetry.barriers) == bool(names)
    for barrier in symmetry.barriers:
        assert barrier.count >= 1
        assert all(isinstance(where, str) and where for where in barrier.where)
        assert barrier.reason
    families = {frozenset(f.moves): str(f.group) for f in symmetry}
    assert families[frozenset({"a.weight", "a.bias", "b.weight"})] == "T₊(5)"
    assert families[frozenset({"c.weight", "c.bias", "d.weight"})] == "T₊(6)"
    defect, bound = change(model, (x,), symmetry)
    assert defect <= bound, name


def test_barriers_are_counted_and_placed() -> None:
    """Each op once, with every module that it occurs in."""

    class Multiplied(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.cumprod(-1).cumsum(-1)

    model = nn.Sequential(
        nn.Linear(3, 4), Multiplied(), nn.Linear(4, 4), Multiplied(), nn.Linear(4, 2)
    )
    symmetry = ps.discover(model, (torch.randn(5, 3),))
    found = {b.op: (b.count, b.where) for b in symmetry.barriers}
    assert found["cumprod"] == (2, ("1", "3"))
    assert "rule" in symmetry.barriers[0].reason
    assert "cumprod" in str(symmetry)


def test_no_barrier_where_no_parameter_goes() -> None:
    """What the model does to its data is none of the symmetry's business."""
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(torch.fft.rfft(x.sort(-1).values).abs()))),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2),
    )
    symmetry = ps.discover(model, (torch.randn(5, 4),))
    assert symmetry.barriers == ()
    assert groups(symmetry) == {"T₊(4)": 1}


def test_embedding() -> None:
    """A table of vectors read by index; whatever is claimed of it holds."""
    model = generic(
        Net(
            lambda n, i: n.b(torch.relu(n.a(n.table(i)))),
            table=nn.Embedding(6, 4),
            a=nn.Linear(4, 5),
            b=nn.Linear(5, 3),
        )
    )
    index = torch.tensor([[0, 1, 5], [2, 3, 4]])
    symmetry = ps.discover(model, (index,))
    assert "T₊(5)" in groups(symmetry)
    assert_sound(model, (index,), symmetry)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_nets(cell: type[nn.RNNBase]) -> None:
    """A relu layer in front of a recurrent one keeps its scales."""
    model = generic(
        Net(
            lambda n, x: n.out(n.cell(torch.relu(n.a(x)))[0]),
            a=nn.Linear(3, 4),
            cell=cell(4, 3, batch_first=True),
            out=nn.Linear(3, 2),
        )
    )
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert_sound(model, (x,), symmetry)


def test_attention() -> None:
    """Attention has rules in later work; what is found until then holds."""
    layer = nn.TransformerEncoderLayer(8, 2, 6, dropout=0.0, batch_first=True)
    model = generic(nn.Sequential(layer, nn.Linear(8, 3)))
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert "T₊(6)" in groups(symmetry)


def test_a_stopped_gradient_gives_no_law() -> None:
    """Through `detach` the function may be invariant but its gradients are not those of a
    function: every family that is listed has derivative zero, and none is withdrawn as a bug."""
    model = generic(
        Net(
            lambda n, x: n.b((z := n.a(x)) + z.detach()),
            a=nn.Linear(3, 4, bias=False),
            b=nn.Linear(4, 2),
        )
    )
    x = torch.randn(6, 3, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    if symmetry.families:
        slope, bound = derivative(model, (x,), symmetry)
        assert slope <= bound


def test_regions_without_gradient() -> None:
    """`no_grad` inside the model is no obstacle."""

    def run(net: Net, x: Tensor) -> Tensor:
        with torch.no_grad():
            frozen = torch.relu(net.a(x))
        return net.c(torch.relu(net.b(frozen)))

    model = generic(Net(run, a=nn.Linear(3, 4), b=nn.Linear(4, 5), c=nn.Linear(5, 2)))
    x = torch.randn(6, 3, dtype=torch.float64)
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert any(f.moves == {"b.weight", "b.bias", "c.weight"} for f in symmetry)


def test_autocast_and_checkpointing() -> None:
    """Regions that wrap the computation do not hide it, or name themselves."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = torch.utils.checkpoint.checkpoint(
            lambda y: torch.relu(net.a(y)), x, use_reentrant=False
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net.b(F.relu(z))

    model = Net(run, a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    symmetry = ps.discover(model, (torch.randn(6, 3),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == {"T₊(4)": 1} or symmetry.barriers


OFFSETS = torch.tensor([3, 3, 8], dtype=torch.int32)
SHAPES = [((8, 16), (3, 16, 8)), ((3, 8, 16), (16, 8)), ((16, 8), (8, 16))]


@pytest.mark.parametrize("shapes", SHAPES, ids=["rows", "columns", "sums"])
def test_replay_of_grouped_products(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """torch has them in single precision only; a replay is in double."""
    rng = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=rng) for shape in shapes)
    there = torch.ops.aten._grouped_mm.default(left, right, OFFSETS)
    exact = run_as(torch.ops.aten._grouped_mm.default)(left.double(), right.double(), OFFSETS)
    assert float((there - exact).abs().max()) < 1e-5


def test_grouped_products_stand_still() -> None:
    weight = nn.Parameter(torch.randn(3, 16, 8, generator=torch.Generator().manual_seed(0)))
    model = Net(
        lambda n, x: n.b(torch.relu(torch._grouped_mm(n.a(x), n.w, offs=OFFSETS))),
        a=nn.Linear(3, 16), w=weight, b=nn.Linear(8, 2),
    )  # fmt: skip
    symmetry = ps.discover(model, (torch.randn(8, 3),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert [barrier.op for barrier in symmetry.barriers] == ["_grouped_mm"]
