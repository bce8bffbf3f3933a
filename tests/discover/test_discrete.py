"""Discrete families that discovery finds: permutations, signs, blocks, copies; refusals."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery.composites import taken_apart
from paramsym.discovery.exporting import export, from_program
from paramsym.discovery.naming import distinct_names
from paramsym.discovery.ops import RULES as CONTINUOUS_RULES
from paramsym.discovery.permuting import pointwise
from paramsym.discovery.permuting.assembly import assemble
from paramsym.discovery.permuting.checking import check
from paramsym.discovery.permuting.registry import RULES, Call, Result
from paramsym.discovery.permuting.walk import walk
from paramsym.discovery.points import Points
from paramsym.discovery.recording import Recording
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.ports import Port
from tests.discover.checking import Args
from tests.discover.graphs import graphs
from tests.discover.sequences import sequences

SEQ = nn.Sequential


class Residual(nn.Module):
    """x + f(x) on the input itself, so that the hidden space is the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + torch.tanh(self.f(x)))


class Scores(nn.Module):
    """Attention over learned tokens whose positions the outputs keep."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(3, 5)
        self.weights = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x).softmax(-1)


class Attention(nn.Module):
    """Grouped queries: heads that share keys follow one another."""

    def __init__(self, heads: int, groups: int, size: int, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.heads, self.groups, self.size = heads, groups, size
        self.q = nn.Linear(4, heads * size)
        self.k, self.v = (nn.Linear(4, groups * size) for _ in range(2))
        self.o = nn.Linear(heads * size, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            y = y.view(batch, time, heads, self.size).transpose(1, 2)
            times = self.heads // heads
            return y[:, :, None].expand(-1, -1, times, -1, -1).reshape(batch, self.heads, time, -1)

        q = split(self.q(x), self.heads)
        k, v = split(self.k(x), self.groups), split(self.v(x), self.groups)
        if self.shared:
            k, v = (y[:, :1].expand_as(q) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).reshape(batch, time, -1))


class Gated(nn.Module):
    """SwiGLU, with both halves in one matrix where it is fused."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        widths = (10,) if fused else (5, 5)
        self.into = nn.ModuleList(nn.Linear(3, width) for width in widths)
        self.down = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        made = [layer(x) for layer in self.into]
        gate, up = made[0].chunk(2, -1) if len(made) == 1 else made
        return self.down(F.silu(gate) * up)


class Recurrent(nn.Module):
    """h ← tanh(W h + x)."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.step, self.out = nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.into(x))
        for _ in range(2):
            h = torch.tanh(self.step(h) + self.into(x))
        return self.out(h)


class Positions(nn.Module):
    """A buffer that differs between coordinates, added in the hidden space."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.arange(5.0))
        self.into, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.into(x) + self.shift))


class Stream(nn.Module):
    """A block of a pre-norm transformer, without attention: the stream itself is permuted."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm, self.last = nn.LayerNorm(4), nn.LayerNorm(4)
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(self.last(x))


class Spectrum(nn.Module):
    """Real parts of frequencies along time, then the same of modulus."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.fft(torch.tanh(self.into(x)), dim=1)
        return self.out(torch.tanh(torch.view_as_real(z * (1 - 2j)).sum(-1)))


