"""An extension of griffe, which reads docstrings for the site: they become Markdown.

Docstrings have definition lists and literal blocks as reStructuredText has them.
"""

from __future__ import annotations

import re

from griffe import Extension, Object

#: a term in code, and the indented lines below it
_TERM = re.compile(r"^(``[^\n]*``)\n((?:    [^\n]*\n?)+)", re.MULTILINE)
_LITERAL = re.compile(r"(\S?)( *)::$", re.MULTILINE)


class Markdown(Extension):
    """Rewrites the docstring of each object."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """Return a docstring with lists and code blocks as Markdown has them."""
    text = _LITERAL.sub(lambda match: f"{match[1]}:" if match[1] else "", text)
    return _TERM.sub(lambda match: f"- {match[1]}: {match[2].lstrip()}", text)
