"""How families act: order of letters, programs that read what moved, fused and large scalings.

Laws over many networks are in tests/laws; these are the cases that a law cannot single out.
"""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym import action
from tests.laws import dense
from tests.laws.measure import EPS, distance
from tests.laws.subject import normal
from tests.laws.subjects import subject


def symmetry_of(params: dict[str, Tensor], *families: ps.Family) -> ps.Symmetry:
    return ps.Symmetry.of(families, params)


def test_the_first_letter_acts_first(rng: torch.Generator) -> None:
    params = {"w": normal((2, 2), rng)}
    symmetry = symmetry_of(
        params,
        ps.Family("rows", ps.GeneralLinear(2), (ps.Port.along("w", (2, 2), 0),)),
        ps.Family("sum", ps.Translation(2), terms=(ps.Term(ps.Slot("w"), "i->ij"),)),
    )
    A, t = normal((2, 2), rng), normal((2,), rng)
    W = params["w"]
    rows_first = symmetry.act({"rows": A, "sum": t}, params)["w"]
    sum_first = symmetry.act({"sum": t, "rows": A}, params)["w"]
    assert (rows_first - (A @ W + t[:, None])).abs().max() <= 16 * EPS
    assert (sum_first - A @ (W + t[:, None])).abs().max() <= 16 * EPS
    assert (rows_first - sum_first).abs().max() > 0.1


def test_terms_read_parameters_as_they_are_then() -> None:
    """b += t, then c −= U b: the second term sees the shifted b."""
    params = {"b": torch.zeros(2).double(), "c": torch.zeros(2).double()}
    shift = (
        ps.Term(ps.Slot("b"), "i->i"),
        ps.Term(ps.Slot("c"), "i,i->i", (ps.Source(ps.Slot("b")),), -1.0),
    )
    symmetry = symmetry_of(params, ps.Family("f", ps.Translation(2), terms=shift))
    moved = symmetry.act({"f": torch.tensor([1.0, 2.0])}, params)
    assert moved["b"].tolist() == [1.0, 2.0]
    assert moved["c"].tolist() == [-1.0, -4.0]


def test_scalings_are_settled_before_they_are_read() -> None:
    """A program after a scaling must read the scaled parameter."""
    params = {"u": torch.ones(1, 2).double(), "c": torch.zeros(1).double()}
    scaling = ps.Family("scale", ps.PositiveScaling(2), (ps.Port.along("u", (1, 2), 1),))
    term = ps.Term(ps.Slot("c"), "i,oi->o", (ps.Source(ps.Slot("u")),))
    absorb = ps.Family("absorb", ps.Translation(2), terms=(term,))
    symmetry = symmetry_of(params, scaling, absorb)
    two = torch.tensor([2.0, 3.0])
    after = symmetry.act({"scale": two, "absorb": torch.ones(2)}, params)
    before = symmetry.act({"absorb": torch.ones(2), "scale": two}, params)
    assert (after["c"].item(), before["c"].item()) == (5.0, 2.0)
    assert after["u"].tolist() == before["u"].tolist() == [[2.0, 3.0]]


def test_writers_and_readers_of_one_parameter(rng: torch.Generator) -> None:
    """A recurrent matrix goes to g W g⁻¹."""
    recurrent = subject("linear recurrence")
    g = recurrent.symmetry.sample(0.5, generator=rng)
    moved = recurrent.symmetry.act(g, recurrent.params)["transition"]
    conjugated = g["state"] @ recurrent.params["transition"] @ torch.linalg.inv(g["state"])
    assert (moved - conjugated).abs().max() <= 64 * EPS * conjugated.abs().max()


@pytest.mark.parametrize("n", [1, 7])
def test_scalings_in_different_views_of_one_parameter(n: int, rng: torch.Generator) -> None:
    """Rows, columns, blocks and a whole: all at once, each view its own."""
    params = {"w": normal((6, 4), rng)}
    blocks = torch.arange(6).reshape(1, 2, 3)
    ports = {
        "rows": ps.Port.along("w", (6, 4), 0, degree=2.0),
        "columns": ps.Port.along("w", (6, 4), 1, dual=True),
        "blocks": ps.Port.along("w", (6, 4), 0, blocks, degree=0.5),
        "pair": ps.Port("w", (3, 2, 4), (0, 2), torch.arange(12).reshape(1, 12, 1)),
        "some": ps.Port.along("w", (6, 4), 1, torch.tensor([3, 1])),
        "whole": ps.Port.along("w", (6, 4), 0, torch.arange(6).reshape(1, 1, 6)),
    }
    families = [
        ps.Family(name, ps.PositiveScaling(port.index.shape[1]), (port,))
        for name, port in ports.items()
    ]
    symmetry = symmetry_of(params, *families)
    g = symmetry.identity()
    for _ in range(n):
        g = symmetry.sample(0.3, generator=rng) @ g
    fast, slow = symmetry.act(g, params), dense.act(symmetry, g, params)
    assert distance(fast, slow) <= 16 * EPS * len(g.names)


