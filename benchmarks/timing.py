"""Side-by-side timing: two ways run in turn, in one process, so that both meet the same noise."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Times of ours and of what it is held against, in seconds.

    Attributes:
        name: What is compared.
        ours: Times of our runs; infinite where one failed.
        theirs: Times of the other's runs, pair by pair; or what was promised.
        limit: Largest ratio that we promise; `None` where nothing is promised.
        unit: `"seconds"`, or `"GB"` where memory is compared.
    """

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    limit: float | None
    unit: str = "seconds"

    @property
    def ratio(self) -> float:
        """Median of the pairwise ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def holds(self) -> bool:
        return self.limit is None or self.ratio <= self.limit

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            f"ours_{self.unit}": statistics.median(self.ours),
            f"theirs_{self.unit}": statistics.median(self.theirs),
            "ratio": self.ratio,
            "limit": self.limit,
            "pairs": len(self.ours),
        }


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    pairs: int,
    limit: float | None,
    warm_up: bool = True,
) -> Comparison:
    """Run both `pairs` times, in turn."""
    if warm_up:
        theirs()
        ours()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for run, found in zip((theirs, ours), times, strict=True):
            start = time.perf_counter()
            run()
            found.append(time.perf_counter() - start)
    return Comparison(name, tuple(times[1]), tuple(times[0]), limit)
