"""Pages hold all that they show, and what others wrote is text in them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from lazyimport.report.page import render
from tests.report.conftest import HOSTILE


class Elements(HTMLParser):
    """The elements of a page, with the text in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def test_what_others_wrote_is_neither_markup_nor_a_part_of_the_template() -> None:
    texts = [HOSTILE, "</script><script>alert(1)</script>", "{{script}}", "<!--", "\0"]
    texts += ["\udcff", "\\u003c", "é"]
    plain = Elements(render("archive.js", "A", {"files": []}))
    page = Elements(render("archive.js", f"A {HOSTILE}", texts))

    assert [tag for tag, _ in plain.found] == [tag for tag, _ in page.found]
    data = [attributes.get("type") for _, attributes in page.found]
    assert texts == json.loads(page.texts[data.index("application/json") + 1])


@pytest.mark.parametrize("script", ["archive.js", "rollout.js"])
def test_a_page_refers_to_nothing_outside_it(script: str) -> None:
    page = render(script, "A", {})

    assert "default-src 'none'" in page
    assert [] == re.findall(r"\b(?:src|href)=|@import|url\(|\bfetch\(|import\(", page)
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\"' ]+", page))
