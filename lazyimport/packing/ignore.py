"""Ordered lists of gitignore patterns, asked about one directory entry at a time.

A walk does not enter what is dropped. So of the patterns that match the entry itself,
not a directory above it, the last one counts.

Anybody may have written the patterns, and the names. So a pattern becomes an
expression without a choice: what stands between two stars is matched at the first
place where it fits, which is enough, and no other place is tried. The standard
library's `fnmatch` does the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

from lazyimport.values import shown

_GLOB = re.compile(r"[*?\[\\]")
_LONGEST = 4096  # characters of a pattern; a path has no more
#: Pieces of a pattern: stars, a class of characters, another character.
_PIECE = re.compile(
    r"(?P<stars>\*+)"
    r"|\[(?P<negated>[!^]?)(?P<members>\]?(?:\[:\w+:\]|\\.|[^\\\]])*)\]"
    r"|\\(?P<escaped>.)|(?P<plain>[^\\\[])",
    re.DOTALL,
)
_MEMBER = re.compile(r"\[:(\w+):\]|\\?(.)(?:-\\?([^\]]))?", re.DOTALL)
_NAMED = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_groups = itertools.count()


class Rule:
    """One pattern: ``keeps`` if it begins with ``!``; ``text`` has its place too.

    Where ``of_path``, its ``expression`` is for the path of an entry, else for the
    last component of that.
    """

    __slots__ = ("expression", "keeps", "of_directories", "of_path", "text")

    def __init__(self, line: str, text: str) -> None:
        """Raise ValueError if *line*, which is not empty, is no pattern."""
        self.text = text
        self.keeps = line.startswith("!")
        body = line[self.keeps :]
        # What is left of "a/**/" without its slash still says all of a's folders
        # and not a itself.
        self.of_directories = body.endswith("/")
        body = body.removesuffix("/")
        if body.startswith("**/") and "/" not in body[3:]:
            body = body[3:]
        self.of_path = "/" in body
        if not body or len(body) > _LONGEST:
            raise ValueError("not a pattern")
        parts = body.removeprefix("/").split("/")
        self.expression = _of_path(parts) if self.of_path else _of_name(body)

    def matches(self, path: str, name: str) -> bool:
        """Whether it matches the entry *path*, whose last component is *name*."""
        text = path if self.of_path else name
        return re.fullmatch(self.expression, text, re.DOTALL) is not None


class Patterns:
    """The lines of one ignore file, of which the last match wins.

    *source* names it in the rules' texts. A line that is no pattern is passed over,
    as git does; if *strict*, it raises ValueError, and lines have no numbers.
    """

    def __init__(
        self, lines: Iterable[str], source: str, *, strict: bool = False
    ) -> None:
        self.rules: list[Rule] = []
        for number, line in enumerate(lines, 1):
            place = source if strict else f"{source}:{number}"
            text = f"{place}: {shown(line)}"
            body = line.rstrip(" ")
            if body.endswith("\\") and len(body) < len(line):
                body += " "
            if not body or body.startswith("#"):
                continue
            try:
                self.rules.append(Rule(body, text))
            except ValueError as error:
                if strict:
                    raise ValueError(f"{text}: {error}") from error
        self.rules.reverse()
        self._name = self._any_of(of_path=False)
        self._path = self._any_of(of_path=True)

    def _any_of(self, *, of_path: bool) -> Callable[[str], object]:
        known = (rule.expression for rule in self.rules if rule.of_path == of_path)
        return re.compile("|".join(known) or "(?!)", re.DOTALL).fullmatch

    def find(self, path: str, name: str, *, directory: bool) -> Rule | None:
        """Return the rule that decides about the entry *path*, or None.

        *path* is relative to the directory that the patterns are for, *name* its last
        component. The directories above it must have been asked about and kept.
        """
        if not (self._name(name) or self._path(path)):
            return None
        for rule in self.rules:
            if (directory or not rule.of_directories) and rule.matches(path, name):
                return rule
        return None


def anchored_prefix(line: str) -> list[str] | None:
    """Return the directories that every match of *line* lies in, None for any."""
    body = line.strip().removeprefix("!")
    if "/" not in body.rstrip("/"):
        return None
    folders = body.strip("/").split("/")[:-1]
    for place, folder in enumerate(folders):
        if _GLOB.search(folder):
            return folders[:place]
    return folders


def _of_path(parts: list[str]) -> str:
    blocks: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            blocks.append([])
        else:
            blocks[-1].append(_of_name(part))
    first, *rest = ("/".join(block) for block in blocks)
    if not rest:
        return first
    *middle, last = rest
    texts = [f"{first}/"] if first else []
    texts += [_settled(f"(?:[^/]+/)*?{block}/") for block in middle if block]
    return "".join(texts) + (f"(?:[^/]+/)*{last}" if last else ".+")


def _of_name(part: str) -> str:
    """Return the expression for one component; ValueError if none can match it."""
    pieces = [""]  # what stands between stars
    end = 0
    for piece in _PIECE.finditer(part):
        if piece.start() != end:
            break
        end = piece.end()
        if piece["stars"]:
            pieces.append("")
        elif piece["plain"] == "?":
            pieces[-1] += "[^/]"
        elif piece["members"] is not None:
            pieces[-1] += _class(piece["members"], piece["negated"])
        else:
            pieces[-1] += re.escape(piece["escaped"] or piece["plain"])
    if end != len(part) or not part:
        raise ValueError("not a pattern")
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = rest
    settled = [_settled(f"[^/]*?{text}") for text in middle if text]
    return "".join([first, *settled, f"[^/]*{last}"])


def _class(members: str, negated: str) -> str:
    """Return the expression for ``[members]``; ValueError if none is known."""
    texts = []
    for named, first, last in _MEMBER.findall(members):
        if named:
            if named not in _NAMED:
                raise ValueError(f"not a class of characters: {named}")
            texts.append(_NAMED[named])
        elif not last:
            texts.append(re.escape(first))
        elif first <= last:
            texts.append(f"{re.escape(first)}-{re.escape(last)}")
    body = "".join(texts)
    if negated:
        return f"[^/{body}]"
    return f"(?!/)[{body}]" if body else "(?!)"


def _settled(expression: str) -> str:
    """Return *expression* as one that matches at the first place or not at all.

    Python 3.11 writes ``(?>...)`` for it.
    """
    name = f"g{next(_groups)}"
    return f"(?=(?P<{name}>{expression}))(?P={name})"
