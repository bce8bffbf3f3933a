"""Tables whose rows a buffer names: every run reads them at the same places, as a parameter that is
added. Where data name them, or this run alone, nothing is known of single rows."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from tests.discover.cases import Case, check
from tests.discover.checking import Net, assert_sound, generic, groups, without_eps

D, PLACES = 4, 3
SEQUENCES = ((60, PLACES - 1, 5),)
TOKEN = "token → table.weight"


def tower_with(
    places: Callable[[Net], Any], order: list[int], rows: int = PLACES, **parts: Tensor
) -> Net:
    """A class token with one axis in front of patches, places added to all, and a LayerNorm."""

    def run(net: Net, x: Tensor) -> Any:
        tokens = torch.cat([net.token.expand(len(x), 1, -1), net.patch(x)], 1)
        tokens = net.norm(tokens + net.table(places(net)))
        return net.out(torch.tanh(torch.tanh(tokens).sum(1)))

    return Net(
        run,
        token=nn.Parameter(torch.zeros(D)),
        patch=nn.Linear(5, D, bias=False),
        table=nn.Embedding(rows, D),
        order=torch.tensor([order]),
        norm=nn.LayerNorm(D),
        out=nn.Linear(D, 2),
        **parts,
    )


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_class_token_against_the_row_beside_it(order: list[int]) -> None:
    # Scales of the token with its row, and of all else. Means of the token, of the three rows and
    # of the five columns of the patches. The token against its row, but for the mean.
    families = {"T₊(1)": 2, "R^1": 1, "R^3": 2, "R^5": 1}
    model = lambda: tower_with(lambda net: net.order, order)  # noqa: E731
    symmetry = check(Case("buffer", model, SEQUENCES, families))
    (family,) = (f for f in symmetry if f.name == TOKEN)
    params = {k: p.detach() for k, p in model().named_parameters()}
    shift = torch.tensor([1.0, -2.0, 1.0, 0.0])
    moved = symmetry.act({family.name: shift}, params)["table.weight"] - params["table.weight"]
    rows = moved.abs().sum(1).nonzero()[:, 0].tolist()
    assert rows == [order[0]]


def numbered(net: Net) -> Any:
    return torch.arange(PLACES)[None]


def sliced(net: Net) -> Any:
    return net.order[:, :PLACES]


def computed(net: Net) -> Any:
    return net.order + 0


def written(net: Net) -> Any:
    net.order.remainder_(PLACES)
    return net.order


@pytest.mark.parametrize("places", [numbered, computed, written])
def test_places_of_this_run_alone_are_data(places: Callable[[Net], Any]) -> None:
    model = generic(tower_with(places, [0, 1, 2]))
    args = (torch.randn(60, PLACES - 1, 5, dtype=torch.float64),)
    symmetry = ps.discover(model, args)
    assert groups(symmetry) == Counter({"T₊(1)": 1, "R^1": 1, "R^3": 1, "R^5": 1})
    assert_sound(without_eps(model), args, symmetry)


def test_a_buffer_longer_than_the_run_is_data() -> None:
    model = generic(tower_with(sliced, [0, 1, 2, 3], rows=4))
    args = (torch.randn(60, PLACES - 1, 5, dtype=torch.float64),)
    symmetry = ps.discover(model, args)
    assert TOKEN not in {f.name for f in symmetry}
    assert_sound(without_eps(model), args, symmetry)


@pytest.mark.parametrize("order", [[0, 1, 1], [0, 0, 0], [3, 0, 1]])
def test_rows_that_stand_twice_or_never(order: list[int]) -> None:
    model = generic(tower_with(lambda net: net.order, order, rows=4))
    args = (torch.randn(60, PLACES - 1, 5, dtype=torch.float64),)
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert_sound(without_eps(model), args, symmetry)
    # A row that is never read moves with all others or not at all.
    assert (TOKEN in {f.name for f in symmetry}) == (len(set(order)) == len(order))
