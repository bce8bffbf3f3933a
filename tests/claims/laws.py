"""What the tests of claims share."""

import math
from types import ModuleType

from paramsym.claims import CLAIMS, Residual


def claims_of(*modules: ModuleType) -> list[str]:
    """Ids of the claims that are measured in these modules."""
    names = {module.__name__ for module in modules}
    return [id for id, claim in CLAIMS.items() if claim.measure.__module__ in names]


def require_documented(id: str, seed: int) -> None:
    """The verdict is the documented one and comes from finite numbers, in bounded time."""
    result = CLAIMS[id].check(seed)
    assert result.as_documented, (result.verdict, result.evidence)
    corrected = result.evidence.corrected
    for residual in [result.evidence.printed, *([corrected] if corrected else [])]:
        require_finite(residual)
    assert bool(corrected) == bool(result.claim.correction)
    assert result.seconds < 20


def require_finite(residual: Residual) -> None:
    """A residual that a reader can make sense of."""
    assert math.isfinite(residual.value)
    assert residual.value >= 0
    assert math.isfinite(residual.bound)
    assert residual.what
