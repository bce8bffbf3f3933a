"""Ports and terms: rows, fused spreads, adjoints, and what they refuse."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import paramsym as ps
from paramsym.rows import row_dots, rows_of
from tests.laws import dense
from tests.laws.measure import EPS
from tests.laws.subject import normal


@st.composite
def ports(draw: st.DrawFn) -> ps.Port:
    """Any port: some rows of one or two axes, dealt to copies and coordinates in any order."""
    view = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axes = draw(st.permutations(range(len(view))))[: draw(st.integers(1, min(2, len(view))))]
    rows = 1
    for axis in axes:
        rows *= view[axis]
    order = draw(st.permutations(range(rows)))
    copies = draw(st.integers(1, rows))
    n = draw(st.integers(1, rows // copies))
    multiplicity = draw(st.integers(1, rows // (copies * n)))
    index = torch.tensor(order[: copies * n * multiplicity]).reshape(copies, n, multiplicity)
    return ps.Port("w", view, tuple(sorted(axes)), index)


def numbers(port: ps.Port) -> Tensor:
    """Distinct entries, 0, 1, 2, …"""
    size = int(torch.tensor(port.view).prod())
    return torch.arange(size, dtype=torch.float64).reshape(port.view)


@given(port=ports())
def test_put_undoes_rows(port: ps.Port) -> None:
    tensor = numbers(port)
    assert torch.equal(port.put(tensor, port.rows(tensor)), tensor)
    assert port.rows(tensor).shape == (*port.index.shape[:2], port.width)


@given(port=ports())
def test_spread_scales_rows(port: ps.Port) -> None:
    copies, n, _ = port.index.shape
    scales = torch.arange(2.0, 2.0 + copies * n, dtype=torch.float64).reshape(copies, n)
    tensor = numbers(port)
    fast = tensor * port.spread(scales, 1.0)
    slow = port.put(tensor, scales[:, :, None] * port.rows(tensor))
    assert torch.equal(fast, slow)
    matrix = dense.on_entries(port, torch.diag_embed(scales), {"w": tensor}, 1.0)
    assert torch.equal(fast.flatten(), matrix @ tensor.flatten())


@given(port=ports(), seed=st.integers(0, 2**16))
def test_collect_is_the_adjoint_of_spread(port: ps.Port, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    left, right = normal(port.view, rng), normal(port.view, rng)
    scales = normal(tuple(port.index.shape[:2]), rng)
    collected = port.collect(row_dots([port], {"w": left}, {"w": right})[rows_of(port)])
    assert collected.shape == scales.shape
    paired = (left * right * port.spread(scales, 0.0)).sum()
    bound = 16 * EPS * left.numel() * left.norm() * right.norm() * scales.norm()
    assert ((collected * scales).sum() - paired).abs() <= bound


@pytest.mark.parametrize("transform", ["grad", "grad of grad", "vmap", "jvp"])
def test_first_use_inside_a_transform(transform: str, rng: torch.Generator) -> None:
    params = {"w": normal((3, 5), rng)}
    port = ps.Port.along("w", (3, 5), 1, torch.tensor([4, 1]))
    symmetry = ps.Symmetry.of([ps.Family("f", ps.PositiveScaling(2), (port,))], params)
    g = symmetry.sample(generator=rng)

    def energy(p: dict[str, Tensor]) -> Tensor:
        return symmetry.act(g, p)["w"].square().sum()

    match transform:
        case "grad":
            torch.func.grad(energy)(params)
        case "grad of grad":
            torch.func.grad(lambda p: torch.func.grad(energy)(p)["w"].sum())(params)
        case "vmap":
            torch.func.vmap(energy)({"w": params["w"].expand(2, 3, 5)})
        case _:
            torch.func.jvp(energy, (params,), (params,))
    # Nothing made inside the transform was kept.
    again = torch.func.grad(energy)(params)["w"]
    expected = dense.act(symmetry, g, dense.act(symmetry, g, params))["w"]
    assert (again - 2 * expected).abs().max() <= 16 * EPS * expected.abs().max()


def test_along_counts_axes_from_the_end() -> None:
    assert ps.Port.along("w", (2, 3), -1) == ps.Port.along("w", (2, 3), 1)


def test_along_deals_rows_to_copies() -> None:
    port = ps.Port.along("w", (6, 2), 0, copies=2)
    assert port.index.tolist() == [[[0], [1], [2]], [[3], [4], [5]]]
    assert (port.multiplicity, port.width) == (1, 2)


def test_ports_compare_by_value() -> None:
    port = ps.Port.along("w", (4, 2), 0)
    same = ps.Port.along("w", (4, 2), 0, torch.arange(4))
    other = ps.Port.along("w", (4, 2), 0, torch.tensor([1, 0, 2, 3]))
    assert port == same
    assert hash(port) == hash(same)
    assert port != other
    assert port != replace(port, dual=True)
    assert port != "port"


@pytest.mark.parametrize(
    ("axes", "index", "message"),
    [
        ((0,), torch.arange(3), r"'w'.*int64 index \[copies, n, multiplicity\].*\[3\]"),
        ((0,), torch.ones(1, 3, 1), r"int64 index.*float32"),
        (
            (),
            torch.zeros(1, 1, 1).long(),
            r"axes of its view \(3, 2\), in increasing order; got \(\)",
        ),
        ((2,), torch.zeros(1, 1, 1).long(), r"axes of its view.*got \(2,\)"),
        ((0, 0), torch.zeros(1, 1, 1).long(), r"increasing order; got \(0, 0\)"),
        ((1, 0), torch.zeros(1, 1, 1).long(), r"increasing order; got \(1, 0\)"),
        ((0,), torch.arange(4).reshape(1, 4, 1), r"rows 0 to 2 .*got 0 to 3"),
        ((0,), torch.arange(-1, 1).reshape(1, 2, 1), r"rows 0 to 2 .*got -1 to 0"),
        ((0,), torch.zeros(1, 2, 1).long(), r"once at most; rows are repeated"),
    ],
)
def test_invalid_ports(axes: tuple[int, ...], index: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ps.Port("w", (3, 2), axes, index)


@pytest.mark.parametrize(
    ("term", "translation"),
    [
        (ps.Term(ps.Slot("b"), "i->i"), (4,)),
        (ps.Term(ps.Slot("b", ((1, 3),)), "i->i", coefficient=-2.0), (2,)),
        (ps.Term(ps.Slot("w"), "o->oi"), (3,)),
        (ps.Term(ps.Slot("w"), "i->oi"), (4,)),
        (ps.Term(ps.Slot("w", (None, (0, 2))), "o,i->oi", (ps.Source(ps.Slot("v"), -1),)), (3,)),
        (ps.Term(ps.Slot("v"), "i,oi->o", (ps.Source(ps.Slot("w", ((0, 2), None))),)), (4,)),
        (ps.Term(ps.Slot("v"), "a->o"), (1,)),
        (
            ps.Term(
                ps.Slot("b"),
                "o,oi,i->i",
                (ps.Source(ps.Slot("w")), ps.Source(ps.Slot("b"), -1, 1.0)),
            ),
            (3,),
        ),
    ],
    ids=lambda x: getattr(x, "equation", ""),
)
def test_terms_against_loops(
    term: ps.Term, translation: tuple[int, ...], rng: torch.Generator
) -> None:
    params = {"w": normal((3, 4), rng), "b": normal((4,), rng), "v": normal((2,), rng) + 3}
    t = normal(translation, rng)
    target = params[term.target.parameter]
    change = term.change(t, params)
    slow = dense.change(term, t, params)
    fast = term.target.add(target, change) - target
    assert (fast - slow).abs().max() <= 64 * EPS * (1 + slow.abs().max() + target.abs().max())
    assert change.shape == term.target.within(target.shape)
    # The adjoint of the change, in the translation.
    covector = normal(tuple(change.shape), rng)
    share = term.adjoint(covector, params)
    bound = 64 * EPS * covector.norm() * change.norm()
    assert ((share * t).sum() - (covector * change).sum()).abs() <= bound


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (ps.Term(ps.Slot("v"), "i,oi->o"), r"'i,oi->o' on 'v'.*translation and 0 sources.*got 2"),
        (ps.Term(ps.Slot("v"), "i->o", (ps.Source(ps.Slot("w")),)), r"1 sources; got 1 operands"),
        (ps.Term(ps.Slot("w"), "i->io"), r"'io' does not fit shape \(3, 4\)"),
        (ps.Term(ps.Slot("v"), "ij->o"), r"'ij' does not fit shape \(4,\)"),
        (ps.Term(ps.Slot("b", ((0, 9),)), "i->i"), r"block \(\(0, 9\),\) is not inside 'b'"),
        (
            ps.Term(ps.Slot("w", ((0, 1),)), "i->oi"),
            r"block .* is not inside 'w' of shape \(3, 4\)",
        ),
    ],
)
def test_invalid_terms(term: ps.Term, message: str, rng: torch.Generator) -> None:
    params = {"w": normal((3, 4), rng), "b": normal((4,), rng), "v": normal((2,), rng)}
    family = ps.Family("f", ps.Translation(4), terms=(term,))
    with pytest.raises(ValueError, match=message):
        ps.Symmetry.of([family], params)


@given(port=ports(), transposed=st.booleans())
def test_rows_are_written_in_place_as_they_are_put(port: ps.Port, transposed: bool) -> None:
    tensor = numbers(port)
    if transposed:  # in memory, not in its axes
        tensor = tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor
    rows = -1 - port.rows(tensor)
    expected = port.put(tensor, rows)
    assert port.writes_into(tensor)
    port.write_(tensor, rows)
    assert torch.equal(tensor, expected)
    assert torch.equal(port.rows(tensor), rows)


@given(port=ports())
def test_a_part_has_the_rows_of_fewer_columns(port: ps.Port) -> None:
    tensor = numbers(port)
    for axis in set(range(tensor.ndim)) - set(port.whole_axes(tuple(tensor.shape))):
        for size in range(tensor.shape[axis] + 1):
            part = tensor.narrow(axis, 0, size)
            own = port.on_part(tuple(part.shape), tuple(tensor.shape))
            assert own.index.equal(port.index)
            assert (
                own.rows(part).sum()
                == port.put(torch.zeros_like(tensor), port.rows(tensor)).narrow(axis, 0, size).sum()
            )


def test_invalid_source() -> None:
    with pytest.raises(ValueError, match=r"source 'g' must have power 1, -1 or -0.5; got 2"):
        ps.Source(ps.Slot("g"), 2)


def test_a_slot_writes_its_block_alone() -> None:
    tensor = torch.zeros(3, 4)
    slot = ps.Slot("w", ((1, 2), (2, 4)))
    moved = slot.add(tensor, torch.ones(1, 2))
    assert moved.sum() == 2
    assert torch.equal(slot.read({"w": moved}), torch.ones(1, 2))
    assert tensor.sum() == 0


def test_a_source_is_a_power_of_a_shifted_parameter() -> None:
    params = {"g": torch.tensor([1.0, 3.0])}
    assert ps.Source(ps.Slot("g"), -1, 1.0).read(params).tolist() == [0.5, 0.25]
    assert ps.Source(ps.Slot("g")).read(params).tolist() == [1.0, 3.0]
