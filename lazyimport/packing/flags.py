"""Flags of packages that must be real files before they run: format.md section 7."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lazyimport.format.entries import (
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    LOOKS_AT_FILES,
    MODULE_SUFFIXES,
    NATIVE,
)
from lazyimport.packing.config import Config

#: What stands in code that opens files beside itself.
LOOKS_LIKE = re.compile(
    rb"__file__|__path__|__cached__|\bspec(?:__)?\.origin|submodule_search_locations"
    rb"|pkg_resources|resource_filename|get_filename\b|getsourcefile|getfile\b"
    rb"|co_filename|inspect\.stack\b"
    rb"|jit\b[^)]*\bcache\s*=\s*True"  # numba keeps machine code beside the source
)
#: Files that no program opens.
_INERT = ("/py.typed", ".pyi", ".pyx", ".pxd", ".c", ".h")
_SHARED_LIBRARY = re.compile(r"\.(so|pyd|dylib|dll)(\.[0-9.]+)?$")


def looks_at_files(source: bytes) -> bool:
    """Whether a module's source suggests that it opens files beside itself."""
    return LOOKS_LIKE.search(source) is not None


def package_flags(files: Iterable[tuple[str, int]], config: Config) -> dict[str, int]:
    """Return the flags of each top-level package, and of ``""`` for single files.

    *files* are pairs of path and flags.
    """
    flags: dict[str, int] = {"": 0}
    for path, own in files:
        top, inside, _ = path.partition("/")
        top = top if inside else ""
        flags[top] = flags.get(top, 0) | _flags_of(path, own)
    for top in config.materialize:
        flags[top] = flags.get(top, 0) | CONFIGURED
    for top in config.in_memory:
        flags[top] = flags.get(top, 0) | IN_MEMORY
    return flags


def _flags_of(path: str, flags: int) -> int:
    if path.endswith(".py"):
        return LOOKS if flags & LOOKS_AT_FILES else 0
    if _SHARED_LIBRARY.search(path):
        return NATIVE
    if path.endswith(MODULE_SUFFIXES):
        return 0
    if path.endswith(_INERT) or path.partition("/")[0].endswith(
        (".dist-info", ".egg-info")
    ):
        return 0
    return HAS_DATA
