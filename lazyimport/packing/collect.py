"""Which files of the roots go into an archive, and under which paths.

`collect` takes directories and files and returns `Sources`, or one PackError with
everything that speaks against packing them. It reads names and metadata, not
contents; `SourceFile.read` does that later and refuses a file that has changed.

Roots. A directory with an ``__init__.py`` goes in as a package under its own name,
the contents of another one go in at the top, like those of an entry of
``sys.path``, and so does a single file. Several roots are merged.

Rules, from the weakest to the strongest; each has gitignore's syntax and meaning,
and what a rule drops is not walked:

1. `rules.DROPPED` and the like: version control, tools, editors' files, archives;
   virtual environments and caches (``CACHEDIR.TAG``); a ``.pyc`` or ``.pyo`` beside
   its source. ``build``, ``dist`` and ``venv`` are packages on PyPI or in the standard
   library and stay.
2. ``.gitignore`` files, unless the configuration says ``gitignore = false``:
   those in the root, and those above it up to the top of its git repository. What
   git tracks all the same stays. They do not count in a directory that has
   ``*.dist-info`` (they came with a wheel), and those above do not count for a root
   that they ignore as a whole, since somebody named it.
3. ``.lazyimportignore`` files in the root.
4. ``exclude`` of the configuration, on archive paths.
5. ``include`` of the configuration, on archive paths: what matches stays, with all
   that lies in it except what is dropped by default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from lazyimport.packing.config import Config
from lazyimport.packing.layout import imports_src, source_folders
from lazyimport.packing.names import collisions, directories_of
from lazyimport.packing.secrets import is_likely_secret
from lazyimport.packing.sources import SourceFile, Sources, pack_error
from lazyimport.packing.walk import PYTHON_SUFFIXES, Walk

_SHOWN = 10
_LARGEST_MODULE = 64 << 20  # bytes; a zip of 64 KiB can hold one


def collect(
    roots: Sequence[str | os.PathLike[str]],
    config: Config,
    *,
    staged: Sequence[str] = (),
    never: Mapping[str, str] | None = None,
    stdlib_names: Collection[str] | None = None,
) -> Sources:
    """Return the files of *roots* that go into an archive.

    *staged* are more roots, which nobody looks through for secrets. *never* maps the
    real paths of folders that are left out, wherever they lie, to what they are.
    *stdlib_names* are top-level names that the files may not take, by default those
    of the running Python's standard library. A directory ``test`` at the top, which
    many projects have, and a link that leads nowhere are left out with a warning.

    Raises PackError with every issue found: a root that does not exist; a symbolic
    link that leaves the roots or points to a directory it lies in; a name
    that is not UTF-8 or has a backslash or a control character in it; a file or
    directory that cannot be read; two files for one path; a module that would shadow
    the standard library, or that has more than 64 MiB; nothing to pack.
    """
    places = list(dict.fromkeys(os.path.abspath(os.fspath(root)) for root in roots))
    walk = Walk(config, [*places, *staged], never or {})
    for place in places:
        walk.root(place, guarded=True)
    for place in staged:
        walk.root(place, guarded=False)
    files = {path: walk.files[path] for path in sorted(walk.files)}
    directories = sorted(directories_of(files) - {""})
    names = sys.stdlib_module_names if stdlib_names is None else stdlib_names
    issues = [*walk.issues, *_issues(files, directories, names)]
    if not files and not issues:
        issues = walk.empty or ["nothing to pack: no roots at all"]
    if issues:
        raise pack_error(sorted(issues))
    excluded = {path: walk.excluded[path] for path in sorted(walk.excluded)}
    warnings = [*walk.warnings, *walk.empty, *_warnings(files, directories)]
    return Sources(tuple(files.values()), excluded, tuple(sorted(warnings)))


def _issues(
    files: Mapping[str, SourceFile],
    directories: Iterable[str],
    stdlib_names: Collection[str],
) -> Iterator[str]:
    """Yield what only the whole shows to be wrong."""
    for path, file in files.items():
        name = _module_at_top(path)
        if name in stdlib_names:
            yield (
                f"{path} ({file.location}) would shadow {name!r} of the standard "
                "library; rename or exclude it"
            )
        size = file.signature[0]
        if size > _LARGEST_MODULE and path.endswith((".py", ".pyc")):
            yield (
                f"{file.location} has {size:,} bytes, and a module at most "
                f"{_LARGEST_MODULE:,}, because it is compiled and imported as a whole; "
                "keep data in a file of another kind, or leave it out with --exclude"
            )
    for path in directories:
        if path in files:
            yield (
                f"{files[path].location} would be the file {path} in the archive, "
                "where another root has a folder"
            )


def _warnings(
    files: Mapping[str, SourceFile], directories: Iterable[str]
) -> Iterator[str]:
    """Yield what only the whole shows to be worth a warning."""
    groups: dict[str, set[str]] = {}
    for first, other in collisions([*directories, *files]):
        groups.setdefault(first, {first}).add(other)
    for group in groups.values():
        yield (
            f"{' and '.join(sorted(group))} differ only in case or in the form of "
            "their accents; some file systems can have only one of them"
        )
    sources = [path for path in files if path.endswith(".py")]
    below = source_folders(files)
    if below and not imports_src(files[path].location for path in sources):
        folder, name = next(iter(below.items()))
        dotted = folder.replace("/", ".")
        pack = "pack that folder" if len(below) == 1 else f"pack {' '.join(below)}"
        yield (
            f"what is below {folder}/ will be imported as {dotted}.{name} from this "
            f"archive; if it is to be {name}, {pack}"
        )
    likely = [p for p, file in files.items() if file.guarded and is_likely_secret(p)]
    if likely:
        names = ", ".join(likely[:_SHOWN]) + (", ..." if likely[_SHOWN:] else "")
        yield (
            f"likely secrets are packed, which everybody who reads the store will see: {names}; "
            "leave them out with --exclude, or say with --include that they belong there"
        )
    for path in files:
        if path.endswith(".pth") and "/" not in path:
            yield (
                f"{path} will not be read: Python reads such files in directories of "
                "installed packages only; if something needs it, install that in the "
                "image"
            )


def _module_at_top(path: str) -> str:
    """Return the name under which *path* is a top-level module, "" if it is none."""
    directory, _, name = path.rpartition("/")
    if "/" in directory or not name.endswith(PYTHON_SUFFIXES):
        return ""
    stem = name.partition(".")[0]
    if not directory:
        return stem
    return directory if stem == "__init__" else ""