class Moduli(nn.Module):
    """|a + ib|."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(3, 5), nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.stack([self.a(x), self.b(x)], -1)
        z = torch.view_as_complex(pairs)
        return self.out(torch.complex(z.real, z.imag).abs())


def recorded(model: nn.Module, args: tuple[Any, ...]) -> Recording:
    program = taken_apart(export(model, args, {}), CONTINUOUS_RULES)
    return from_program(program, model=model, args=args, kwargs={})


def vectors() -> tuple[Tensor, ...]:
    return (torch.randn(8, 3),)


def images(channels: int = 3) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(2, channels, 6, 6),)


@dataclass(frozen=True)
class Case:
    """A model and the groups of its discrete families, in order."""

    name: str
    model: Callable[[], nn.Module]
    groups: tuple[str, ...]
    args: Callable[[], tuple[Tensor, ...]] = vectors
    training: bool = True

    def __str__(self) -> str:
        return self.name

    def built(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        torch.manual_seed(0)
        return self.model().train(self.training), self.args()


def between(activation: nn.Module) -> Callable[[], nn.Module]:
    return lambda: SEQ(nn.Linear(3, 5), activation, nn.Linear(5, 2))


CASES = [
    Case("tanh", between(nn.Tanh()), ("S(5)", "Z₂^5")),
    Case("gelu", between(nn.GELU()), ("S(5)",)),
    Case("relu", between(nn.ReLU()), ("S(5)",)),
    Case("sigmoid", between(nn.Sigmoid()), ("S(5)",)),
    Case("symmetric hardtanh", between(nn.Hardtanh()), ("S(5)", "Z₂^5")),
    Case("lopsided hardtanh", between(nn.Hardtanh(-1, 2)), ("S(5)",)),
    Case("softmax in between", between(nn.Softmax(-1)), ("S(5)",)),
    Case("linear: GL contains both", between(nn.Identity()), ()),
    Case("layer norm", lambda: SEQ(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5")),
    Case("batch norm in training",
         lambda: SEQ(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5")),
    Case("batch norm by running statistics",
         lambda: SEQ(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)), (),
         training=False),
    Case("dropout on", lambda: SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)), ()),
    Case("dropout off", lambda: SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(), nn.Linear(5, 2)),
         ("S(5)", "Z₂^5"), training=False),
    Case("flattened channels",
         lambda: SEQ(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 2)),
         ("S(4)", "Z₂^4"), images()),
    Case("pooled channels",
         lambda: SEQ(nn.Conv2d(3, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)),
         ("S(4)",), images()),
    Case("depthwise convolution",
         lambda: SEQ(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Conv2d(4, 4, 3, groups=4), nn.GELU(),
                     nn.Conv2d(4, 2, 1)),
         ("S(4)",), images()),
    Case("grouped convolution",
         lambda: SEQ(nn.Conv2d(3, 6, 1), nn.GELU(), nn.Conv2d(6, 8, 3, groups=2), nn.GELU(),
                     nn.Conv2d(8, 2, 1)),
         ("S(2)", "S(3) × 2", "S(4) × 2"), images()),
    # The groups are those of the input, which are fixed: their copies are not told apart.
    Case("grouped convolution of the input",
         lambda: SEQ(nn.Conv2d(4, 6, 3, groups=2), nn.GELU(), nn.Conv2d(6, 2, 1)),
         ("S(3)",), images(4)),
    Case("transposed convolution",
         lambda: SEQ(nn.ConvTranspose2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 1)),
         ("S(4)", "Z₂^4"), images()),
    Case("channel groups of a norm",
         lambda: SEQ(nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 2, 1)),
         ("S(2)", "S(3) × 2"), images()),
    Case("residual of the input", Residual, (), lambda: (torch.randn(8, 4),)),
    Case("output layer", lambda: nn.Linear(3, 5), ()),
    Case("softmax output", Scores, ()),
    Case("buffer in the hidden space", Positions, ()),
    Case("gate", lambda: Gated(fused=False), ("S(5)", "Z₂^5")),
    Case("fused gate", lambda: Gated(fused=True), ("S(5)", "Z₂^5")),
    Case("recurrence", Recurrent, ("S(5)", "Z₂^5")),
    Case("tied stream", Stream, ("S(4)", "Z₂^4", "S(6)"),
         lambda: (torch.arange(14).view(2, 7) % 7,)),
    Case("attention", lambda: Attention(3, 3, 2), ("S(3)",), lambda: (torch.randn(2, 5, 4),)),
    Case("one key head for all, the others unused", lambda: Attention(2, 2, 3, shared=True),
         ("S(2)", "S(3)", "S(3)"), lambda: (torch.randn(2, 5, 4),)),
    Case("spectrum", Spectrum, ("S(5)", "Z₂^5"), lambda: (torch.randn(4, 6, 3),)),
    Case("moduli", Moduli, ("S(5)", "Z₂^5")),
    Case("grouped queries", lambda: Attention(6, 3, 2), ("S(3)", "S(2) × 3"),
         lambda: (torch.randn(2, 5, 4),)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_groups(case: Case) -> None:
    model, args = case.built()
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert sorted(str(f.group) for f in symmetry.discrete) == sorted(case.groups)
    assert all(f.verified for f in symmetry.discrete)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_rule_fails(case: Case) -> None:
    """A rule that fails refuses its call, which would hide the fault."""
    walk(recorded(*case.built()), strict=True)


# -- twins that try everything --------------------------------------------------------------------


def output(model: nn.Module, params: dict[str, Tensor], args: tuple[Tensor, ...]) -> Tensor:
    return torch.func.functional_call(model, params, args)


def doubled(model: nn.Module) -> dict[str, Tensor]:
    """Generic parameters in float64."""
    model.double()
    return {name: p.detach() for name, p in model.named_parameters()}


def test_every_permutation_of_a_tiny_layer() -> None:
    """All 4! ways to permute writers, each with all 4! ways to permute readers: those that leave
    the function alone are the family's elements."""
    torch.manual_seed(0)
    n = 4
    model = SEQ(nn.Linear(3, n), nn.GELU(), nn.Linear(n, 2))
    (family,) = ps.discover(model, vectors()).discrete
    params, args = doubled(model), (torch.randn(8, 3, dtype=torch.float64),)
    reference = output(model, params, args)
    found = set()
    for rows, columns in itertools.product(itertools.permutations(range(n)), repeat=2):
        moved = {
            **params,
            "0.weight": params["0.weight"][list(rows)],
            "0.bias": params["0.bias"][list(rows)],
            "2.weight": params["2.weight"][:, list(columns)],
        }
        if torch.allclose(output(model, moved, args), reference, rtol=0, atol=1e-12):
            found.add((rows, columns))
    assert found == {(rows, rows) for rows in itertools.permutations(range(n))}
    assert math.isclose(10**family.log10_order, len(found))
    assert {p.parameter for p in family.ports} == {"0.weight", "0.bias", "2.weight"}


