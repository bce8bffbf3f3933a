"""Reading pages back: well-formedness, outside references, repeated ids."""

import re
from html.parser import HTMLParser

_VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """What a page is made of; checks on the way that every element is closed in its place."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self._record(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._record(tag, attrs)

    def _record(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action") and value:
                self.references.append(value)
            if value:
                self.references += re.findall(r"url\(([^)]*)\)", value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], (tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.text += data


def require_self_contained(page: Page) -> None:
    """No reference leaves the page, every inner one has its target, and ids are unique."""
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        inner = reference.startswith("#") and reference[1:] in page.ids
        assert inner or reference.startswith("data:image/png;base64,"), reference
