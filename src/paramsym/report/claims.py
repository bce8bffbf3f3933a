"""A self-contained HTML page of the paper's claims and what was measured of them."""

from collections.abc import Sequence
from pathlib import Path

import paramsym
from paramsym.claims import Result, Verdict
from paramsym.files import write_text
from paramsym.report.html import render


def claims_page(results: Sequence[Result], out: Path, *, seed: int, force: bool = False) -> Path:
    """Write a page of verdicts with statements, corrections and residuals.

    Args:
        results: What was measured.
        out: The HTML file.
        seed: Seed of the draws, for the record.
        force: Replace the file if it exists.

    Returns:
        `out`.

    Raises:
        FileExistsError: If `out` exists and `force` is not set.
        FileNotFoundError: If its folder does not exist.
    """
    counts = {verdict: sum(r.verdict is verdict for r in results) for verdict in Verdict}
    return write_text(
        Path(out),
        render(
            "claims.html.j2",
            title="The paper's claims, measured",
            results=results,
            counts=counts,
            otherwise=[r for r in results if not r.as_documented],
            seconds=sum(r.seconds for r in results),
            seed=seed,
            version=paramsym.__version__,
        ),
        force=force,
    )