@pytest.mark.parametrize(
    ("activation", "expected"), [(nn.Tanh(), 2**3), (nn.GELU(), 1), (nn.ReLU(), 1)], ids=str
)
def test_every_sign_of_a_tiny_layer(activation: nn.Module, expected: int) -> None:
    """All signs of rows, biases and columns: those that leave the function alone."""
    torch.manual_seed(0)
    n = 3
    model = SEQ(nn.Linear(3, n), activation, nn.Linear(n, 2))
    signs = [f for f in ps.discover(model, vectors()).discrete if isinstance(f.group, Signs)]
    params, args = doubled(model), (torch.randn(8, 3, dtype=torch.float64),)
    reference = output(model, params, args)
    kept = 0
    for flips in itertools.product((1.0, -1.0), repeat=3 * n):
        rows, biases, columns = torch.tensor(flips, dtype=torch.float64).view(3, n)
        moved = {
            **params,
            "0.weight": params["0.weight"] * rows[:, None],
            "0.bias": params["0.bias"] * biases,
            "2.weight": params["2.weight"] * columns,
        }
        kept += torch.allclose(output(model, moved, args), reference, rtol=0, atol=1e-12)
    assert kept == expected
    assert math.isclose(10 ** sum(f.log10_order for f in signs), expected)


# -- the elements, as users draw them -----------------------------------------------------------


