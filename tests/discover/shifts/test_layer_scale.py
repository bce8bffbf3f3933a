"""Shifts before of a layer scale, behind a LayerNorm of channels, and of what is read in parts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.front_ends import record
from paramsym.discovery.shifting.reading import readings_of
from paramsym.discovery.shifting.uses import final_uses
from paramsym.discovery.shifting.walk import run_of
from tests.discover.cases import Case, check
from tests.discover.checking import Net, detached, generic, nullity, without_eps

D = 4
VECTORS = ((60, 5),)
IMAGES = ((20, 2, 5, 5),)


def scaled(net: Net, x: Tensor) -> Tensor:
    """A branch behind a layer scale, on a stream that only LayerNorms read."""
    x = net.first(x)
    x = x + net.scale * net.up(torch.tanh(net.down(net.one(x))))
    return net.out(net.two(x))


def parts(**more: nn.Module) -> dict[str, nn.Module | Tensor]:
    """Parts of a stream."""
    return {
        "first": nn.Linear(5, D),
        "one": nn.LayerNorm(D),
        "down": nn.Linear(D, 3),
        "up": nn.Linear(3, D),
        "scale": nn.Parameter(torch.randn(D)),
        "two": nn.LayerNorm(D),
        "out": nn.Linear(D, 5),
        **more,
    }


class ChannelNorm(nn.Module):
    """A LayerNorm of channels, in single calls or on permuted axes."""

    def __init__(self, channels: int, *, permuted: bool, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.permuted, self.eps = permuted, 1e-6

    def forward(self, x: Tensor) -> Tensor:
        if self.permuted:
            x = x.permute(0, 2, 3, 1)
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps).permute(
                0, 3, 1, 2
            )
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + self.eps)
        if self.weight is None or self.bias is None:
            return x
        return self.weight[:, None, None] * x + self.bias[:, None, None]


def pyramid(norm: nn.Module, reader: nn.Module) -> nn.Module:
    """A convolution behind a norm of channels."""
    return Net(
        lambda net, x: torch.tanh(net.reader(net.norm(net.stem(x)))),
        stem=nn.Conv2d(2, D, 1),
        norm=norm,
        reader=reader,
    )


def columns(net: Net, x: Tensor) -> Tensor:
    """Two LayerNorms side by side, read by one layer."""
    x = torch.cat([net.one(net.a(x)), net.two(net.b(x))], -1)
    return net.out(x)


# The branch's weights and bias shift by t/λ, as those of `first` by t; the rest as without a scale.
STREAM = {"T₊(1)": 1, "R^5": 2, "R^3": 2, "R^1": 2, "R^4": 2}
PYRAMID = {"T₊(1)": 1, "R^2": 1, "R^1": 1}
CASES = [
    Case(
        "a layer scale",
        lambda: Net(scaled, **parts()),
        VECTORS,
        {**STREAM, "T₊(4)": 3, "O(3)": 1},
        gap=None,
    ),
    Case(
        "every tap of a kernel has a null direction",
        lambda: pyramid(ChannelNorm(D, permuted=True), nn.Conv2d(D, 3, 2, stride=2)),
        IMAGES,
        {**PYRAMID, "O(3)": 1, "T₊(4)": 1, "R^4": 1, "R^12": 1},
    ),
    Case(
        "and so it has behind single calls",
        lambda: pyramid(ChannelNorm(D, permuted=False), nn.Conv2d(D, 3, 2, stride=2)),
        IMAGES,
        {**PYRAMID, "O(3)": 1, "T₊(4)": 1, "R^4": 1, "R^12": 1},
    ),
    Case(
        "with zeros around and a bias before only those that never meet a zero",
        lambda: pyramid(ChannelNorm(D, permuted=True), nn.Conv2d(D, 3, (3, 1), padding=(1, 0))),
        IMAGES,
        # The norm's bias is not taken up by the convolution's, but has readers to undo it.
        {**PYRAMID, "O(3)": 1, "T₊(4)": 1, "R^3": 1, "Fix(4)": 1},
    ),
    Case(
        "without that bias all of them: zeros add up to zero too",
        lambda: pyramid(
            ChannelNorm(D, permuted=False, affine=False), nn.Conv2d(D, 3, (3, 1), padding=(1, 0))
        ),
        IMAGES,
        {"T₊(1)": 1, "R^2": 1, "R^1": 1, "O(3)": 1, "R^9": 1},
    ),
    Case(
        "a null direction for each of two parts",
        lambda: Net(
            columns,
            a=nn.Linear(5, D),
            b=nn.Linear(5, D),
            one=nn.LayerNorm(D),
            two=nn.LayerNorm(D),
            out=nn.Linear(2 * D, 3),
        ),
        VECTORS,
        {"T₊(1)": 2, "T₊(4)": 2, "O(3)": 2, "R^5": 2, "R^1": 2, "R^4": 2, "R^3": 2},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(120, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_stream_is_complete(x: Tensor) -> None:
    model = without_eps(generic(Net(scaled, **parts())))
    symmetry = ps.discover(model, (x,))
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim == nullity(model, (x,))


def test_what_is_written(x: Tensor) -> None:
    """W += (1/λ) vᵀ and b += t/λ, whatever λ is."""
    model = generic(Net(scaled, **parts()))
    symmetry = ps.discover(model, (x,))
    weight, bias = symmetry["up.weight (layer norm)"], symmetry["up.bias (layer norm)"]
    params = detached(model)
    rng = torch.Generator().manual_seed(1)
    for family, outer in ((weight, True), (bias, False)):
        v = family.group.sample(1.0, generator=rng)
        moved = symmetry.select(family.name).act({family.name: v}, params)
        (name,) = family.moves
        expected = torch.outer(1 / params["scale"], v) if outer else v / params["scale"]
        assert torch.allclose(moved[name] - params[name], expected, rtol=1e-12, atol=1e-12)
        assert family.reads == {"scale"}
        assert not family.has_law


SEEN: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "a layer reads the stream as it is": lambda n, x: n.out(n.two(x)) + n.probe(x),
    "the stream is an output": lambda n, x: torch.cat([n.out(n.two(x)), x], -1),
    "another norm does not subtract the mean": lambda n, x: n.out(
        n.two(x) + F.rms_norm(x, (D,), n.two.weight)
    ),
}


@pytest.mark.parametrize("reason", SEEN)
def test_one_other_reader_sees_it(reason: str, x: Tensor) -> None:
    """The planted fault: a reader of the stream to which its mean matters."""

    def run(net: Net, x: Tensor) -> Tensor:
        x = net.first(x)
        x = x + net.scale * net.up(torch.tanh(net.down(net.one(x))))
        return SEEN[reason](net, x)

    symmetry = ps.discover(generic(Net(run, **parts(probe=nn.Linear(D, 5)))), (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert not any(f.name.startswith("up.") and "layer norm" in f.name for f in symmetry)


def test_a_certificate_does_not_call_it_low_rank() -> None:
    """Without the shifts a certificate misses them: they are there at any parameters."""
    model, x = Net(scaled, **parts()), torch.randn(1, 5)
    symmetry = ps.discover(model, (x,))
    rest = symmetry.select(*(f.name for f in symmetry if f.name != "up.weight (layer norm)"))
    certificate = ps.certify(model, (x,), rest)
    assert (certificate.extra, certificate.local_dim) == (3, 0)
    assert ps.certify(model, (x,), symmetry).verdict == "complete"


def test_scales_of_other_kinds(x: Tensor) -> None:
    """Divided by it, behind two of them, and in a shape of its own; not one that multiplies twice,
    or that data multiply."""

    def model(run: Callable[[Net, Tensor], Tensor], **more: Tensor) -> nn.Module:
        def stream(net: Net, x: Tensor) -> Tensor:
            return net.out(torch.tanh(net.two(net.first(x) + run(net, torch.tanh(x) @ net.w.T))))

        w = nn.Parameter(torch.randn(D, 5))
        scale = nn.Parameter(torch.randn(D))
        keep = {k: v for k, v in parts().items() if k in ("first", "two", "out")}
        return generic(Net(stream, w=w, scale=scale, **keep, **more))

    row = {"row": nn.Parameter(torch.randn(1, D))}
    number = {"number": nn.Parameter(torch.randn(1))}
    reads: dict[str, tuple[Callable[[Net, Tensor], Tensor], dict[str, Tensor], set | None]] = {
        "divided": (lambda n, y: y / n.scale, {}, {("scale", 1)}),
        "two": (lambda n, y: n.scale * (y * n.row), row, {("scale", -1), ("row", -1)}),
        "twice": (lambda n, y: n.scale * (n.scale * y), {}, None),
        "data": (lambda n, y: n.scale * (y * y), {}, None),
        "one number": (lambda n, y: y * n.number, number, set()),
    }
    for kind, (run, more, expected) in reads.items():
        symmetry = ps.discover(model(run, **more), (x,))
        assert symmetry.verification is not None
        assert symmetry.verification.withdrawn == (), kind
        own = [f for f in symmetry if f.name.startswith("w (")]
        if expected is None:
            assert not own, kind
            continue
        (family,) = own
        sources = {(s.slot.parameter, s.power) for term in family.terms for s in term.sources}
        assert sources == expected, kind


@pytest.mark.parametrize(("pool", "passes"), [(nn.AvgPool2d(4), True), (nn.MaxPool2d(4), False)])
def test_an_average_of_positions(pool: nn.Module, passes: bool) -> None:
    """A weight in front of it may shift, at every position by another amount; not before a
    maximum."""
    model = generic(
        nn.Sequential(nn.Conv2d(1, D, 2), pool, nn.Flatten(), nn.LayerNorm(D), nn.Linear(D, 2))
    )
    symmetry = ps.discover(model, (torch.randn(9, 1, 5, 5, dtype=torch.float64),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    names = {family.name for family in symmetry}
    assert ("0.weight (layer norm)" in names) == passes
    assert "0.bias (layer norm)" in names


@pytest.mark.parametrize("padding", [1, 2, "same"])
@pytest.mark.parametrize(("size", "stride", "dilation"), [(3, 1, 1), (3, 3, 2)])
def test_taps_that_meet_no_zero(padding: int | str, size: int, stride: int, dilation: int) -> None:
    """Those for which a kernel of this tap alone, on an image of ones, gives ones everywhere."""
    if padding == "same" and stride > 1:
        pytest.skip("torch has no such convolution")
    model = pyramid(
        ChannelNorm(D, permuted=True),
        nn.Conv2d(D, 3, (size, 1), stride=(stride, 1), dilation=(dilation, 1),
                  padding=(padding, 0) if isinstance(padding, int) else padding),
    )  # fmt: skip
    x = torch.randn(2, 2, 7, 5)
    run = run_of(record(model.eval(), (x,), {}), strict=True)
    found = [r for use in final_uses(run, "reader.weight") for r in readings_of(run, use)]
    conv = model.reader
    assert isinstance(conv, nn.Conv2d)
    inner, ones = [], torch.ones(1, 1, 7, 5)
    for tap in range(size):
        one = torch.zeros(1, 1, size, 1)
        one[0, 0, tap] = 1.0
        seen = F.conv2d(ones, one, None, conv.stride, conv.padding, conv.dilation)
        inner += [tap] if bool((seen == 1).all()) else []
    if not inner:
        assert not found
        return
    (reading,) = found
    assert reading.taps[0] == (2, (inner[0], inner[-1] + 1))
    assert inner == list(range(inner[0], inner[-1] + 1))