def test_large_parameters_in_blocks(rng: torch.Generator) -> None:
    """More entries than are multiplied at a time: the sums are those of one pass."""
    params = {"w": normal((700, 400), rng), "b": normal((700,), rng)}
    ports = (
        ps.Port.along("w", (700, 400), 0),
        ps.Port.along("b", (700,), 0),
    )
    readers = (ps.Port.along("w", (700, 400), 1, dual=True, degree=2.0),)
    symmetry = symmetry_of(
        params,
        ps.Family("rows", ps.PositiveScaling(700), ports),
        ps.Family("columns", ps.PositiveScaling(400), readers),
    )
    Q = symmetry.conserved(params)
    rows = params["w"].square().sum(1) + params["b"].square()
    columns = -2 * params["w"].square().sum(0)
    assert ((Q["rows"] - rows) / rows).abs().max() <= 700 * EPS
    assert ((Q["columns"] - columns) / columns).abs().max() <= 700 * EPS


def test_untouched_parameters_are_the_same_tensors(rng: torch.Generator) -> None:
    network = subject("deep leaky_relu")
    part = network.symmetry.select("fc0 → fc1")
    moved = part.act(part.sample(generator=rng), network.params)
    assert moved["fc3.weight"] is network.params["fc3.weight"]
    assert moved["fc0.weight"] is not network.params["fc0.weight"]
    field = action.tangent([(part.families[0], part.sample_algebra()["fc0 → fc1"])], network.params)
    assert set(field) == {"fc0.weight", "fc0.bias", "fc1.weight"}


def test_fields_add() -> None:
    """The tangent of two families on one parameter is the sum of theirs."""
    network = subject("deep identity")
    M = network.symmetry.sample_algebra(generator=torch.Generator().manual_seed(0))
    together = network.symmetry.tangent(M, network.params)["fc1.weight"]
    apart = sum(
        network.symmetry.tangent({name: M[name]}, network.params)["fc1.weight"] for name in M
    )
    assert (together - apart).abs().max() <= 8 * EPS * together.abs().max()


def test_frame_conjugates_by_the_gain(rng: torch.Generator) -> None:
    """A reader W behind a gain γ goes to W diag(γ) R⁻¹ diag(γ)⁻¹."""
    params = {"w": normal((2, 3), rng), "gain": normal((3,), rng)}
    reader = ps.Port.along("w", (2, 3), 1, dual=True, frame=ps.Frame("gain", 1.0))
    symmetry = symmetry_of(params, ps.Family("r", ps.Orthogonal(3), (reader,)))
    g = symmetry.sample(1.0, generator=rng, discrete=True)
    gain = torch.diag(params["gain"] + 1)
    expected = params["w"] @ gain @ g["r"].T @ torch.linalg.inv(gain)
    moved = symmetry.act(g, params)["w"]
    assert (moved - expected).abs().max() <= 64 * EPS * torch.linalg.cond(gain)


def test_per_copy_frames(rng: torch.Generator) -> None:
    """A gain may be one for all copies, or one each."""
    params = {"w": normal((6, 2), rng), "one": normal((3,), rng), "each": normal((6,), rng)}
    for gain in ("one", "each"):
        port = ps.Port.along("w", (6, 2), 0, copies=2, frame=ps.Frame(gain))
        symmetry = symmetry_of(params, ps.Family("r", ps.Orthogonal(3, 2), (port,)))
        g = symmetry.sample(1.0, generator=rng)
        slow = dense.act(symmetry, g, params)
        spread = params[gain].abs().max() / params[gain].abs().min()
        assert distance(symmetry.act(g, params), slow) <= 64 * EPS * float(spread)


def test_plain_parameters_load_nothing_distributed() -> None:
    """In a fresh process: the module of sharded tensors takes half a second to load."""
    code = """
import sys, torch, paramsym as ps
params = {"a": torch.randn(3, 4), "b": torch.randn(4, 2)}
ports = (ps.Port.along("a", (3, 4), 1), ps.Port.along("b", (4, 2), 0, dual=True))
symmetry = ps.Symmetry.of([ps.Family("a to b", ps.PositiveScaling(4), ports)], params)
symmetry.act(symmetry.sample(), params)
symmetry.act_(symmetry.sample(), params)
symmetry.tangent(symmetry.sample_algebra(), params)
symmetry.conserved(params)
print("torch.distributed.tensor" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
