"""Claims of Sections 3.2, 3.3 and C.6."""

import pytest
import torch
from torch import Tensor

from paramsym.claims import CLAIMS, Verdict, orbits
from paramsym.claims.sampling import LEAKY, Equivariant
from paramsym.groups import GeneralLinear, Group, Orthogonal, PositiveScaling


@pytest.mark.parametrize("group", [GeneralLinear, PositiveScaling, Orthogonal])
def test_closed_forms_of_the_library(group: type[Group]) -> None:
    rng = torch.Generator().manual_seed(0)
    for shape in orbits.GRID[::7]:
        family = orbits.family(group(shape[1]), shape)
        assert family.dim == orbits.orbit(group, shape, orbits.draw(shape, rng)), shape


def test_published_counts() -> None:
    """How many of the 225 shapes the printed dimensions are wrong at."""
    for id, count in (("thm-3.3-scaling", 130), ("thm-3.3-orthogonal", 105)):
        assert CLAIMS[id].check().evidence.printed.value == count


def test_dimensions_at_a_full_rank_point_that_is_not_generic() -> None:
    shape = (1, 3, 1)
    rng = torch.Generator().manual_seed(0)
    assert orbits.orbit(PositiveScaling, shape, orbits.normal_form(shape)) == 1
    assert orbits.orbit(PositiveScaling, shape, orbits.draw(shape, rng)) == 3


RIGHT = orbits.orthogonal_dim


@pytest.mark.parametrize(
    "formula",
    [orbits.printed_orthogonal_dim, lambda n, h, m: RIGHT(n, h, m) + (h == n + m + 2)],
    ids=["the printed one", "off by one where h = n + m + 2"],
)
def test_a_wrong_correction_is_not_accepted(
    formula: orbits.Formula, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orbits, "orthogonal_dim", formula)
    assert CLAIMS["thm-3.3-orthogonal"].check().verdict is Verdict.WRONG


def test_a_wrong_dimension_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orbits, "general_linear_dim", lambda _n, h, _m: h * h)
    assert CLAIMS["prop-c.3"].check().verdict is Verdict.WRONG


def test_an_action_that_is_no_symmetry_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def sigma(z: Tensor) -> Tensor:
        return LEAKY[0].sigma(z) + 0.01 * torch.tanh(z)

    wrong = Equivariant("not homogeneous", sigma, PositiveScaling)
    monkeypatch.setattr(orbits, "LEAKY", (wrong, wrong, wrong))
    monkeypatch.setattr(orbits, "EQUIVARIANT", (wrong,))
    assert CLAIMS["prop-3.2-critical"].check().verdict is Verdict.WRONG
    assert CLAIMS["eq-26"].check().verdict is Verdict.WRONG


def test_minima_and_saddles_are_both_drawn() -> None:
    what = CLAIMS["prop-3.2-minimum"].check().evidence.printed.what
    minima = int(what.split("; ")[1].split()[0])
    assert 5 <= minima <= 16
