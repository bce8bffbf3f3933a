"""Claims of Section 4 and Appendices D and I."""

import pytest
import torch
from torch import Tensor

from paramsym.claims import (
    CLAIMS,
    Verdict,
    batches,
    data_dependence,
    ensembles,
    rotations,
)
from paramsym.claims.sampling import normal, size


def test_printed_entries_have_rank_one_where_all_tails_vanish() -> None:
    z = torch.tensor([1.2, 0, 0, 0], dtype=torch.float64)
    assert int(torch.linalg.matrix_rank(rotations.printed_frame(z))) == 1
    assert int(torch.linalg.matrix_rank(rotations.frame(z))) == 4


@pytest.mark.parametrize("h", [1, 2, 4, 8])
def test_multiplication_keeps_norms(h: int) -> None:
    rng = torch.Generator().manual_seed(h)
    x, y = normal(rng, h), normal(rng, h)
    product = rotations.multiplication(x) @ y
    torch.testing.assert_close(size(product), size(x) * size(y))


def test_sedenions_do_not() -> None:
    """No such multiplication exists for h = 16; Cayley–Dickson goes on and loses the norm."""
    rng = torch.Generator().manual_seed(0)
    x, y = normal(rng, 16), normal(rng, 16)
    product = rotations.multiplication(x) @ y
    assert abs(size(product) / (size(x) * size(y)) - 1) > 1e-3


def test_a_wrong_frame_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def bent(z: Tensor) -> Tensor:
        R = rotations.frame(z).clone()
        R[0, -1] += 1e-6 * size(z)
        return R

    monkeypatch.setattr(data_dependence, "FRAMES", (bent,))
    for id in ("thm-4.1", "thm-d.4", "eq-9"):
        assert CLAIMS[id].check().verdict is Verdict.WRONG


@pytest.mark.parametrize("fault", ["index", "last layer"])
def test_half_a_correction_of_d5_is_not_accepted(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = data_dependence.act_on_deep

    def wrong(
        net: data_dependence.Layers, g: list[Tensor], x: Tensor, *, printed: bool = False
    ) -> data_dependence.Layers:
        moved = right(net, g, x, printed=printed or fault == "index")
        if fault == "index":
            return [*moved[:-1], right(net, g, x)[-1]]
        return [*moved[:-1], net[-1]]

    monkeypatch.setattr(data_dependence, "act_on_deep", wrong)
    assert CLAIMS["prop-d.5"].check().verdict is Verdict.WRONG


def test_a_cocycle_that_is_none_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def smallest_change(sigma: batches.Activation, g: Tensor, Z: Tensor) -> Tensor:
        unit = torch.eye(len(Z), dtype=Z.dtype)
        return unit + (sigma(g @ Z) - sigma(Z)) @ torch.linalg.pinv(sigma(Z))

    monkeypatch.setattr(batches, "batch_cocycle", smallest_change)
    assert CLAIMS["lemma-d.6"].check().verdict is Verdict.WRONG
    monkeypatch.setattr(ensembles, "batch_cocycle", smallest_change)
    assert CLAIMS["eq-112"].check().verdict is Verdict.WRONG


def test_a_wrong_lipschitz_constant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    halved = tuple((sigma, eta / 2) for sigma, eta in data_dependence.LIPSCHITZ)
    monkeypatch.setattr(data_dependence, "LIPSCHITZ", halved)
    assert CLAIMS["prop-4.2"].check().verdict is Verdict.WRONG


def test_the_pseudo_inverse_figures() -> None:
    """tanh, h = 32, g = I + 0.3 M: exact up to k = 32 and not behind."""
    rng = torch.Generator().manual_seed(0)
    left: dict[int, float] = {}
    for k in (16, 32, 33, 256):
        H, g = normal(rng, 32, k), ensembles.near_identity(rng, 0.3)
        value, moved = torch.tanh(H), torch.tanh(g @ H)
        left[k] = size(ensembles.pseudo_inverse(torch.tanh, g, H) @ moved - value) / size(value)
    assert max(left[16], left[32]) < 1e-10
    assert 0.01 < left[33] < 0.3
    assert 0.4 < left[256] < 0.7
