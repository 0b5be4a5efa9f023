"""The rules that say of each file and directory whether it is packed.

Their order is in `lazyimport.packing.collect`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lazyimport import git
from lazyimport.packing.config import Config
from lazyimport.packing.ignore import Patterns, Rule, anchored_prefix
from lazyimport.packing.names import directories_of
from lazyimport.packing.sources import reason
from lazyimport.regular import open_regular

_GITIGNORE = ".gitignore"
_OWN_IGNORE = ".lazyimportignore"
BY_DEFAULT = "dropped by default"
DROPPED = frozenset(
    f"""
    .git .hg .svn .tox .nox .eggs .venv .mypy_cache .ruff_cache .pytest_cache
    .hypothesis .ipynb_checkpoints .idea .vscode .DS_Store __pycache__ node_modules
    {_OWN_IGNORE}
    """.split()
)
#: Of editors and of network file systems, as long as somebody edits a file: locks,
#: which are links to nowhere or sockets, and copies. And archives of our own.
_DROPPED = re.compile(
    r"\.#.*|#.*#|\.~lock\..*|.*~|.*\.(?:sw[a-p]|kate-swp|lza)|\.nfs\w{8,}"
)
_BYTECODE_SUFFIXES = (".pyc", ".pyo")
_LARGEST = 1 << 18  # bytes of an ignore file


class Verdict(NamedTuple):
    """What the rules say of an entry, and so of what lies in it.

    ``kept``: *include* matched it or a directory above it, ``named``: it itself.
    ``dropped``: the text of the rule that drops it or a directory above it. ``junk``:
    dropped by default. ``ignored``: the text of the rule of a .gitignore file that
    drops what lies in it, except for what git tracks.
    """

    kept: bool = False
    dropped: str = ""
    junk: bool = False
    ignored: str = ""
    named: bool = False


class Directory(NamedTuple):
    """A directory of the walk."""

    location: str
    prefix: str  # the archive path of its root, "" or with a slash at the end
    inside: str  # its path below the root, "" or with a slash at the end
    reals: tuple[str, ...]  # the real paths of it and all above, up to the root
    repository: Repository
    ignores: tuple[_IgnoreFile, ...] = ()  # the strongest first
    installed: bool = False  # a directory above it has distributions
    guarded: bool = False  # nobody but the tree's author vouches for what is in it
    verdict: Verdict = Verdict()


class Repository:
    """What git tracks in the folder at *location*, *inside* below the root.

    git is asked when a .gitignore file is about to drop something. Why it does not
    answer is added to *warnings*, where there is a repository.
    """

    def __init__(self, location: str, inside: str, warnings: list[str]) -> None:
        self._location = location
        self._cut = len(inside)
        self._warnings = warnings
        self._names: set[str] | None = None

    def tracks(self, path: str) -> bool:
        """Whether git tracks the file at *path* below the root, or one in it."""
        if self._names is None:
            files = self._ask()
            self._names = {*files, *directories_of(files)}
        return path[self._cut :] in self._names

    def _ask(self) -> list[str]:
        try:
            process = git.ask(self._location, "ls-files", "-z", "--cached")
            return os.fsdecode(git.answer(process)).split("\0")
        except OSError as error:
            if _top_of_repository(self._location):
                self._warnings.append(
                    f"git does not say what it tracks in {self._location} ({error}), "
                    "so all that .gitignore files name is left out"
                )
            return []


class _IgnoreFile(NamedTuple):
    """The patterns of an ignore file, and how they see a path below the root."""

    patterns: Patterns
    of_git: bool
    lead: str  # goes before the path: the file lies above the root
    cut: int  # characters of the path to leave out: the file lies below the root


class Rules:
    """The rules of one packing. What is wrong with them is added to *issues*."""

    def __init__(self, config: Config, issues: list[str], warnings: list[str]) -> None:
        self._issues = issues
        self._warnings = warnings
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
        kept, dropped, _, ignored, named = above.verdict._replace(named=False)
        junk = (
            name in DROPPED
            or _DROPPED.fullmatch(name) is not None
            or (name.endswith(_BYTECODE_SUFFIXES) and name[:-1] in beside)
        )
        if self._include.rules:
            rule = self._include.find(above.prefix + path, name, directory=folder)
            if rule is not None:
                kept = named = not rule.keeps
                junk = junk and not kept
        if junk or not (dropped or (kept and not folder)):
            rule, of_git = self._find(above, path, name, folder=folder)
            if rule is not None and rule.keeps:
                junk = False
                ignored = ignored if of_git else ""
            elif rule is not None and of_git:
                ignored = ignored or rule.text
            elif rule is not None:
                dropped = dropped or rule.text
        if ignored and not (kept or dropped or junk):
            if not above.repository.tracks(path):
                dropped = ignored
            elif not folder:
                ignored = ""
        return Verdict(kept, dropped, junk, ignored, named)

    def _find(
        self, above: Directory, path: str, name: str, *, folder: bool
    ) -> tuple[Rule | None, bool]:
        rule = self._exclude.find(above.prefix + path, name, directory=folder)
        if rule is not None:
            return rule, False
        for patterns, of_git, lead, cut in above.ignores:
            rule = patterns.find(lead + path[cut:], name, directory=folder)
            if rule is not None:
                return rule, of_git
        return None, False

    def look_into(self, path: str, verdict: Verdict) -> Verdict | None:
        """Return the verdict on what is in a dropped directory; None: it stays out.

        Include may keep something there. *path* is that of the archive.
        """
        parts = path.split("/")
        if (self._keeps_anywhere and not verdict.junk) or any(
            all(a == b for a, b in zip(prefix, parts, strict=False))
            and (not verdict.junk or len(prefix) >= len(parts))
            for prefix in self._keeps_in
        ):
            dropped = verdict.dropped or BY_DEFAULT
            return verdict._replace(dropped=dropped, junk=False)
        return None

    def enter_root(self, place: str, prefix: str, *, guarded: bool) -> Directory:
        """Return the directory at *place*, a root whose archive path is *prefix*.

        The .gitignore files above it, up to the top of its repository, hold in it,
        unless they drop the root itself.
        """
        real = os.path.realpath(place)
        repository = Repository(real, "", self._warnings)
        directory = Directory(place, prefix, "", (real,), repository, guarded=guarded)
        top = _top_of_repository(real) if self._gitignore else None
        if top is None or top == real:
            return directory
        parts = real.removeprefix(top).strip("/").split("/")
        levels: list[_IgnoreFile] = []
        for depth, name in enumerate(parts):
            location = os.path.join(top, *parts[:depth], _GITIGNORE)
            if os.path.isfile(location):
                shown = "../" * (len(parts) - depth) + _GITIGNORE
                if patterns := self._read(location, shown):
                    lead = "/".join(parts[depth:]) + "/"
                    levels.insert(0, _IgnoreFile(patterns, True, lead, 0))
            for level in levels:
                start = len(parts) - level.lead.count("/")
                path = "/".join(parts[start : depth + 1])
                rule = level.patterns.find(path, name, directory=True)
                if rule is not None:
                    if not rule.keeps:
                        return directory
                    break
        return directory._replace(ignores=tuple(levels))

    def enter(
        self, directory: Directory, found: Mapping[str, os.DirEntry[str]]
    ) -> Directory:
        """Return *directory*, whose entries are *found*, with what holds in it."""
        inside, repository, verdict = (
            directory.inside,
            directory.repository,
            directory.verdict,
        )
        installed = directory.installed or any(n.endswith(".dist-info") for n in found)
        above = directory.ignores
        if installed and not inside:
            above = ()
        elif ".git" in found and inside:  # another repository: git begins anew
            above = tuple(level for level in above if not level.of_git)
            repository = Repository(directory.location, inside, self._warnings)
            verdict = verdict._replace(ignored="")
        ignores = list(above)
        names = {_GITIGNORE: True} if self._gitignore and not installed else {}
        for name, of_git in {**names, _OWN_IGNORE: False}.items():
            if name in found and found[name].is_file(follow_symlinks=False):
                shown = directory.prefix + inside + name
                if patterns := self._read(found[name].path, shown):
                    ignores.insert(0, _IgnoreFile(patterns, of_git, "", len(inside)))
        # .lazyimportignore before .gitignore, and in each the deeper before the higher.
        ignores.sort(key=lambda level: level.of_git)
        return directory._replace(
            ignores=tuple(ignores),
            installed=installed,
            repository=repository,
            verdict=verdict,
        )

    def _read(self, location: str, shown: str) -> Patterns | None:
        try:
            with open(location, "rb", opener=open_regular) as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            self._issues.append(f"{location} cannot be read: {reason(error)}")
            return None
        if len(data) > _LARGEST:
            self._issues.append(
                f"{location} has more than {_LARGEST:,} bytes, too many for patterns; "
                "shorten it, or pack with --no-gitignore"
            )
        text = data.decode("utf-8-sig", "surrogateescape")
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        patterns = Patterns(lines, shown)
        return patterns if patterns.rules else None

    def _configured(self, lines: Iterable[str], source: str) -> Patterns:
        try:
            return Patterns(lines, source, strict=True)
        except ValueError as error:
            self._issues.append(str(error))
            return Patterns((), source)


def _top_of_repository(folder: str) -> str | None:
    """Return the top of the git repository that *folder* lies in, None without one."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder
