"""The walk over the roots: which files there are, and what is wrong with them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Container, Iterable, Mapping
from errno import ELOOP, ENOENT, ENOTDIR
from unicodedata import normalize

from lazyimport.errors import PackError
from lazyimport.packing.config import Config
from lazyimport.packing.layout import PROJECT
from lazyimport.packing.names import forbidden_in
from lazyimport.packing.rules import BY_DEFAULT, Directory, Rules
from lazyimport.packing.sources import SourceFile, reason, signature_of
from lazyimport.values import shown

PYTHON_SUFFIXES = (".py", ".pyc", ".pyw", ".so", ".pyd")

#: files that say of the folder they are in that it is none of a program
_MARKS = {"pyvenv.cfg": "a virtual environment", "CACHEDIR.TAG": "a cache"}


class Walk:
    """What was found in *places*, absolute paths, so far.

    ``files`` by archive path; ``excluded``, `Sources.excluded`; ``issues``,
    ``warnings``, and ``empty`` for roots that nothing came of, sentences. *never* maps
    the real paths of folders that are left out, wherever they lie, to what they are.
    """

    def __init__(
        self, config: Config, places: Iterable[str], never: Mapping[str, str]
    ) -> None:
        self.files: dict[str, SourceFile] = {}
        self.excluded: dict[str, str] = {}
        self.issues: list[str] = []
        self.warnings: list[str] = []
        self.empty: list[str] = []
        self._rules = Rules(config, self.issues, self.warnings)
        self._follow = config.follow_links
        self._allowed = [os.path.realpath(place) for place in places]
        self._never = never
        # Of the root that is walked: what was left out and why, how many files were
        # taken, whether any is its own, and its links to files outside.
        self._left_out: dict[str, str] = {}
        self._taken = 0
        self._owns = False
        self._outside: list[tuple[str, str, str, os.stat_result]] = []

    def root(self, place: str, *, guarded: bool) -> None:
        """Collect what lies at the absolute path *place*.

        Its files are ``guarded`` as far as nobody named them, if it is.
        """
        try:
            status = os.stat(place)
        except OSError as error:
            self.issues.append(f"{place} cannot be packed: {reason(error)}")
            return
        name = _composed(place, ())
        if stat.S_ISREG(status.st_mode):
            if self._is_good_name(name, place):
                self._add(name, place, status, guarded=False)
            return
        what = self._never.get(os.path.realpath(place))
        if what or not stat.S_ISDIR(status.st_mode):
            what = what or "neither a file nor a folder"
            self.issues.append(f"{place} cannot be packed: it is {what}")
            return
        prefix = ""
        if os.path.isfile(os.path.join(place, "__init__.py")):
            if not self._is_good_name(name, place):
                return
            if not name.isidentifier():
                self.warnings.append(
                    f"{place} has an __init__.py, so it is packed as the package "
                    f"{name!r}, which no import statement can name"
                )
            prefix = name + "/"
        self._left_out, self._taken, self._owns, self._outside = {}, 0, False, []
        issues = len(self.issues)
        directories = [self._rules.enter_root(place, prefix, guarded=guarded)]
        while directories:
            directories.extend(self._read(directories.pop()))
        self._take_outside()
        if not self._taken and len(self.issues) == issues:
            self._tell_empty(place)

    def _read(self, directory: Directory) -> list[Directory]:
        """Take the files of *directory* and return the directories in it to be read."""
        try:
            with os.scandir(directory.location) as entries:
                found = {entry.name: entry for entry in entries}
        except OSError as error:
            self.issues.append(f"{directory.location}/ cannot be read: {reason(error)}")
            return []
        if not found and directory.repository.tracks(directory.inside[:-1]):
            self.warnings.append(
                f"{directory.location}/ is empty, and git has what belongs there: if it "
                "is a submodule, run 'git submodule update --init'"
            )
        what = next((what for mark, what in _MARKS.items() if mark in found), "")
        if what and directory.inside and not directory.verdict.kept:
            self._left_out[directory.prefix + directory.inside] = f"it is {what}"
            return []
        directory = self._rules.enter(directory, found)
        visited = (self._visit(entry, directory, found) for entry in found.values())
        return [below for below in visited if below is not None]

    def _visit(
        self,
        entry: os.DirEntry[str],
        directory: Directory,
        found: dict[str, os.DirEntry[str]],
    ) -> Directory | None:
        """Take an entry of *directory* if it is a file; return it if it is another."""
        name, folder = _composed(entry.path, found), _is_directory(entry)
        path = directory.prefix + directory.inside + name
        verdict = self._rules.judge(directory, name, found, folder=folder)
        if verdict.junk or (verdict.dropped and not verdict.kept):
            left_out = f"{path}/" if folder else path
            if not directory.verdict.dropped:
                self._left_out[left_out] = verdict.dropped or BY_DEFAULT
                if not verdict.junk and left_out.endswith(("/", *PYTHON_SUFFIXES)):
                    self.excluded[left_out] = verdict.dropped
            inner = self._rules.look_into(path, verdict) if folder else None
            if inner is None:
                return None
            verdict = inner
        if not self._is_good_name(name, entry.path):
            return None
        if not folder:
            is_guarded = directory.guarded and not verdict.named
            self._take(entry, path, guarded=is_guarded and not directory.installed)
            return None
        reals = self._enter(entry, directory, path)
        if not reals or (not verdict.kept and self._is_test_directory(path)):
            return None
        inside = f"{directory.inside}{name}/"
        return directory._replace(
            location=entry.path, inside=inside, reals=reals, verdict=verdict
        )

    def _take(self, entry: os.DirEntry[str], path: str, *, guarded: bool) -> None:
        """Collect a file, or what a link leads to."""
        try:
            real = self._real(entry, path) if entry.is_symlink() else entry.path
            if real is None:
                return
            status = os.stat(real, follow_symlinks=False)
        except OSError as error:
            self.issues.append(f"{entry.path} cannot be read: {reason(error)}")
            return
        if not stat.S_ISREG(status.st_mode):
            self.warnings.append(
                f"{entry.path} is not a regular file, so it is left out"
            )
            self._left_out[path] = "it is not a regular file"
            return
        if real is not entry.path and self._leads_out(real):
            self._outside.append((path, entry.path, real, status))
            return
        self._owns = self._owns or (real is entry.path and status.st_size > 0)
        self._add(path, entry.path, status, guarded=guarded)

    def _take_outside(self) -> None:
        """Collect the files outside that links of this root lead to, if they may.

        They may where nobody could have hidden one among files: in a root without
        any, in which each link leads to the same path elsewhere, as Bazel makes it.
        """
        for path, location, real, status in self._outside:
            if self._owns or not real.endswith(f"/{path}"):
                self.issues.append(_outside(location, real))
            else:
                self._add(path, location, status, guarded=True)

    def _add(
        self, path: str, location: str, status: os.stat_result, *, guarded: bool
    ) -> None:
        if what := self._never.get(location):
            self.excluded[path] = f"it is {what}"
            return
        self._taken += 1
        if not status.st_mode & stat.S_IROTH and not os.access(location, os.R_OK):
            self.issues.append(f"{location} cannot be read: Permission denied")
            return
        executable = bool(status.st_mode & stat.S_IXUSR)
        file = SourceFile(path, location, executable, signature_of(status), guarded)
        other = self.files.setdefault(path, file)
        if other is file or other.signature == file.signature:
            return
        try:
            same_size = other.signature[0] == file.signature[0]
            same = same_size and other.read() == file.read()
        except PackError as error:
            self.issues.extend(error.issues)
            return
        if not same:
            projects = "; of each project, pack the folder that has its packages"
            self.issues.append(
                f"{other.location} and {location} differ, and both would be {path}"
                + projects * (path in PROJECT)
            )

    def _enter(
        self, entry: os.DirEntry[str], directory: Directory, path: str
    ) -> tuple[str, ...]:
        """Return the real paths of an entry and those above; none if it stays out."""
        real: str | None = f"{directory.reals[-1]}/{entry.name}"
        if entry.is_symlink():
            real = self._real(entry, path)
            if real is None:
                return ()
            if real in directory.reals:
                self.issues.append(
                    f"{entry.path} is a link to {real}, a folder it lies in; "
                    f"remove it or exclude {path}"
                )
                return ()
            if self._leads_out(real):
                self.issues.append(_outside(entry.path, real))
                return ()
        what = self._never.get(str(real))
        if what:
            self.excluded[f"{path}/"] = self._left_out[f"{path}/"] = f"it is {what}"
            return ()
        return (*directory.reals, str(real))

    def _real(self, entry: os.DirEntry[str], path: str) -> str | None:
        """Return where a link leads to; None if nowhere, with a warning."""
        try:
            return os.path.realpath(entry.path, strict=True)
        except OSError as error:
            if error.errno in {ENOENT, ENOTDIR, ELOOP}:
                what = f"a link to {os.readlink(entry.path)}, which leads nowhere"
                self.warnings.append(f"{entry.path} is {what}, so it is left out")
                self._left_out[path] = f"it is {what}"
            else:
                self.issues.append(f"{entry.path} cannot be read: {reason(error)}")
            return None

    def _leads_out(self, real: str) -> bool:
        return not self._follow and not any(
            real == root or real.startswith(root + "/") for root in self._allowed
        )

    def _is_good_name(self, name: str, location: str) -> bool:
        encoding = sys.getfilesystemencoding()
        if encoding != "utf-8" and not name.isascii():
            self.issues.append(
                f"the name of {os.fsencode(location)!r} would be read as {encoding}, as "
                "the locale says, and not as UTF-8; set PYTHONUTF8=1"
            )
            return False
        wrong = forbidden_in(name)
        if wrong:
            name_of = os.fsencode(location) if "UTF-8" in wrong else location
            self.issues.append(f"the name of {name_of!r} {wrong}; rename or exclude it")
        return not wrong

    def _is_test_directory(self, path: str) -> bool:
        # sys.stdlib_module_names leaves it out, but it is one.
        if path != "test":
            return False
        self._left_out["test/"] = "the standard library has a package 'test'"
        self.warnings.append(
            "the folder test/ at the top was left out: 'test' is a package of the "
            "standard library; --include /test/ can keep it"
        )
        return True

    def _tell_empty(self, place: str) -> None:
        """Say that nothing in *place* is packed, and why: an issue if nothing is."""
        text = f"nothing to pack in {place}"
        if self._left_out:
            some = sorted(self._left_out.items())
            text += "; left out: "
            text += ", ".join(f"{shown(path)} ({why})" for path, why in some[:5])
            if len(some) > 5:
                text += f" and {len(some) - 5} more"
        self.empty.append(text)


def _outside(location: str, real: str) -> str:
    return (
        f"{location} is a link to {real}, outside of what is packed; exclude it, put a "
        "copy in its place, or pack what links lead to with --follow-links"
    )


def _composed(location: str, beside: Container[str]) -> str:
    """Return the name of a file as Linux has it, so that both give one hash.

    macOS lets a composed and a decomposed name stand for one file, and may list the
    decomposed one; where that is so and the composed one is not listed *beside* it,
    the file has the composed name.
    """
    folder, name = os.path.split(location)
    composed = name if name.isascii() else normalize("NFC", name)
    if composed == name or composed in beside:
        return name
    try:
        same = os.path.samestat(os.lstat(f"{folder}/{composed}"), os.lstat(location))
    except OSError:
        return name
    return composed if same else name


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that cannot be followed
