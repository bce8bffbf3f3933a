"""Every claim comes out as documented, whatever the draws."""

import math

import pytest

from paramsym.claims import CLAIMS


def check(id: str, seed: int) -> None:
    result = CLAIMS[id].check(seed)
    evidence = result.evidence
    assert result.as_documented, (id, evidence)
    assert bool(evidence.corrected) == bool(result.claim.correction)
    for residual in (evidence.printed, evidence.corrected):
        if residual is not None:
            assert math.isfinite(residual.value)
            assert math.isfinite(residual.bound)
            assert residual.what


@pytest.mark.parametrize("id", CLAIMS)
def test_as_documented(id: str) -> None:
    check(id, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("id", CLAIMS)
def test_as_documented_with_other_draws(id: str, seed: int) -> None:
    check(id, seed)