@pytest.mark.parametrize("case", [c for c in CASES if c.groups], ids=str)
def test_elements_act(case: Case) -> None:
    """Function unchanged; products, inverses, the unit; each family alone moves what it says."""
    model, args = case.built()
    symmetry = ps.discover(model, args)
    params = doubled(model)
    args = tuple(x.double() if x.is_floating_point() else x for x in args)
    reference = output(model, params, args)
    rng = torch.Generator().manual_seed(0)
    for family in symmetry.discrete:
        alone = symmetry.select(family.name)
        assert alone.families == ()
        assert alone.discrete == (family,)
        g, h = (alone.sample(generator=rng, discrete=True) for _ in range(2))
        moved = alone.act(g, params, check=True)
        assert {k for k in params if moved[k] is not params[k]} == set(family.moves)
        size = reference.abs().max()
        assert (output(model, moved, args) - reference).abs().max() <= 1e-12 * size
        there = alone.act(h, moved)
        product = {family.name: (h @ g)[family.name]}
        for word in (h @ g, product):
            assert all(torch.equal(there[k], p) for k, p in alone.act(word, params).items())
        back = alone.act(g.inverse(), moved)
        assert all(torch.equal(back[k], p) for k, p in params.items())
        assert bool(((g.inverse() @ g)[family.name] == family.group.identity()).all())


def test_in_place_and_in_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    model = Attention(6, 3, 2)
    args = (torch.randn(2, 5, 4),)
    symmetry = ps.discover(model, args)
    again = ps.load(ps.save(symmetry, tmp_path / "symmetry.json"))
    assert again == symmetry
    assert again.discrete == symmetry.discrete
    g = again.sample(generator=torch.Generator().manual_seed(0), discrete=True)
    assert [f.name for f in (*again.families, *again.discrete)] == list(g.names)
    expected = again.act(g, dict(model.named_parameters()))
    again.act_(g, model)
    for name, p in model.named_parameters():
        assert torch.equal(p, expected[name])


def test_under_vmap() -> None:
    """Many elements at once are what they are one by one."""
    torch.manual_seed(0)
    model = between(nn.Tanh())()
    symmetry = ps.discover(model, vectors())
    params = {k: p.detach() for k, p in model.named_parameters()}
    rng = torch.Generator().manual_seed(0)
    words = [symmetry.sample(generator=rng, discrete=True) for _ in range(3)]
    stacked = ps.GroupElement(
        words[0].names,
        words[0].groups,
        tuple(map(torch.stack, zip(*(g.tensors for g in words), strict=True))),
    )
    many = torch.func.vmap(lambda g: symmetry.act(g, params))(stacked)
    for k, g in enumerate(words):
        for name, p in symmetry.act(g, params).items():
            assert torch.equal(many[name][k] if many[name].ndim > p.ndim else many[name], p)


# -- planted faults --------------------------------------------------------------------------------


def test_a_false_family_is_withdrawn() -> None:
    """Each of several, and no true one with it; also two that are true only together."""
    torch.manual_seed(0)
    model = SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    recording = recorded(model, vectors())
    true = ps.discover(model, vectors()).discrete
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}

    def on(name: str, axis: int) -> Port:
        return Port.along(name, shapes[name], axis)

    rows = tuple(on(name, 0) for name in ("0.weight", "0.bias"))
    false = [
        DiscreteFamily("inputs", Permutations(3), (on("0.weight", 1),)),
        DiscreteFamily("outputs", Permutations(4), (on("2.weight", 0), on("2.bias", 0))),
        DiscreteFamily("writers alone", Permutations(5), rows),
        DiscreteFamily("readers alone", Permutations(5), (on("2.weight", 1),)),
        DiscreteFamily("signs of writers", Signs(5), rows),
        DiscreteFamily("signs of readers", Signs(5), (on("2.weight", 1),)),
        DiscreteFamily("bias forgotten", Signs(5), (rows[0], on("2.weight", 1))),
    ]
    points = Points(recording, 0)
    for planted in ([f] for f in false):
        kept, withdrawn, _ = check([*true, *planted], points, seed=0)
        assert withdrawn == [f.name for f in planted]
        assert [f.name for f in kept] == [f.name for f in true]
    for pair in (false[2:4], false[4:6]):  # true only together
        _, withdrawn, _ = check(pair, points, seed=0)
        assert len(withdrawn) == 2


