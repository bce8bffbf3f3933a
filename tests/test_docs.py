"""The documentation is true: its code runs, its links lead somewhere, its citations exist."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from paramsym.discovery.ops import RULES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])

# The code of cli.md is files that its commands read; tests/test_cli.py runs both.
WITH_CODE = [page for page in PAGES if "```python" in page.read_text() and page.name != "cli.md"]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def fenced(text: str) -> Iterator[tuple[str, int, str]]:
    """(language, line, content) of every fenced block."""
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield block[1], text.count("\n", 0, block.start(2)), block[2]


def prose(text: str) -> str:
    """The text without its fenced blocks, in which `[…](…)` is code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)


def anchor(heading: str) -> str:
    """The name that a heading has in a link, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def lines(text: str) -> list[str]:
    """Lines that say something, with rounding errors, which differ between machines, masked."""
    masked = re.sub(r"\de-\d\d", "#", text)
    return [line.rstrip() for line in masked.splitlines() if line.strip()]


def is_excerpt(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(line in rest for line in part)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, and all global state as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    rules, dtype = dict(RULES), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_default_dtype(dtype)
    RULES.clear()
    RULES.update(rules)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_code_runs(page: Path) -> None:
    """Every Python block of a page, in order and in one namespace, as a reader would paste them.

    A `text` block that follows shows lines that the block before it prints.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for language, line, code in fenced(page.read_text()):
        if language == "python":
            with redirect_stdout(io.StringIO()) as output:
                # The line numbers of a traceback are those of the page.
                exec(compile("\n" * line + code, str(page), "exec"), namespace)
            printed = output.getvalue()
        elif language == "text":
            assert is_excerpt(lines(code), lines(printed)), f"{page}:{line}: printed {printed}"


def test_there_is_code() -> None:
    found = Counter(name_of(page) for page in PAGES for kind, *_ in fenced(page.read_text())
                    if kind == "python")  # fmt: skip
    assert found["docs/guide.md"] > 10
    assert found["docs/adding-an-op.md"] > 2
    assert found["docs/derivations.md"] > 2


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = prose(page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, section = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        if section:
            assert section in map(anchor, headings(linked.read_text())), (
                f"{target}: no such heading"
            )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_tests_named_exist(page: Path) -> None:
    """`src/….py`, `tests/….py` and `tests/….py::test_…` in code font."""
    for path, test in re.findall(r"`((?:src|tests)/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
        assert (ROOT / path).is_file(), f"{path} does not exist"
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path} has no {test}"


def test_citations_in_the_source_exist() -> None:
    """`docs/….md`, or `docs/….md §3` where a page numbers its sections."""
    cited = 0
    for source in SOURCES:
        for name, section in re.findall(r"docs/([\w-]+\.md)(?: §(\d+))?", source.read_text()):
            page = ROOT / "docs" / name
            assert page.is_file(), f"{name_of(source)} cites docs/{name}, which does not exist"
            numbers = [heading.partition(".")[0] for heading in headings(page.read_text())]
            assert not section or section in numbers, f"{name_of(source)}: docs/{name} §{section}"
            cited += 1
    assert cited > 4
