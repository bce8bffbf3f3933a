"""Verdicts follow from residuals and their bounds, and from nothing else."""

import math
from pathlib import Path

import pytest
import torch

from paramsym.claims import CLAIMS, Claim, Evidence, Residual, Verdict
from paramsym.claims.claim import claim


def residual(value: float) -> Residual:
    return Residual(value, 1e-12, "a residual")


@pytest.mark.parametrize(
    ("printed", "corrected", "verdict"),
    [
        (1e-15, None, Verdict.HOLDS),
        (1e-12, None, Verdict.HOLDS),
        (1e-15, 1e-15, Verdict.HOLDS),
        (1e-3, 1e-15, Verdict.CORRECTED),
        (1e-3, None, Verdict.WRONG),
        (1e-3, 1e-4, Verdict.WRONG),
        (math.nan, None, Verdict.WRONG),
        (math.nan, 0.0, Verdict.CORRECTED),
        (1e-3, math.nan, Verdict.WRONG),
    ],
)
def test_verdict(printed: float, corrected: float | None, verdict: Verdict) -> None:
    given = None if corrected is None else residual(corrected)
    assert Evidence(residual(printed), given).verdict is verdict


def test_a_correction_worse_than_the_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="holds as printed, but its correction fails"):
        _ = Evidence(residual(0.0), residual(1.0)).verdict


def test_a_claim_is_measured_with_its_seed() -> None:
    def measure(rng: torch.Generator) -> Evidence:
        return Evidence(residual(float(torch.rand((), generator=rng))))

    made = Claim("some", "Section 0", "a statement", "", Verdict.HOLDS, measure)
    first, again, other = made.check(1), made.check(1), made.check(2)
    assert first.evidence == again.evidence != other.evidence
    assert first.verdict is Verdict.WRONG
    assert not first.as_documented
    assert first.seconds >= 0


def test_an_id_is_taken_once() -> None:
    id = next(iter(CLAIMS))
    with pytest.raises(ValueError, match=f"a claim '{id}' already"):
        claim(id, "", "", documented=Verdict.HOLDS)(CLAIMS[id].measure)


def test_corrections_are_documented() -> None:
    """Every claim that does not hold as printed is explained in docs/corrections.md."""
    root = Path(__file__).parents[2]
    text = (root / "docs" / "corrections.md").read_text(encoding="utf-8")
    words = set(text.replace("`", " ").split())
    for known in CLAIMS.values():
        if known.documented is not Verdict.HOLDS:
            assert known.id in words, f"docs/corrections.md says nothing of {known.id}"


def test_claims_say_what_they_correct() -> None:
    """A claim that is corrected has a correction in words; one that holds has none."""
    for known in CLAIMS.values():
        assert known.statement
        assert known.reference
        assert bool(known.correction) or known.documented is not Verdict.CORRECTED, known.id
        assert known.id == known.id.lower().replace(" ", "-")
