"""What a claim is, and what a measurement says of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import torch


class Verdict(StrEnum):
    """What the measurements say of a statement."""

    HOLDS = "holds"
    CORRECTED = "holds after correction"
    WRONG = "wrong"


@final
@dataclass(frozen=True)
class Residual:
    """How far a statement was from being true, over all draws.

    Attributes:
        value: The largest residual.
        bound: What it is held against: a rounding bound, or a count of exceptions of 0.
        what: What was measured, in words: `largest |⟨∇L, M·θ⟩| / ‖∇L‖‖M·θ‖, 24 draws`.
    """

    value: float
    bound: float
    what: str

    @property
    def holds(self) -> bool:
        """Whether it is within the bound; a NaN is not."""
        return self.value <= self.bound


@final
@dataclass(frozen=True)
class Evidence:
    """What the measurement of one claim found.

    Attributes:
        printed: The residual of the statement as printed.
        corrected: The residual of the corrected statement, where there is one.
    """

    printed: Residual
    corrected: Residual | None = None

    @property
    def verdict(self) -> Verdict:
        """Decided by the residuals alone.

        Raises:
            ValueError: If the printed statement holds but its correction does not, which no
                sensible pair of statements does.
        """
        if self.printed.holds:
            if self.corrected is not None and not self.corrected.holds:
                raise ValueError("the statement holds as printed, but its correction fails.")
            return Verdict.HOLDS
        if self.corrected is not None and self.corrected.holds:
            return Verdict.CORRECTED
        return Verdict.WRONG


Measure = Callable[[torch.Generator], Evidence]


@final
@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and how to test it.

    Attributes:
        id: Short name, for the command line: `thm-3.3-gl`.
        reference: Where it stands in the paper: `Theorem 3.3, C.4`.
        statement: As printed.
        correction: What holds instead; empty where the statement holds or nothing of it does.
        documented: The verdict that the documentation gives.
        measure: Measures it with a given source of randomness, in float64.
    """

    id: str
    reference: str
    statement: str
    correction: str
    documented: Verdict
    measure: Measure

    def check(self, seed: int = 0) -> "Result":
        """Measure the claim."""
        start = time.perf_counter()
        evidence = self.measure(torch.Generator().manual_seed(seed))
        return Result(self, evidence, evidence.verdict, time.perf_counter() - start)


@final
@dataclass(frozen=True)
class Result:
    """A claim with its verdict.

    Attributes:
        claim: The claim.
        evidence: What was measured.
        verdict: What follows.
        seconds: How long it took.
    """

    claim: Claim
    evidence: Evidence
    verdict: Verdict
    seconds: float

    @property
    def as_documented(self) -> bool:
        """Whether the verdict is the one in the documentation."""
        return self.verdict is self.claim.documented


CLAIMS: dict[str, Claim] = {}
"""Every claim by its id, in the order of the paper."""


def claim(
    id: str, reference: str, statement: str, *, documented: Verdict, correction: str = ""
) -> Callable[[Measure], Measure]:
    """Register a measurement as that of a claim.

    Raises:
        ValueError: If the id is taken.
    """

    def register(measure: Measure) -> Measure:
        if id in CLAIMS:
            raise ValueError(f"there is a claim {id!r} already.")
        CLAIMS[id] = Claim(id, reference, statement, correction, documented, measure)
        return measure

    return register
