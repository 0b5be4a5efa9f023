"""The rules that say of each file and directory whether it is packed.

Their order is in `lazyimport.packing.collect`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lazyimport.packing.config import Config
from lazyimport.packing.ignore import Patterns, anchored_prefix
from lazyimport.packing.sources import reason

_GITIGNORE = ".gitignore"
_OWN_IGNORE = ".lazyimportignore"
_BY_DEFAULT = "dropped by default"
_DROPPED_NAMES = frozenset(
    f"""
    .git .hg .svn .tox .nox .eggs .venv .mypy_cache .ruff_cache .pytest_cache
    .hypothesis .ipynb_checkpoints .idea .vscode .DS_Store __pycache__ node_modules
    {_OWN_IGNORE}
    """.split()
)
_DROPPED_SUFFIXES = (".swp", ".swo", "~")
_LOCK_FILE = ".#"  # of Emacs: a link to nowhere, as long as it edits a file
_BYTECODE_SUFFIXES = (".pyc", ".pyo")


class Verdict(NamedTuple):
    """What the rules say of an entry, and so of what lies in it.

    ``kept``: *include* matched it or a directory above it. ``dropped``: the text of
    the rule that drops it or a directory above it. ``junk``: dropped by default.
    """

    kept: bool = False
    dropped: str = ""
    junk: bool = False


class Directory(NamedTuple):
    """A directory of the walk."""

    location: str
    prefix: str  # the archive path of its root, "" or with a slash at the end
    inside: str  # its path below the root, "" or with a slash at the end
    reals: tuple[str, ...]  # the real paths of it and all above, up to the root
    ignores: tuple[_IgnoreFile, ...] = ()  # the strongest first
    installed: bool = False  # a directory above it has distributions
    verdict: Verdict = Verdict()


class _IgnoreFile(NamedTuple):
    """The patterns of an ignore file, and how they see a path below the root."""

    patterns: Patterns
    lead: str  # goes before the path: the file lies above the root
    cut: int  # so many characters of the path are left out: it lies below


class Rules:
    """The rules of one packing. What is wrong with them is added to *issues*."""

    def __init__(self, config: Config, issues: list[str]) -> None:
        self._issues = issues
        self._gitignore = config.gitignore
        self._exclude = self._configured(config.exclude, "exclude")
        self._include = self._configured(config.include, "include")
        # Where to look for what include keeps, in directories that are dropped.
        prefixes = [
            anchored_prefix(line) for line in config.include if not line.startswith("!")
        ]
        self._keeps_anywhere = None in prefixes
        self._keeps_in = [prefix for prefix in prefixes if prefix is not None]

    def judge(
        self, above: Directory, name: str, beside: Mapping[str, object], *, folder: bool
    ) -> Verdict:
        """Return the verdict on the entry *name* of the directory *above*.

        *beside* has the names in there; *folder* says whether it is a directory.
        """
        path = above.inside + name
        kept, dropped, _ = above.verdict
        junk = (
            name in _DROPPED_NAMES
            or name.endswith(_DROPPED_SUFFIXES)
            or name.startswith(_LOCK_FILE)
            or (name.endswith(_BYTECODE_SUFFIXES) and name[:-1] in beside)
        )
        if self._include.rules:
            rule = self._include.find(above.prefix + path, name, directory=folder)
            if rule is not None:
                kept = not rule.keeps
                junk = junk and not kept
        if junk or not (dropped or (kept and not folder)):
            rule = self._exclude.find(above.prefix + path, name, directory=folder)
            for patterns, lead, cut in above.ignores if rule is None else ():
                rule = patterns.find(lead + path[cut:], name, directory=folder)
                if rule is not None:
                    break
            if rule is not None and rule.keeps:
                junk = False
            elif rule is not None:
                dropped = dropped or rule.text
        return Verdict(kept, dropped, junk)

    def look_into(self, path: str, verdict: Verdict) -> Verdict | None:
        """Return the verdict on what is in a dropped directory; None: it stays out.

        Include may keep something there. *path* is that of the archive.
        """
        kept, dropped, junk = verdict
        parts = path.split("/")
        if (self._keeps_anywhere and not junk) or any(
            all(a == b for a, b in zip(prefix, parts, strict=False))
            and (not junk or len(prefix) >= len(parts))
            for prefix in self._keeps_in
        ):
            return Verdict(kept, dropped or _BY_DEFAULT)
        return None

    def enter(
        self, directory: Directory, found: Mapping[str, os.DirEntry[str]]
    ) -> Directory:
        """Return *directory*, whose entries are *found*, with what holds in it."""
        inside = directory.inside
        installed = directory.installed or any(n.endswith(".dist-info") for n in found)
        above = () if installed and not inside else directory.ignores
        shown = directory.prefix + inside
        own, git = (
            [
                _IgnoreFile(patterns, "", len(inside))
                for name in names
                if name in found and found[name].is_file()
                if (patterns := self._read(found[name].path, shown + name))
            ]
            for names in (
                [_OWN_IGNORE],
                [_GITIGNORE] if self._gitignore and not installed else [],
            )
        )
        # .lazyimportignore before .gitignore, and in each the deeper before the higher.
        split = sum(level.patterns.source.endswith(_OWN_IGNORE) for level in above)
        ignores = (*own, *above[:split], *git, *above[split:])
        return directory._replace(ignores=ignores, installed=installed)

    def above(self, place: str) -> tuple[_IgnoreFile, ...]:
        """Return the .gitignore files from a root up to the top of its repository.

        There are none if they drop the root itself.
        """
        repository = _repository(place) if self._gitignore else None
        if repository is None:
            return ()
        parts = place.removeprefix(repository).strip("/").split("/")
        levels: list[_IgnoreFile] = []
        for depth, name in enumerate(parts):
            location = os.path.join(repository, *parts[:depth], _GITIGNORE)
            if os.path.isfile(location):
                shown = "../" * (len(parts) - depth) + _GITIGNORE
                if patterns := self._read(location, shown):
                    lead = "/".join(parts[depth:]) + "/"
                    levels.insert(0, _IgnoreFile(patterns, lead, 0))
            for level in levels:
                start = len(parts) - level.lead.count("/")
                path = "/".join(parts[start : depth + 1])
                rule = level.patterns.find(path, name, directory=True)
                if rule is not None:
                    if not rule.keeps:
                        return ()
                    break
        return tuple(levels)

    def _read(self, location: str, shown: str) -> Patterns | None:
        """Return the patterns of an ignore file, or None if there are none."""
        try:
            with open(location, "rb") as file:
                text = file.read().decode("utf-8-sig", "surrogateescape")
        except OSError as error:
            self._issues.append(f"{location} cannot be read: {reason(error)}")
            return None
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        patterns = Patterns(lines, shown)
        return patterns if patterns.rules else None

    def _configured(self, lines: Iterable[str], source: str) -> Patterns:
        try:
            return Patterns(lines, source, strict=True)
        except ValueError as error:
            self._issues.append(str(error))
            return Patterns((), source)


def _repository(place: str) -> str | None:
    """Return the top of the git repository that *place* lies in, None if it is that."""
    folder = place
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return None if folder == place else folder