def test_a_wrong_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sigmoid taken for odd."""

    def passes(call: Call) -> Result:
        return pointwise.odd(call)

    monkeypatch.setitem(RULES, "sigmoid", passes)
    torch.manual_seed(0)
    symmetry = ps.discover(between(nn.Sigmoid())(), vectors())
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ("0 → 2 (signs)",)
    assert [str(f.group) for f in symmetry.discrete] == ["S(5)"]


def test_ops_without_a_rule_permute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SEQ(nn.Linear(3, 5), nn.Softmax(-1), nn.Linear(5, 2))
    for op in ("softmax", "_softmax"):
        monkeypatch.delitem(RULES, op, raising=False)
    assert ps.discover(model, vectors()).discrete == ()


def test_unverified_on_meta() -> None:
    model = between(nn.Tanh())().to("meta")
    symmetry = ps.discover(model, (torch.randn(8, 3, device="meta"),))
    assert [str(f.group) for f in symmetry.discrete] == ["S(5)", "Z₂^5"]
    assert not any(f.verified for f in symmetry.discrete)


# -- bad input -----------------------------------------------------------------------------------


def test_bad_elements() -> None:
    torch.manual_seed(0)
    model = between(nn.Tanh())()
    symmetry = ps.discover(model, vectors())
    params = dict(model.named_parameters())
    moves, flips = "0 → 2 (permutations)", "0 → 2 (signs)"
    with pytest.raises(
        TypeError, match=r"must be an int64 tensor, a permutation; got torch\.float"
    ):
        symmetry.act({moves: torch.ones(5)}, params)
    with pytest.raises(
        TypeError, match=r"must be a floating-point tensor of signs; got torch\.int"
    ):
        symmetry.act({flips: torch.ones(5, dtype=torch.int64)}, params)
    with pytest.raises(ValueError, match=r"must have shape \(5,\).*group is S\(5\)"):
        symmetry.act({moves: torch.arange(4)}, params)
    for name, g in ((moves, torch.zeros(5, dtype=torch.int64)), (flips, torch.full((5,), 2.0))):
        with pytest.raises(ValueError, match="is not an element of"):
            symmetry.act({name: g}, params, check=True)


def test_bad_families() -> None:
    port = Port.along("w", (5, 3), 0)
    assert (ps.DiscreteFamily, ps.Permutations, ps.Signs) == (DiscreteFamily, Permutations, Signs)
    with pytest.raises(ValueError, match="positive integers"):
        Permutations(0)
    with pytest.raises(ValueError, match=r"must index .*\[1, 4\].*got \[1, 5\]"):
        DiscreteFamily("w", Permutations(4), (port,))
    with pytest.raises(ValueError, match="degree 1 and no frame"):
        DiscreteFamily("w", Permutations(5), (replace(port, degree=2.0),))
    family = DiscreteFamily("w", Permutations(5), (port,))
    with pytest.raises(ValueError, match="needs parameter 'w', which is missing"):
        family.require_shapes({"v": (5, 3)})
    with pytest.raises(ValueError, match=r"views 'w' as \(5, 3\); got shape \(4, 3\)"):
        family.require_shapes({"w": (4, 3)})


# -- random graphs --------------------------------------------------------------------------------


def assert_sound(drawn: tuple[nn.Module, Args]) -> None:
    """What is claimed before it is checked holds, and no rule fails."""
    recording = recorded(*drawn)
    families = distinct_names(assemble(walk(recording, strict=True)))
    assert check(families, Points(recording, 0), seed=0)[1] == [], drawn[0]


@settings(max_examples=30)
@given(graphs())
def test_random_vectors(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@settings(max_examples=30)
@given(sequences())
def test_random_sequences(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(graphs())
def test_many_random_vectors(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(graphs(images=True))
def test_many_random_images(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)


@pytest.mark.slow
@settings(max_examples=1000)
@given(sequences())
def test_many_random_sequences(drawn: tuple[nn.Module, Args]) -> None:
    assert_sound(drawn)
