"""What a report shows of an archive: its files, what was imported, what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from lazyimport.delivery.comparing import Change, Comparison
from lazyimport.delivery.contents import Contents
from lazyimport.errors import SettingsError
from lazyimport.format.entries import MAX_PATH, MODULE_SUFFIXES, Entry
from lazyimport.format.profile import Module, Start

#: Files that a page shows one by one; of the others each folder shows the sum.
MOST_FILES = 20_000


class File(NamedTuple):
    """A file; ``kind`` is ``source``, ``native`` or ``data``, sizes are in bytes.

    ``number`` is 1. If it is larger, this is the sum of that many small files in the
    folder *path*. ``used`` says that a module of it was imported, or that it was read.
    """

    path: str
    kind: str
    size: int
    bytecode: int
    number: int = 1
    used: bool = False


class Imported(NamedTuple):
    """A module that was imported, from the archive if it has a ``path`` there.

    ``parent`` is the number of the module that imported it, which stands before it,
    or -1. ``processes`` counts those that imported it, and in ``failed`` of them it
    raised. Times are in seconds, those of the module itself, and medians of these
    processes.
    """

    name: str
    path: str
    parent: int
    processes: int
    size: int
    failed: int
    found: float
    put: float
    read: float
    unmarshalled: float
    executed: float
    waited: float


class Profile(NamedTuple):
    """What ``processes`` imported, in the order in which they began to.

    ``seconds`` is the median of the times for which they were recorded. ``looked`` has
    the paths that were put on disk because the module beside it looked at them.
    """

    processes: int
    seconds: float
    imports: list[Imported]
    looked: list[tuple[str, str]]


class Difference(NamedTuple):
    """What differs from the archive *other*, as `Comparison` has it."""

    other: str
    changes: list[Change]
    recompiled: int


class ArchiveReport(NamedTuple):
    """An archive: *about* is what a person knows it by."""

    hash: str
    about: list[str]
    modules: int
    files: list[File]
    profile: Profile | None
    difference: Difference | None

    def facts(self) -> Mapping[str, object]:
        """Return what the page is given."""
        profile, difference = self.profile, self.difference
        return {
            **self._asdict(),
            "profile": profile and profile._asdict(),
            "difference": difference and difference._asdict(),
        }


def report_archive(
    contents: Contents,
    about: Sequence[str] = (),
    starts: Sequence[Start] = (),
    comparison: Comparison | None = None,
) -> ArchiveReport:
    """Return what there is to see of an archive.

    *starts* are those of a profile, *comparison* leads from another archive to this
    one. Raises SettingsError if none of the *starts* is of this archive.
    """
    index = contents.index
    ours = [start for start in starts if start.hash == index.hash]
    if starts and not ours:
        others = ", ".join(sorted({start.hash[:12] for start in starts}))
        raise SettingsError(
            f"the profile has no start of archive {index.hash}, but of {others}; record "
            "one with 'lazyimport run --profile FILE'",
            name="profile",
            value=others,
        )
    used = {read.path for start in ours for read in start.reads if read.digest}
    used.update(module.path for start in ours for module in start.modules)
    changes = comparison.changes if comparison else []
    shown = used | {change.path for change in changes}
    return ArchiveReport(
        index.hash,
        [*about, contents.place],
        sum(entry.path.endswith(MODULE_SUFFIXES) for entry in contents.files),
        _files(contents.files, used, shown),
        _profile(ours) if ours else None,
        Difference(comparison.old.index.hash, changes, comparison.recompiled)
        if comparison
        else None,
    )


def _files(entries: Iterable[Entry], used: set[str], shown: set[str]) -> list[File]:
    """Return the largest files and those in *shown*, and the sums of the others."""
    files = [
        File(
            entry.path,
            _kind(entry.path),
            entry.size,
            sum(code.size for _, code in entry.codes()),
            used=entry.path in used,
        )
        for entry in entries
    ]
    files.sort(key=lambda file: (file.path not in shown, -file.size - file.bytecode))
    small = files[MOST_FILES:]
    sums = _summed(small, MAX_PATH)
    for depth in (2, 1, 0):
        if len(sums) > MOST_FILES:
            sums = _summed(small, depth)
    return sorted([*files[:MOST_FILES], *sums])


def _summed(files: Iterable[File], depth: int) -> list[File]:
    """Return the sums of *files* by kind and folder, of *depth* parts at most."""
    sums: dict[tuple[str, str], File] = {}
    for file in files:
        folder = "/".join(file.path.split("/")[:-1][:depth]), file.kind
        known = sums.get(folder, File(*folder, 0, 0, 0))
        sums[folder] = known._replace(
            size=known.size + file.size,
            bytecode=known.bytecode + file.bytecode,
            number=known.number + 1,
        )
    return list(sums.values())


def _kind(path: str) -> str:
    if path.endswith((".py", ".pyc")):
        return "source"
    native = path.endswith(MODULE_SUFFIXES) or ".so." in path.rpartition("/")[2]
    return "native" if native else "data"


def _profile(starts: Sequence[Start]) -> Profile:
    seen: dict[str, list[Module]] = {}
    for start in starts:
        for module in {each.name: each for each in start.modules}.values():
            seen.setdefault(module.name, []).append(module)
    ordered = sorted(seen, key=lambda name: median(each.at for each in seen[name]))
    numbers: dict[str, int] = {}
    imports = []
    for name in ordered:
        parents = Counter(module.parent for module in seen[name]).most_common()
        # Processes may import in another order, and then nobody is before itself.
        parent = next((numbers[one] for one, _ in parents if one in numbers), -1)
        imports.append(_imported(seen[name], parent))
        numbers[name] = len(numbers)
    looked = {path: by for start in starts for path, by in start.looked.items()}
    seconds = median(start.seconds for start in starts)
    return Profile(len(starts), seconds, imports, sorted(looked.items()))


def _imported(modules: Sequence[Module], parent: int) -> Imported:
    times = [
        median(getattr(module, name) for module in modules)
        for name in ("find", "put", "read", "load", "run", "wait")
    ]
    first = modules[0]
    return Imported(
        first.name,
        first.path,
        parent,
        len(modules),
        first.size,
        sum(module.failed for module in modules),
        *times,
    )
