"""Ordered lists of gitignore patterns, asked about one directory entry at a time.

pathspec translates each pattern. What it means is decided here, because pathspec's
GitIgnoreSpec decides about whole paths without a walk, and so treats directories
differently from git (``*`` with ``!*/`` drops every directory there). A walk that
does not enter what is dropped is simpler: of the patterns that match the entry
itself, not a directory above it, the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathspec import GitIgnoreSpec

# Patterns of these two shapes are matched by name alone, with one hash probe or one
# endswith() for all of them; nearly all patterns have one of them.
_NAME = re.compile(r"!?(?:\*\*/)?([\w.+@~$%=,-]+)", re.ASCII)
_SUFFIX = re.compile(r"!?(?:\*\*/)?\*([\w.+@~$%=,-]+)", re.ASCII)
_TRAILING_SPACE = re.compile(r"(?<!\\)\s+$")
_GROUP = re.compile(r"\(\?P<\w+>")
_GLOB = re.compile(r"[*?\[\\]")


class Rule:
    """One pattern: ``keeps`` if it begins with ``!``; ``text`` has its place too."""

    __slots__ = ("keeps", "of_directories", "search", "text")

    def __init__(
        self, text: str, regex: re.Pattern[str], *, keeps: bool, of_directories: bool
    ) -> None:
        self.text = text
        self.search = regex.search
        self.keeps = keeps
        self.of_directories = of_directories


class Patterns:
    """The lines of one ignore file, of which the last match wins.

    *source* names it in the rules' texts. A line that is no pattern is passed over,
    as git does; if *strict*, it raises ValueError, and lines have no numbers.
    """

    def __init__(
        self, lines: Iterable[str], source: str, *, strict: bool = False
    ) -> None:
        self.source = source
        self.rules: list[Rule] = []
        names: set[str] = set()
        suffixes: set[str] = set()
        others: list[str] = []
        for number, line in enumerate(lines, 1):
            text = f"{source}: {line}" if strict else f"{source}:{number}: {line}"
            # What is left of "a/**/" without its slash still says all of a's folders
            # and not a itself; pathspec's expression for the whole does not.
            body = _TRAILING_SPACE.sub("", line)
            of_directories = body.endswith("/")
            body = body.removesuffix("/")
            try:
                patterns = GitIgnoreSpec.from_lines([body]).patterns
            except ValueError as error:
                if strict:
                    raise ValueError(f"{text}: {error}") from error
                continue
            for pattern in patterns:
                if pattern.include is None or pattern.regex is None:
                    continue  # a comment
                self.rules.append(
                    Rule(
                        text,
                        pattern.regex,
                        keeps=not pattern.include,
                        of_directories=of_directories,
                    )
                )
                if name := _NAME.fullmatch(body):
                    names.add(name[1])
                elif suffix := _SUFFIX.fullmatch(body):
                    suffixes.add(suffix[1])
                else:
                    others.append(_GROUP.sub("(?:", pattern.regex.pattern))
        self.rules.reverse()
        self._names = names
        self._suffixes = tuple(suffixes)
        self._other = re.compile("|".join(others)).search if others else None

    def find(self, path: str, name: str, *, directory: bool) -> Rule | None:
        """Return the rule that decides about the entry *path*, or None.

        *path* is relative to the directory that the patterns are for, *name* its last
        component. The directories above it must have been asked about and kept.
        """
        if (
            name not in self._names
            and not name.endswith(self._suffixes)
            and (self._other is None or not self._other(path))
        ):
            return None
        for rule in self.rules:
            if directory or not rule.of_directories:
                match = rule.search(path)
                # The only group is the slash after a folder above that matched.
                if match and match.lastindex is None:
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
