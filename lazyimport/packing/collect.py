"""Which files of a tree go into an archive, and under which paths.

:func:`collect` takes folders and files and returns a :class:`Tree`, or one
PackError with everything that speaks against packing them. It reads names and
metadata, not contents; :meth:`SourceFile.read` does that later and refuses a file
that has changed in between.

Roots. A folder with an ``__init__.py`` goes in as a package under its own name,
the contents of another folder go in at the top, like those of an entry of
``sys.path``, and so does a single file. Several roots are merged.

Rules, from the weakest to the strongest; each has gitignore's syntax and meaning,
and what a rule drops is not walked:

1. Dropped by default: version control and tools (``.git``, ``.hg``, ``.svn``,
   ``.tox``, ``.nox``, ``.eggs``, ``.mypy_cache``, ``.ruff_cache``,
   ``.pytest_cache``, ``.hypothesis``, ``.ipynb_checkpoints``, ``.idea``,
   ``.vscode``, ``node_modules``), virtual environments (``.venv``, and any folder
   with a ``pyvenv.cfg``), ``__pycache__``, a ``.pyc`` or ``.pyo`` beside its source,
   ``.DS_Store``, ``.lazyimportignore``, and editors' ``*.swp``, ``*.swo`` and ``*~``.
   ``build``, ``dist`` and ``venv`` are packages on PyPI or in the standard library
   and stay, unless a rule says otherwise. ``*.dist-info`` and ``*.egg-info`` stay,
   and so does a ``.pyc`` without source.
2. ``.gitignore`` files, if the configuration does not say ``gitignore = false``:
   those in the tree, and those above it up to the root of its git repository. Not
   in a folder that holds ``*.dist-info`` (there they came with somebody's wheel),
   and those above not for a root that they ignore as a whole, since somebody
   named it.
3. ``.lazyimportignore`` files in the tree.
4. ``exclude`` of the configuration, on archive paths.
5. ``include`` of the configuration, on archive paths: what matches stays, with all
   that lies in it except what is dropped by default.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import unicodedata
from typing import NamedTuple

from lazyimport.errors import PackError
from lazyimport.format.digest import sha256
from lazyimport.packing.ignore import Patterns, anchored_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from lazyimport.packing.config import Config

__all__ = ["SourceFile", "Tree", "collect"]

DROPPED_NAMES = frozenset(
    (
        ".DS_Store",
        ".eggs",
        ".git",
        ".hg",
        ".hypothesis",
        ".idea",
        ".ipynb_checkpoints",
        ".lazyimportignore",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        ".vscode",
        "__pycache__",
        "node_modules",
    )
)
DROPPED_SUFFIXES = (".swp", ".swo", "~")
BYTECODE_SUFFIXES = (".pyc", ".pyo")
PYTHON_SUFFIXES = (".py", ".pyc", ".pyw", ".so", ".pyd")
GITIGNORE = ".gitignore"
OWN_IGNORE = ".lazyimportignore"
SHOWN_ISSUES = 20

_UNUSUAL = re.compile(r"[^ -\[\]-~]")  # a backslash, a control character, not ASCII
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")

Signature = tuple[int, int, int, int, int]


class SourceFile(NamedTuple):
    """One file to pack.

    ``path`` is where it goes in the archive, ``location`` where it lies, absolute;
    ``signature`` is its size, mtime and ctime in nanoseconds, inode and device as
    they were when it was collected.
    """

    path: str
    location: str
    executable: bool
    signature: Signature

    def read(self, digest: bytes | None = None) -> bytes:
        """Return the contents; *digest* is their SHA-256 if they were read before.

        Raises PackError if the file cannot be read, or is not as it was collected.
        """
        try:
            with open(self.location, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                content = file.read()
                after = _signature(os.fstat(file.fileno()))
        except OSError as error:
            raise _pack_error(
                [f"{self.location} cannot be read: {_why(error)}"]
            ) from error
        same = _signature(status) == after == self.signature
        if not same and status.st_nlink > 1:
            same = self._only_linked(after, digest or sha256(content))
        if not same or len(content) != self.signature[0]:
            raise _pack_error(
                [f"{self.location} changed while it was being packed; pack again"]
            )
        return content

    def _only_linked(self, signature: Signature, digest: bytes) -> bool:
        """Whether a link more or less is all that happened to the file.

        That moves the ctime. uv shares one file among all environments, so it
        happens while some other one is made.
        """
        if _but_ctime(signature) != _but_ctime(self.signature):
            return False
        try:
            with open(self.location, "rb", buffering=0) as file:
                return sha256(file.read()) == digest
        except OSError:
            return False


class Tree(NamedTuple):
    """What :func:`collect` found.

    ``files`` are ordered by their paths' bytes. ``excluded`` has the archive paths
    of Python files and folders (these end in ``/``) that a rule dropped, with the
    rule; what is dropped by default is not in it. ``warnings`` are sentences.
    """

    files: tuple[SourceFile, ...]
    excluded: dict[str, str]
    warnings: tuple[str, ...]


def collect(
    roots: Sequence[str | os.PathLike[str]],
    config: Config,
    *,
    stdlib_names: Collection[str] | None = None,
) -> Tree:
    """Return the files of *roots* that go into an archive.

    *stdlib_names* are top-level names that the files may not take, by default those
    of the running Python's standard library. A folder ``test`` at the top, which many
    projects have, is dropped with a warning.

    Raises PackError with every issue found: a root that is not there, a symbolic
    link that leaves the roots, points nowhere or to a folder it lies in, a name that
    is not UTF-8 or has a backslash or a control character in it, a file or folder
    that cannot be read, two files for one path, a module that would shadow the
    standard library, nothing to pack.
    """
    walk = _Walk(
        config, sys.stdlib_module_names if stdlib_names is None else stdlib_names
    )
    places = [os.path.abspath(os.fspath(root)) for root in roots]
    walk.allowed = [os.path.realpath(place) for place in places]
    for place in dict.fromkeys(places):
        walk.root(place)
    files = tuple(walk.files[path] for path in sorted(walk.files))
    walk.check(files)
    excluded = {path: walk.excluded[path] for path in sorted(walk.excluded)}
    if not files and not walk.issues:
        walk.issues.append(_nothing(places, excluded))
    if walk.issues:
        raise _pack_error(sorted(walk.issues))
    return Tree(files, excluded, tuple(sorted(walk.warnings)))


class _Above(NamedTuple):
    """Patterns of an ignore file, and how a path of the walk is put for them."""

    patterns: Patterns
    lead: str  # what goes before the path: the file lies above the root
    cut: int  # how many characters to leave out: it lies below


class _Folder(NamedTuple):
    """A folder to be read."""

    location: str
    inside: str  # its path below the root, "" or with a slash at the end
    ignores: tuple[_Above, ...]  # the strongest first
    installed: bool  # a folder above it holds distributions
    kept: bool  # include matched it or a folder above it
    dropped: str  # the rule that drops it, if it is walked for the sake of include
    reals: tuple[str, ...]  # the real paths of it and all above, up to the root


class _Walk:
    """The state of one :func:`collect`."""

    def __init__(self, config: Config, stdlib_names: Collection[str]) -> None:
        self.files: dict[str, SourceFile] = {}
        self.excluded: dict[str, str] = {}
        self.issues: list[str] = []
        self.warnings: list[str] = []
        self.allowed: list[str] = []
        self._stdlib_names = stdlib_names
        self._gitignore = config.gitignore
        self._exclude = self._configured(config.exclude, "exclude")
        self._include = self._configured(config.include, "include")
        # Where to look for what include keeps, in folders that are dropped.
        prefixes = [
            anchored_prefix(line) for line in config.include if not line.startswith("!")
        ]
        self._keeps_anywhere = None in prefixes
        self._keeps_in = [prefix for prefix in prefixes if prefix is not None]
        self._prefix = ""  # of the root being walked, "" or a name with a slash

    def root(self, place: str) -> None:
        """Collect what lies at the absolute path *place*."""
        try:
            status = os.stat(place)
        except OSError as error:
            self.issues.append(f"{place} cannot be packed: {_why(error)}")
            return
        name = os.path.basename(place)
        if stat.S_ISREG(status.st_mode):
            if self._is_good_name(name, place):
                self._add(name, place, status)
            return
        if not stat.S_ISDIR(status.st_mode):
            self.issues.append(f"{place} is neither a file nor a folder")
            return
        self._prefix = ""
        if os.path.isfile(os.path.join(place, "__init__.py")):
            if not self._is_good_name(name, place):
                return
            if not name.isidentifier():
                self.warnings.append(
                    f"{place} holds an __init__.py, so it is packed as the package "
                    f"{name!r}, which no import statement can name"
                )
            self._prefix = name + "/"
        ignores = tuple(self._ignores_above(place)) if self._gitignore else ()
        reals = (os.path.realpath(place),)
        folders = [
            _Folder(
                place, "", ignores, installed=False, kept=False, dropped="", reals=reals
            )
        ]
        while folders:
            folders.extend(self._read(folders.pop()))

    def _read(self, folder: _Folder) -> list[_Folder]:  # noqa: C901, PLR0912 - the rules,
        # in their order; this runs for every entry of the tree
        """Take in the files of *folder* and return the folders in it to be read."""
        try:
            with os.scandir(folder.location) as entries:
                found = {entry.name: entry for entry in entries}
        except OSError as error:
            self.issues.append(f"{folder.location}/ cannot be read: {_why(error)}")
            return []
        if folder.inside and "pyvenv.cfg" in found and not folder.kept:
            return []
        ignores, installed = self._ignores_in(folder, found)
        folders: list[_Folder] = []
        prefix, inside = self._prefix, folder.inside
        for name, entry in found.items():
            path = inside + name
            try:
                is_folder = entry.is_dir()  # where a link leads to, if it is one
            except OSError:
                is_folder = False  # a link that cannot be followed
            kept, dropped = folder.kept, folder.dropped
            junk = (
                name in DROPPED_NAMES
                or name.endswith(DROPPED_SUFFIXES)
                or (name.endswith(BYTECODE_SUFFIXES) and name[:-1] in found)
            )
            if self._include.rules:
                rule = self._include.find(prefix + path, name, directory=is_folder)
                if rule is not None:
                    kept = not rule.keeps
                    junk = junk and not kept
            if junk or not (dropped or (kept and not is_folder)):
                junk, rule_text = self._judge(path, name, ignores, is_folder, junk)
                dropped = dropped or rule_text
            if junk or (dropped and not kept):
                if not (junk or folder.dropped):
                    if is_folder:
                        self.excluded[f"{prefix}{path}/"] = dropped
                    elif name.endswith(PYTHON_SUFFIXES):
                        self.excluded[prefix + path] = dropped
                if not is_folder or not self._may_keep_in(prefix + path, junk=junk):
                    continue
                dropped = dropped or "dropped by default"
            if _UNUSUAL.search(name) and not self._is_good_name(name, entry.path):
                continue
            if is_folder:
                reals = self._enter(entry, folder, path)
                if reals is None or (not kept and self._is_test_folder(path)):
                    continue
                folders.append(
                    _Folder(
                        entry.path, path + "/", ignores, installed, kept, dropped, reals
                    )
                )
            else:
                self._take(entry, prefix + path)
        return folders

    def _judge(
        self,
        path: str,
        name: str,
        ignores: tuple[_Above, ...],
        is_folder: bool,
        junk: bool,
    ) -> tuple[bool, str]:
        """Return whether an entry is junk, and the text of the rule that drops it."""
        rule = None
        if self._exclude.rules:
            archive_path = self._prefix + path
            rule = self._exclude.find(archive_path, name, directory=is_folder)
        if rule is None:
            for above in ignores:
                subject = above.lead + path if above.lead else path[above.cut :]
                rule = above.patterns.find(subject, name, directory=is_folder)
                if rule is not None:
                    break
            else:
                return junk, ""
        return (False, "") if rule.keeps else (junk, rule.text)

    def _may_keep_in(self, path: str, *, junk: bool) -> bool:
        """Return whether include may keep something in the dropped folder *path*."""
        if self._keeps_anywhere and not junk:
            return True
        parts = path.split("/")
        return any(
            all(a == b for a, b in zip(prefix, parts, strict=False))
            and (not junk or len(prefix) >= len(parts))
            for prefix in self._keeps_in
        )

    def _take(self, entry: os.DirEntry[str], path: str) -> None:
        """Collect a file, or what a link leads to."""
        try:
            if entry.is_symlink():
                if self._real(entry) is None:
                    return
                status = os.stat(entry.path)
            else:
                status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.issues.append(f"{entry.path} cannot be read: {_why(error)}")
            return
        if stat.S_ISREG(status.st_mode):
            self._add(path, entry.path, status)
        else:
            self.warnings.append(f"{entry.path} is no regular file and was left out")

    def _add(self, path: str, location: str, status: os.stat_result) -> None:
        mode = status.st_mode
        if not mode & stat.S_IROTH and not os.access(location, os.R_OK):
            self.issues.append(f"{location} cannot be read: Permission denied")
            return
        executable = bool(mode & stat.S_IXUSR)
        file = SourceFile(path, location, executable, _signature(status))
        other = self.files.setdefault(path, file)
        if other is file or other.signature == file.signature:
            return
        try:
            same = (
                other.signature[0] == file.signature[0] and other.read() == file.read()
            )
        except PackError as error:
            self.issues.extend(error.issues)
            return
        if not same:
            self.issues.append(
                f"{other.location} and {location} differ, and both would be {path}"
            )

    def _enter(
        self, entry: os.DirEntry[str], folder: _Folder, path: str
    ) -> tuple[str, ...] | None:
        """Return the real paths of a folder and those above; None if it stays out."""
        if not entry.is_symlink():
            return (*folder.reals, f"{folder.reals[-1]}/{entry.name}")
        real = self._real(entry)
        if real is None:
            return None
        if real in folder.reals:
            self.issues.append(
                f"{entry.path} is a link to {real}, a folder it lies in; "
                f"remove it or exclude {self._prefix}{path}"
            )
            return None
        return (*folder.reals, real)

    def _real(self, entry: os.DirEntry[str]) -> str | None:
        """Return where a link leads to; None, after an issue, if it may not."""
        try:
            real = os.path.realpath(entry.path, strict=True)
        except OSError as error:
            target = os.readlink(entry.path)
            self.issues.append(
                f"{entry.path} is a link to {target}, which cannot be followed "
                f"({_why(error)}); remove or exclude it"
            )
            return None
        if any(real == root or real.startswith(root + "/") for root in self.allowed):
            return real
        self.issues.append(
            f"{entry.path} is a link to {real}, outside of what is packed; "
            "exclude it, or put a copy in its place"
        )
        return None

    def _is_good_name(self, name: str, location: str) -> bool:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(location)
            self.issues.append(
                f"the name of {shown!r} is not UTF-8; rename or exclude it"
            )
            return False
        if _FORBIDDEN.search(name):
            self.issues.append(
                f"the name of {location!r} has a backslash or a control character "
                "in it; rename or exclude it"
            )
            return False
        return True

    def _is_test_folder(self, path: str) -> bool:
        # sys.stdlib_module_names leaves it out, but it is one.
        if self._prefix or path != "test":
            return False
        self.warnings.append(
            "the folder test/ at the top was left out: 'test' is a package of the "
            "standard library; 'include' of the configuration can keep it"
        )
        return True

    def _configured(self, lines: Iterable[str], source: str) -> Patterns:
        try:
            return Patterns(lines, source, strict=True)
        except ValueError as error:
            self.issues.append(str(error))
            return Patterns((), source)

    def _ignore_file(self, location: str, shown: str) -> Patterns | None:
        try:
            with open(location, "rb") as file:
                text = file.read().decode("utf-8-sig", "surrogateescape")
        except OSError as error:
            self.issues.append(f"{location} cannot be read: {_why(error)}")
            return None
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        patterns = Patterns(lines, shown)
        return patterns if patterns.rules else None

    def _ignores_in(
        self, folder: _Folder, found: dict[str, os.DirEntry[str]]
    ) -> tuple[tuple[_Above, ...], bool]:
        """Return the ignore files that hold in *folder*, and if it is installed."""
        own: list[_Above] = []
        git: list[_Above] = []
        above = folder.ignores
        installed = folder.installed or any(n.endswith(".dist-info") for n in found)
        if installed and not folder.inside:
            above = ()
        names = [OWN_IGNORE]
        if self._gitignore and not installed:
            names.append(GITIGNORE)
        for name in names:
            if name in found and found[name].is_file():
                shown = self._prefix + folder.inside + name
                if patterns := self._ignore_file(found[name].path, shown):
                    group = own if name == OWN_IGNORE else git
                    group.append(_Above(patterns, "", len(folder.inside)))
        if not own and not git:
            return above, installed
        # .lazyimportignore before .gitignore, and in each the deeper before the higher.
        split = sum(1 for level in above if level.patterns.source.endswith(OWN_IGNORE))
        return (*own, *above[:split], *git, *above[split:]), installed

    def _ignores_above(self, place: str) -> list[_Above]:
        """Return the .gitignore files from *place* up to its repository's root.

        None, if they drop *place* itself.
        """
        repository = _repository(place)
        if repository is None:
            return []
        parts = place.removeprefix(repository).strip("/").split("/")
        levels: list[_Above] = []
        for depth, name in enumerate(parts):
            folder = os.path.join(repository, *parts[:depth])
            location = os.path.join(folder, GITIGNORE)
            if os.path.isfile(location):
                shown = "../" * (len(parts) - depth) + GITIGNORE
                if patterns := self._ignore_file(location, shown):
                    lead = "/".join(parts[depth:]) + "/"
                    levels.insert(0, _Above(patterns, lead, 0))
            for level in levels:
                start = len(parts) - level.lead.count("/")
                path = "/".join(parts[start : depth + 1])
                rule = level.patterns.find(path, name, directory=True)
                if rule is not None:
                    if not rule.keeps:
                        return []
                    break
        return levels

    def check(self, files: Sequence[SourceFile]) -> None:
        """Look for what only the whole shows: shadows, collisions, conflicts."""
        for file in files:
            name = _module_at_top(file.path)
            if name in self._stdlib_names:
                self.issues.append(
                    f"{file.path} ({file.location}) would shadow {name!r} of the "
                    "standard library; rename or exclude it"
                )
        folders: dict[str, None] = {}
        for file in files:
            folder = file.path.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = None
                folder = folder.rpartition("/")[0]
        for folder in folders:
            if folder in self.files:
                self.issues.append(
                    f"{self.files[folder].location} would be the file {folder} in the "
                    "archive, where another root has a folder"
                )
        self._check_collisions([*folders, *self.files])
        for path in self.files:
            if path.endswith(".pth") and "/" not in path:
                self.warnings.append(
                    f"{path} will not be read: Python reads such files in directories "
                    "of installed packages only; if something needs it, install that in "
                    "the image"
                )

    def _check_collisions(self, paths: list[str]) -> None:
        """Warn of paths that are one on a file system that folds names."""
        first: dict[str, str] = {}
        groups: dict[str, set[str]] = {}
        for path in paths:
            # Within the same folder: what lies in two folders that collide does too.
            folder, slash, name = path.rpartition("/")
            if not name.isascii():
                name = unicodedata.normalize("NFC", name)
            key = folder + slash + name.casefold()
            other = first.setdefault(key, path)
            if other != path:
                groups.setdefault(key, {other}).add(path)
        for group in groups.values():
            self.warnings.append(
                f"{' and '.join(sorted(group))} differ only in case or in the form of "
                "their accents; some file systems hold only one of them"
            )


def _module_at_top(path: str) -> str:
    """Return the name under which *path* is a top-level module, "" if it is none."""
    folder, _, name = path.rpartition("/")
    if "/" in folder or not name.endswith(PYTHON_SUFFIXES):
        return ""
    stem = name.partition(".")[0]
    if not folder:
        return stem
    return folder if stem == "__init__" else ""


def _repository(place: str) -> str | None:
    """Return the root of the git repository above *place*; None if it is in none."""
    if os.path.lexists(os.path.join(place, ".git")):
        return None  # place is the root: nothing above counts
    folder = os.path.dirname(place)
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def _signature(status: os.stat_result) -> Signature:
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def _but_ctime(signature: Signature) -> tuple[int, ...]:
    return signature[:2] + signature[3:]


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _nothing(places: list[str], excluded: dict[str, str]) -> str:
    text = f"nothing to pack in {', '.join(places) or 'no roots at all'}"
    if excluded:
        shown = [f"{path} by {rule}" for path, rule in list(excluded.items())[:5]]
        text += f"; dropped: {', '.join(shown)}"
        if len(excluded) > len(shown):
            text += f" and {len(excluded) - len(shown)} more"
    return text


def _pack_error(issues: list[str]) -> PackError:
    shown = issues[:SHOWN_ISSUES]
    if len(issues) > SHOWN_ISSUES:
        shown.append(f"and {len(issues) - SHOWN_ISSUES} more")
    return PackError("\n".join(shown), issues=tuple(issues))
