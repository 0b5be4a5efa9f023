"""Pages: HTML that holds its data, its style and its script, and loads nothing."""

from __future__ import annotations

import html
import json
import os
import re
from base64 import b64encode
from hashlib import sha256
from typing import Protocol

from lazyimport.files import AtomicFile
from lazyimport.regular import replaceable

#: what would end the data's element, or begin another
_MARKUP = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


class Report(Protocol):
    """A value that a page shows."""

    def facts(self) -> object:
        """Return what the page is given: what JSON can say; tuples become arrays."""


def write_page(path: str, script: str, title: str, report: Report) -> None:
    """Write the page on which *script* draws *report*. Raises OSError."""
    page = render(script, title, report.facts())
    with AtomicFile(replaceable(path)) as file:
        file.write(page.encode())


def render(script: str, title: str, facts: object) -> str:
    """Return the page on which *script* of this package draws *facts*."""
    code = f"{_read('page.js')}\n{_read(script)}"
    digest = b64encode(sha256(code.encode()).digest()).decode()
    text = json.dumps(facts, separators=(",", ":"))
    parts = {
        "facts": text.translate(_MARKUP),
        "policy": f"'sha256-{digest}'",
        "script": code,
        "style": _read("page.css"),
        "title": html.escape(title),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    path = os.path.join(os.path.dirname(__file__), name)
    with open(path, encoding="utf-8") as file:
        return file.read()
