"""Pages: HTML that holds its data, its style and its script, and loads nothing."""

from __future__ import annotations

import html
import json
import os
import re
from base64 import b64encode
from hashlib import sha256

#: what would end the data's element, or begin another
_MARKUP = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def render(script: str, title: str, facts: object) -> str:
    """Return the page on which *script* of this package draws *facts*.

    These are what JSON can say; tuples become arrays.
    """
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
