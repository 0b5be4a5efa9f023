"""Flags of packages that must be real files before they run: format.md section 7."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lazyimport.cache.blobs import LARGE
from lazyimport.errors import PackError
from lazyimport.format.entries import (
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    LOOKS_AT_FILES,
    MODULE_SUFFIXES,
    NATIVE,
    top_of,
)
from lazyimport.packing.config import Config
from lazyimport.packing.ignore import Patterns

#: What is usual in the source of code that opens files beside itself.
LOOKS_LIKE = re.compile(
    rb"__file__|__path__|__cached__|\bspec(?:__)?\.origin|submodule_search_locations"
    rb"|pkg_resources|resource_filename|get_filename\b|getsourcefile|getfile\b"
    rb"|co_filename|inspect\.stack\b"
    rb"|jit\b[^)]{0,500}\bcache\s*=\s*True"  # numba keeps machine code beside the source
)
#: Files that no program opens.
_INERT = ("/py.typed", ".pyi", ".pyx", ".pxd", ".c", ".h")
_SHARED_LIBRARY = re.compile(r"\.(so|pyd|dylib|dll)(\.[0-9.]+)?$")


def looks_at_files(source: bytes) -> bool:
    """Whether a module's source suggests that it opens files beside itself."""
    return LOOKS_LIKE.search(source) is not None


def package_flags(files: Mapping[str, int], config: Config) -> dict[str, int]:
    """Return the flags of each directory at the top, and of ``""`` for files there.

    *files* maps paths to flags.
    """
    flags: dict[str, int] = {"": 0}
    modules = set()
    for path, own in files.items():
        top = top_of(path)
        flags[top] = flags.get(top, 0) | _flags_of(path, own)
        if path.endswith(MODULE_SUFFIXES):
            modules.add(top)
    configured = set(map(top_of, matches(config.materialize, files)))
    for top in configured:
        flags[top] |= CONFIGURED
    if not configured <= modules - {""}:
        for top in modules:  # with whatever is imported comes what lies beside it
            flags[top] |= LOOKS
    for top in config.in_memory:
        flags[top] = flags.get(top, 0) | IN_MEMORY
    return flags


def on_demand(files: Mapping[str, int], config: Config) -> set[str]:
    """Return the paths of files that stay in the store until somebody needs them.

    *files* maps paths to sizes. Only large ones do, that nothing imports or links.
    """
    large = [
        path
        for path, size in files.items()
        if size >= LARGE
        and not path.endswith(MODULE_SUFFIXES)
        and not _SHARED_LIBRARY.search(path)
    ]
    return set(matches(config.on_demand, large, "on_demand"))


def matches(
    lines: Sequence[str], files: Iterable[str], key: str = "materialize"
) -> Iterator[str]:
    """Yield those of *files* that gitignore patterns match: *lines*, a value of *key*.

    What lies in a directory that matches does too. Raises PackError for a line that
    is no pattern.
    """
    try:
        patterns = Patterns(lines, f"[tool.lazyimport] {key}", strict=True)
    except ValueError as error:
        raise PackError(str(error)) from error
    folders: dict[str, bool] = {"": False}

    def matched(path: str, *, directory: bool) -> bool:
        rule = patterns.find(path, path.rpartition("/")[2], directory=directory)
        above = path.rpartition("/")[0]
        if rule is not None:
            return not rule.keeps
        if above not in folders:
            folders[above] = matched(above, directory=True)
        return folders[above]

    if patterns.rules:
        yield from (path for path in files if matched(path, directory=False))


def _flags_of(path: str, flags: int) -> int:
    if path.endswith(".py"):
        return LOOKS if flags & LOOKS_AT_FILES else 0
    if _SHARED_LIBRARY.search(path):
        return NATIVE
    inert = path.endswith((*MODULE_SUFFIXES, *_INERT))
    metadata = path.partition("/")[0].endswith((".dist-info", ".egg-info"))
    return 0 if inert or metadata else HAS_DATA
