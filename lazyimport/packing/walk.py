"""The walk over the roots: which files there are, and what is wrong with them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from lazyimport.errors import PackError
from lazyimport.packing.config import Config
from lazyimport.packing.names import forbidden_in
from lazyimport.packing.rules import Directory, Rules
from lazyimport.packing.sources import SourceFile, reason, signature_of

PYTHON_SUFFIXES = (".py", ".pyc", ".pyw", ".so", ".pyd")


class Walk:
    """What was found in *places*, absolute paths, so far.

    ``files`` by archive path; ``excluded``, `Sources.excluded`; ``issues`` and
    ``warnings``, sentences.
    """

    def __init__(self, config: Config, places: Iterable[str]) -> None:
        self.files: dict[str, SourceFile] = {}
        self.excluded: dict[str, str] = {}
        self.issues: list[str] = []
        self.warnings: list[str] = []
        self._rules = Rules(config, self.issues)
        self._allowed = [os.path.realpath(place) for place in places]

    def root(self, place: str) -> None:
        """Collect what lies at the absolute path *place*."""
        try:
            status = os.stat(place)
        except OSError as error:
            self.issues.append(f"{place} cannot be packed: {reason(error)}")
            return
        name = os.path.basename(place)
        if stat.S_ISREG(status.st_mode):
            if self._is_good_name(name, place):
                self._add(name, place, status)
            return
        if not stat.S_ISDIR(status.st_mode):
            self.issues.append(f"{place} is neither a file nor a folder")
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
        reals = (os.path.realpath(place),)
        directories = [Directory(place, prefix, "", reals, self._rules.above(place))]
        while directories:
            directories.extend(self._read(directories.pop()))

    def _read(self, directory: Directory) -> list[Directory]:
        """Take the files of *directory* and return the directories in it to be read."""
        try:
            with os.scandir(directory.location) as entries:
                found = {entry.name: entry for entry in entries}
        except OSError as error:
            self.issues.append(f"{directory.location}/ cannot be read: {reason(error)}")
            return []
        if directory.inside and "pyvenv.cfg" in found and not directory.verdict.kept:
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
        name, folder = entry.name, _is_directory(entry)
        path = directory.prefix + directory.inside + name
        verdict = self._rules.judge(directory, name, found, folder=folder)
        if verdict.junk or (verdict.dropped and not verdict.kept):
            if not (verdict.junk or directory.verdict.dropped):
                self._exclude(path, verdict.dropped, folder=folder)
            inner = self._rules.look_into(path, verdict) if folder else None
            if inner is None:
                return None
            verdict = inner
        if not self._is_good_name(name, entry.path):
            return None
        if not folder:
            self._take(entry, path)
            return None
        reals = self._enter(entry, directory, path)
        if not reals or (not verdict.kept and self._is_test_directory(path)):
            return None
        inside = f"{directory.inside}{name}/"
        return directory._replace(
            location=entry.path, inside=inside, reals=reals, verdict=verdict
        )

    def _exclude(self, path: str, rule: str, *, folder: bool) -> None:
        """Note that *rule* dropped what would have been imported."""
        if folder:
            self.excluded[f"{path}/"] = rule
        elif path.endswith(PYTHON_SUFFIXES):
            self.excluded[path] = rule

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
            self.issues.append(f"{entry.path} cannot be read: {reason(error)}")
            return
        if stat.S_ISREG(status.st_mode):
            self._add(path, entry.path, status)
        else:
            self.warnings.append(
                f"{entry.path} is not a regular file, so it is left out"
            )

    def _add(self, path: str, location: str, status: os.stat_result) -> None:
        mode = status.st_mode
        if not mode & stat.S_IROTH and not os.access(location, os.R_OK):
            self.issues.append(f"{location} cannot be read: Permission denied")
            return
        executable = bool(mode & stat.S_IXUSR)
        file = SourceFile(path, location, executable, signature_of(status))
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
            self.issues.append(
                f"{other.location} and {location} differ, and both would be {path}"
            )

    def _enter(
        self, entry: os.DirEntry[str], directory: Directory, path: str
    ) -> tuple[str, ...]:
        """Return the real paths of an entry and those above; none if it stays out."""
        if not entry.is_symlink():
            return (*directory.reals, f"{directory.reals[-1]}/{entry.name}")
        real = self._real(entry)
        if real is None:
            return ()
        if real in directory.reals:
            self.issues.append(
                f"{entry.path} is a link to {real}, a folder it lies in; "
                f"remove it or exclude {path}"
            )
            return ()
        return (*directory.reals, real)

    def _real(self, entry: os.DirEntry[str]) -> str | None:
        """Return where a link leads to; None, after an issue, if it may not."""
        try:
            real = os.path.realpath(entry.path, strict=True)
        except OSError as error:
            target = os.readlink(entry.path)
            self.issues.append(
                f"{entry.path} is a link to {target}, which cannot be followed "
                f"({reason(error)}); remove or exclude it"
            )
            return None
        if any(real == root or real.startswith(root + "/") for root in self._allowed):
            return real
        self.issues.append(
            f"{entry.path} is a link to {real}, outside of what is packed; "
            "exclude it, or put a copy in its place"
        )
        return None

    def _is_good_name(self, name: str, location: str) -> bool:
        wrong = forbidden_in(name)
        if wrong:
            shown = os.fsencode(location) if "UTF-8" in wrong else location
            self.issues.append(f"the name of {shown!r} {wrong}; rename or exclude it")
        return not wrong

    def _is_test_directory(self, path: str) -> bool:
        # sys.stdlib_module_names leaves it out, but it is one.
        if path != "test":
            return False
        self.warnings.append(
            "the folder test/ at the top was left out: 'test' is a package of the "
            "standard library; 'include' of the configuration can keep it"
        )
        return True


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether *entry* is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that cannot be followed
