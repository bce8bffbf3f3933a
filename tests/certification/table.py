"""`python -m tests.certification.table [NAME]...`: the certificates of the small zoo, as a table.

With `--long`, the certificates themselves. Exit code 1 if one is not complete.
"""

import sys
import warnings
from collections.abc import Iterable

from paramsym.certification import Certificate, certify
from tests.certification.models import MODELS, made

COLUMNS = ("parameters", "nullity", "found", "idle", "local", "extra")


def row(name: str, c: Certificate) -> str:
    counts = (c.parameters, c.nullity, c.rank, c.idle, c.local_dim, c.extra)
    return f"{name:18}{aligned(counts)}  {c.verdict}  (gap {c.kept:.0e} / {c.dropped:.0e})"


def aligned(entries: Iterable[object]) -> str:
    return "".join(f"{entry!s:>11}" for entry in entries)


def main(arguments: list[str]) -> int:
    long = "--long" in arguments
    names = [a for a in arguments if not a.startswith("-")] or list(MODELS)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        print(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}", file=sys.stderr)
        return 2
    print(f"{'model':18}{aligned(COLUMNS)}")
    complete = True
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                certificate = certify(*made(name))
        except ImportError as error:
            print(f"{name:18} skipped: {error}")
            continue
        complete &= certificate.verdict == "complete"
        print(row(name, certificate), flush=True)
        if long:
            print(certificate, flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
