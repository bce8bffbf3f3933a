"""Claims of Sections 3.3 and 3.4, C.4 and C.5."""

import pytest
import torch

from paramsym.claims import CLAIMS, Verdict, equivariances, infinitesimal
from paramsym.claims.sampling import EQUIVARIANT, LEAKY, Equivariant, normal
from paramsym.groups import GeneralLinear, Orthogonal


@pytest.mark.parametrize("pair", EQUIVARIANT, ids=lambda pair: pair.name)
def test_generators_belong_to_elements(pair: Equivariant) -> None:
    rng = torch.Generator().manual_seed(0)
    g, represented = pair.draw(rng, 4)
    M, differential = pair.draw_generator(rng, 4)
    z = normal(rng, 4, 5)
    torch.testing.assert_close(pair.sigma(g @ z), represented @ pair.sigma(z))
    step = 1e-6
    moved = pair.sigma(torch.linalg.matrix_exp(step * M) @ z)
    rate = (moved - pair.sigma(torch.linalg.matrix_exp(-step * M) @ z)) / (2 * step)
    torch.testing.assert_close(rate, differential @ pair.sigma(z), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        Equivariant("leaky relu under O(h)", LEAKY[0].sigma, Orthogonal),
        Equivariant("tanh under GL", torch.tanh, GeneralLinear),
        Equivariant("relu of degree 2", LEAKY[1].sigma, LEAKY[1].group, 2.0),
    ],
    ids=lambda pair: pair.name,
)
def test_a_wrong_equivariance_is_noticed(
    wrong: Equivariant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equivariances, "EQUIVARIANT", (*EQUIVARIANT, wrong))
    monkeypatch.setattr(equivariances, "HOMOGENEOUS", (wrong,))
    assert CLAIMS["eq-4-if"].check().verdict is Verdict.WRONG
    assert CLAIMS["ex-3.3"].check().verdict is Verdict.WRONG


def test_a_wrong_differential_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Equivariant("relu of degree 2", LEAKY[1].sigma, LEAKY[1].group, 2.0)
    monkeypatch.setattr(infinitesimal, "HOMOGENEOUS", (wrong,))
    assert CLAIMS["eq-25"].check().verdict is Verdict.WRONG
    assert CLAIMS["ex-c.4"].check().verdict is Verdict.WRONG
