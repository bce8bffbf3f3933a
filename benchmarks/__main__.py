"""`python -m benchmarks [SUITE]... [--json FILE]`."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import paramsym
from benchmarks import (
    acting,
    certifying,
    counting,
    curving,
    data_dependent,
    descending,
    discovering,
    ensembling,
    flowing,
    initialising,
    minimising,
    targeting,
)
from benchmarks.timing import Comparison

SUITES: dict[str, Callable[[], Iterator[Comparison]]] = {
    "acting": acting.run,
    "discovering": discovering.run,
    "data_dependent": data_dependent.run,
    "counting": counting.run,
    "certifying": certifying.run,
    "initialising": initialising.run,
    "flowing": flowing.run,
    "descending": descending.run,
    "ensembling": ensembling.run,
    "curving": curving.run,
    "minimising": minimising.run,
    "targeting": targeting.run,
}


def main() -> int:
    """Run the suites named (all of them by default); 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="which (default: all)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    console = Console()
    found: list[Comparison] = []
    for name in options.suites or SUITES:
        with console.status(f"{name} …"):
            found += SUITES[name]()
    console.print(_table(found))
    if options.json is not None:
        versions = {"paramsym": paramsym.__version__, "torch": torch.__version__}
        machine = {"machine": platform.machine(), "threads": torch.get_num_threads()}
        results = [comparison.as_dict() for comparison in found]
        options.json.write_text(json.dumps({**versions, **machine, "results": results}, indent=1))
    return 0 if all(comparison.holds for comparison in found) else 1


def _table(found: list[Comparison]) -> Table:
    table = Table("ours / theirs", "ours", "theirs", "ratio", "promised")
    for comparison in found:
        row = comparison.as_dict()
        numbers = (row[f"{side}_{comparison.unit}"] for side in ("ours", "theirs"))
        times = (
            f"{1000 * x:.0f} ms" if comparison.unit == "seconds" else f"{x:.2f} {comparison.unit}"
            for x in numbers
        )
        promise = "" if comparison.limit is None else f"≤ {comparison.limit:g}"
        style = None if comparison.holds else "bold red"
        table.add_row(comparison.name, *times, f"{comparison.ratio:.2f}", promise, style=style)
    return table


if __name__ == "__main__":
    sys.exit(main())
