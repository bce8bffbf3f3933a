"""The summary table: every number is there, every line fits, and what is missing is said."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from torch import nn

from paramsym import (
    Barrier,
    DiscreteFamily,
    Exactness,
    Family,
    Frame,
    GeneralLinear,
    Orthogonal,
    Permutations,
    Port,
    PositiveScaling,
    Slot,
    Source,
    Symmetry,
    Term,
    Translation,
    Verification,
    discover,
)
from paramsym.abbreviation import common_name, in_lines, readable, shorten
from paramsym.affine_pairs import affine_pairs
from paramsym.folding import is_mutual, joined_rows_of
from paramsym.nets import MLP
from paramsym.summary import as_text, print_summary
from paramsym.zoo import BUILTIN


def scaling(name: str, writer: str, reader: str) -> Family:
    ports = (Port.along(writer, (7, 3), 0), Port.along(reader, (3, 7), 1, dual=True))
    return Family(name, PositiveScaling(7), ports)


def tower(depth: int, prefix: str = "blocks") -> Symmetry:
    """A symmetry with one scaling a block, named as a deep network would."""
    blocks = [f"{prefix}.{k}" for k in range(depth)]
    params = {f"{b}.{side}.weight": torch.zeros(s) for b in blocks for side, s in SIDES.items()}
    families = [scaling(f"{b}.up → {b}.down", f"{b}.up.weight", f"{b}.down.weight") for b in blocks]
    check = Verification(invariance=1e-16, derivative=2e-16, tolerance=1e-12)
    verified = [replace(family, verified=True) for family in families]
    return replace(Symmetry.of(verified, params), verification=check)


@cache
def found(name: str) -> Symmetry:
    return discover(*BUILTIN[name](), verify=False)


SIDES = {"up": (7, 3), "down": (3, 7)}

SYMMETRIES: dict[str, Callable[[], Symmetry]] = {
    **{name: partial(found, name) for name in BUILTIN},
    "tower": lambda: tower(40),
    "long names": lambda: tower(3, "backbone.encoder.transformer.stages.residual.feed_forward"),
    "empty": lambda: Symmetry.of((), {"weight": torch.zeros(2, 2)}),
}


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("name", SYMMETRIES)
def test_lines_fit_and_the_totals_are_there(name: str, width: int) -> None:
    symmetry = SYMMETRIES[name]()
    text = as_text(symmetry, width)
    assert max(map(cell_len, text.splitlines())) <= width
    totals = {
        "group dimension": symmetry.group_dim,
        "flat directions": symmetry.dim,
        "conserved quantities": symmetry.law_dim,
    }
    for label, number in totals.items():
        assert re.search(rf"{label} +{number:,}\b", text)
    assert f"{sum(p.numel for p in symmetry.parameters):,} parameters" in text


def test_a_row_shows_group_and_dimensions() -> None:
    family = Family(
        "a → b",
        GeneralLinear(4),
        (Port.along("a.weight", (4, 2), 0), Port.along("b.weight", (1, 4), 1, dual=True)),
        verified=True,
    )
    symmetry = Symmetry.of([family], {"a.weight": torch.zeros(4, 2), "b.weight": torch.zeros(1, 4)})
    # h = 4, two writers and one reader: 16 − 2·3 orbit dimensions, 10 − 1 laws.
    assert re.search(r"a → b +GL\(4\) +16 +10 +9 +exactly ✓", as_text(symmetry))


def test_str_is_the_summary() -> None:
    assert str(tower(2)) == as_text(tower(2), 100)


def test_alike_families_share_a_row_and_keep_their_sum() -> None:
    text = as_text(tower(40))
    assert re.search(r"blocks\.\{0…39\}: up → down +T₊\(7\) +×40 +280 +280 +280", text)
    assert text.count("blocks.") == 1


def test_few_families_are_not_grouped() -> None:
    text = as_text(tower(3))
    assert all(f"blocks.{k}: up → down" in text for k in range(3))


def test_names_that_are_too_long_take_two_lines_and_equal_columns_merge() -> None:
    text = as_text(tower(40, "model.transformer.encoder.layers.attention.feed_forward"), 60)
    assert "…feed_forward.{0…39}:" in text
    assert re.search(r"^    up → down", text, re.MULTILINE)
    assert "orbit" not in text
    assert max(map(cell_len, text.splitlines())) <= 60


def test_discrete_families_have_rows_of_their_own() -> None:
    symmetry = discover(MLP((3, 7, 2), "sigmoid"), (torch.randn(4, 3),))
    text = as_text(symmetry)
    assert "No continuous symmetry was found." in text
    assert re.search(r"layers\.0 → layers\.1 +S\(7\) +coordinates +5,040 +exactly ✓", text)
    assert re.search(r"discrete symmetries +5,040 +permutations and signs", text)
    assert re.search(r"random permutations and signs change the outputs by \de-1\d relative", text)
    unverified = discover(MLP((3, 7, 2), "tanh"), (torch.randn(4, 3),), verify=False)
    text = as_text(unverified)
    assert re.search(r"Z₂\^7 +signs +128 +unchecked", text)
    assert "random permutations" not in text


def test_discrete_families_of_repeated_blocks_share_a_row() -> None:
    symmetry = discover(MLP([5] * 15, "sigmoid"), (torch.randn(4, 5),), verify=False)
    assert re.search(
        r"layers\.\{0…12\} → layers\.\{1…13\} +S\(5\) +×13 +coordinates +10\^27",
        as_text(symmetry),
    )
    every = io.StringIO()
    print_summary(symmetry, Console(file=every, width=100), limit=None)
    assert every.getvalue().count("S(5)") == 13


def test_heads_are_permuted_as_blocks() -> None:
    ports = (
        Port.along("v", (6, 2), 0, torch.arange(6).reshape(1, 2, 3)),
        Port.along("o", (2, 6), 1, torch.arange(6).reshape(1, 2, 3), dual=True),
    )
    family = DiscreteFamily("v → o (permutations)", Permutations(2), ports)
    params = {"v": torch.zeros(6, 2), "o": torch.zeros(2, 6)}
    text = as_text(replace(Symmetry.of([], params), discrete=(family,)))
    assert re.search(r"v → o +S\(2\) +blocks of 3 +2 +unchecked", text)


def test_nonlinear_families_are_marked() -> None:
    bias, weight, out = Slot("a.bias"), Slot("b.weight"), Slot("b.bias")
    compensated = (Term(bias, "i->i"), Term(out, "i,oi->o", (Source(weight),), -1.0))
    families = [
        Family("a.bias", Translation(4), terms=(Term(bias, "i->i"),)),
        Family("a.bias → b.bias", Translation(4), terms=compensated),
        Family(
            "a → b",
            Orthogonal(4),
            (
                Port.along("a.bias", (4,), 0),
                Port.along("b.weight", (2, 4), 1, dual=True, frame=Frame("gain")),
            ),
        ),
    ]
    shapes = {"a.bias": (4,), "b.weight": (2, 4), "b.bias": (2,), "gain": (4,)}
    params = {name: torch.ones(shape) for name, shape in shapes.items()}
    text = as_text(Symmetry.of(families, params))
    # A constant shift has a law; one that depends on weights, or a turned gain, has none.
    assert re.search(r"a\.bias +R\^4 +shift +4 +4 +4 ", text)
    assert re.search(r"a\.bias → b\.bias +R\^4 +shift\* +4 +4 +– ", text)
    assert re.search(r"a → b +O\(4\) +through gains\* +6 +\d+ +– ", text)
    assert "* moves nonlinearly" in text
    assert "nonlinearly" not in as_text(Symmetry.of(families[:1], params))
    assert "moves" not in as_text(tower(3))


def test_rows_beyond_the_limit_are_counted() -> None:
    names = [f"{a}{b}" for a in "abcdef" for b in "uvwxyz"]
    params = {f"{n}.{side}": torch.zeros(s) for n in names for side, s in SIDES.items()}
    families = [scaling(n, f"{n}.up", f"{n}.down") for n in names]
    text = as_text(Symmetry.of(families, params))
    assert "… and 16 more families" in text
    assert "--all" in text


def test_barriers_look_different_from_no_symmetry() -> None:
    empty = SYMMETRIES["empty"]()
    none = as_text(empty)
    barred = as_text(
        replace(empty, barriers=(Barrier("cumsum", 3, ("a", "b", "c"), "no rule for this op"),))
    )
    assert "No continuous symmetry was found." in none
    assert "Every op was analysed." in none
    assert "Not analysed" not in none
    assert "Every op was analysed." not in barred
    assert "Not analysed" in barred
    assert "but not all ops were analysed" in barred
    assert re.search(r"cumsum +3 +a, b, \+1 more +no rule for this op", barred)
    assert "paramsym.register_rule" in barred
    assert "register_rule" not in none
    blocks = tuple(f"layers.{k}.mix" for k in range(24))
    text = as_text(replace(empty, barriers=(Barrier("cumsum", 24, blocks, "no rule"),)))
    assert re.search(r"cumsum +24 +layers\.\{0…23\}\.mix +no rule", text)


def test_frozen_parameters_take_the_laws_away() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    symmetry = discover(model, (torch.randn(2, 3),))
    assert [symmetry.laws_of(family) for family in symmetry] == [0]
    assert symmetry.law_dim == 0
    assert re.search(r"T₊\(5\) +5 +5 +– ", as_text(symmetry))
    assert "1 frozen tensor" in as_text(symmetry)


def test_mode_unused_and_verification_are_told() -> None:
    symmetry = replace(tower(1), mode="eval", mode_dependent=True, unused=("spare.weight",))
    text = as_text(symmetry, 200)
    assert "eval mode" in text
    assert "another function in training mode" in text
    assert "spare.weight" in text
    assert "changes the outputs by 1e-16" in text
    assert "derivative 2e-16" in text
    assert "bound 1e-12" in text


def test_unverified_is_not_silent() -> None:
    family = scaling("a → b", "a", "b")
    text = as_text(Symmetry.of([family], {"a": torch.zeros(7, 3), "b": torch.zeros(3, 7)}))
    assert re.search("laws +unchecked", text)
    assert "Unverified" in text
    assert "✓" not in text
    symmetry = tower(2)
    half = (replace(symmetry.families[0], verified=False), symmetry.families[1])
    mixed = as_text(replace(symmetry, families=half))
    assert "exactly, unchecked" in mixed
    assert "exactly ✓" in mixed


def test_exactness_in_the_limit_shows_the_measured_defect() -> None:
    limit = Exactness(as_eps_vanishes=True, defect=3e-5)
    family = replace(scaling("a → b", "a", "b"), exactness=limit, verified=True)
    symmetry = Symmetry.of([family], {"a": torch.zeros(7, 3), "b": torch.zeros(3, 7)})
    check = Verification(invariance=1e-16, derivative=None, tolerance=1e-12)
    text = as_text(replace(symmetry, verification=check))
    assert "as ε→0 ✓" in text
    assert "3e-05" in text
    assert "derivative" not in text


def test_withdrawn_families_are_loud() -> None:
    check = Verification(1e-16, None, 1e-12, withdrawn=("fc1 → fc2",))
    text = as_text(replace(tower(1), verification=check))
    assert "WITHDRAWN: 1 family failed the numerical check" in text
    assert "fc1 → fc2" in text


def test_lists_are_counted_and_paths_lose_their_middle() -> None:
    name = "layer2.0.bn2, layer2.0.downsample.1 → layer2.1.conv1, layer3.0.conv1, fc"
    assert shorten(name, 100) == name
    assert shorten(name, 40) == "layer2.0.bn2 +1 → layer2.1.conv1 +2"
    assert shorten("a.b, … 12 more …, z → a.c", 16) == "a.b +13 → a.c"
    assert shorten(name, 34) == "layer2.0.bn2 +1 → layer2…conv1 +2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a → b", "a → b"),
        ("m.0.attn.q → m.0.attn.k", "m.0.attn: q → k"),
        ("m.0.attn.q, m.0.norm → m.0.attn.k", "m.0: attn.q, norm → attn.k"),
        ("m.a, … 3 more …, m.b.c → m.d", "m: a, … 3 more …, b.c → d"),
        ("m.a → n.a", "m.a → n.a"),
        ("m.attn.qkv → m.attn.qkv", "m.attn: qkv → qkv"),
        ("m.a (scale)", "m: a (scale)"),
        ("m.0 (scale)", "m.0 (scale)"),
        ("m.a.weight (norm) #2", "m: a.weight (norm) #2"),
        ("a.bias (norm)", "a.bias (norm)"),
        ("m.a → m.b #2", "m: a → b #2"),
        ("layers.0 → layers.1", "layers.0 → layers.1"),
        ("m.layers.0.a → m.layers.1.b", "m: layers.0.a → layers.1.b"),
        ("m: a → b", "m: a → b"),
    ],
)
def test_a_shared_path_stands_in_front(name: str, expected: str) -> None:
    assert readable(name) == expected
    assert readable(name, mutual=True) == expected.replace(
        "→", "→" if name == expected and ":" in name else "↔"
    )


def test_queries_and_keys_read_each_other() -> None:
    queries = Port.along("q.weight", (8, 5), 0, copies=2)
    keys = Port.along("k.weight", (8, 5), 0, copies=2, dual=True)
    outputs = Port.along("o.weight", (5, 8), 1, copies=2, dual=True)
    group = GeneralLinear(4, 2)
    assert is_mutual(Family("q → k", group, (queries, keys)))
    assert not is_mutual(Family("q → o", group, (queries, outputs)))
    assert not is_mutual(Family("q", group, (queries,)))


@pytest.mark.parametrize(
    ("indices", "expected"),
    [([3], "3"), ([0, 2], "{0,2}"), ([9, 10, 11, 12], "{9…12}"), ([0, 2, 4, 6], "{0,2,…,6}")],
)
def test_indices_in_a_common_name(indices: list[int], expected: str) -> None:
    names = [f"blocks.{k}.fc → blocks.{k}.out" for k in indices]
    assert common_name(names) == f"blocks.{expected}.fc → blocks.{expected}.out"


@given(
    st.lists(st.text("ab.,0 →", min_size=1, max_size=30), min_size=1, max_size=4).map(" → ".join),
    st.integers(1, 60),
)
def test_a_shortened_name_fits(name: str, width: int) -> None:
    short = shorten(name, width)
    assert cell_len(short) <= width
    assert short == name or cell_len(name) > width
    wrapped = in_lines(readable(name), width + 8)
    assert max(map(cell_len, wrapped.split("\n"))) <= width + 8


def linear_tail(*, takes_up: bool = True) -> Symmetry:
    """Two linear layers without an activation between them."""
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 5, bias=takes_up), nn.Tanh())
    return discover(model, (torch.randn(2, 5),))


def test_a_linear_space_with_its_shift_is_one_row() -> None:
    symmetry = linear_tail()
    assert [str(family.group) for family in symmetry] == ["GL(4)", "R^4"]
    (row,) = joined_rows_of(symmetry)
    assert (row.group, row.group_dim, row.dim) == ("Aff(4)", 20, 20)
    assert row.laws == symmetry.law_dim
    assert "Aff(4)" in str(symmetry)
    assert "Aff(n) is GL(n) with the shift of the hidden bias" in str(symmetry)
    file = io.StringIO()
    print_summary(symmetry, Console(file=file, width=100, color_system=None), limit=None)
    assert "Aff" not in file.getvalue()
    assert "GL(4)" in file.getvalue()


def test_other_shifts_are_not_those_of_a_space() -> None:
    """A shift that the readers of the space do not pass on, one of another size, and none."""
    assert "Aff" not in str(linear_tail(takes_up=False))
    symmetry = linear_tail()
    space, shift = symmetry.families
    own, taken = shift.terms
    (source,) = taken.sources
    elsewhere = Source(replace(source.slot, parameter="0.weight"), source.power)
    others = [
        replace(shift, terms=(own,)),
        replace(shift, terms=(own, replace(taken, sources=(elsewhere,)))),
        replace(shift, terms=(replace(own, target=taken.target), taken)),
    ]
    assert affine_pairs([space, shift]) == {space: shift}
    for other in others:
        assert affine_pairs([space, other]) == {}
