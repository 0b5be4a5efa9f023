"""Building an index: what every path and digest of a tree becomes.

``docs/format.md`` sections 3 and 4. Reading an archive needs none of this.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.format import sha256
from lazyimport.format.entries import (
    COUNT,
    DIRECTORY,
    DIRECTORY_ITEM,
    Entry,
    Variant,
    check_path,
    place_of,
    stem_of,
)
from lazyimport.format.index import (
    ALL_MINORS,
    MAX_ENTRIES,
    MAX_VARIANTS,
    PAGE,
    ROOT,
    ROOT_MAGIC,
    START_SIZE,
    Index,
)
from lazyimport.format.pages import divide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    #: place of the stem, kind, path: the order of a page; and the entry
    Ranked: TypeAlias = "tuple[int, int, bytes, Entry]"
    #: start, bytes, digest and number of slots of a page
    Page: TypeAlias = tuple[int, bytes, bytes, int]


def build_index(
    entries: Iterable[Entry],
    variants: Iterable[Variant],
    minors: int = ALL_MINORS,
    what: str = "these bytes",
) -> Index:
    """Return the one index that these entries have, in whatever order they come.

    Numbers of variants in the entries refer to *variants* in sorted order. *what*
    names the index in errors.

    Raises ValueError for what cannot be one tree: a path twice or that no archive
    may have, a directory missing or empty.
    """
    ranked = rank(entries)
    check_tree(ranked)
    pages = [
        make_page(start, [item for *_, item in page])
        for start, page in divide([(item[0], 1, item) for item in ranked])
    ]
    directories = sum(kind for _, kind, _, _ in ranked)
    files = len(ranked) - directories
    return join_pages(pages, files, directories, variants, minors, what)


def make_page(start: int, ranked: list[Ranked]) -> Page:
    """Return the page that begins at the place *start* and has these entries."""
    data = encode_page(ranked)
    return start, data, sha256(data), sum(entry.slots for *_, entry in ranked)


def join_pages(
    pages: Iterable[Page],
    files: int,
    directories: int,
    variants: Iterable[Variant],
    minors: int,
    what: str,
) -> Index:
    """Return the index of *pages*."""
    starts, records, body = [], [], []
    end = slots = 0
    for start, data, digest, count in pages:
        end += len(data)
        records.append(PAGE.pack(digest, end, slots, crc32(data)))
        starts.append(start.to_bytes(START_SIZE, "little"))
        body.append(data)
        slots += count
    known = sorted(variant.encode() for variant in variants)
    if len(known) > MAX_VARIANTS or len(set(known)) != len(known):
        raise ValueError(f"more than {MAX_VARIANTS} bytecode variants, or one twice")
    counts = minors, files, directories, len(body), slots, len(known)
    root = b"".join([ROOT.pack(ROOT_MAGIC, *counts, b""), *known, *starts, *records])
    data = b"".join([root, *body])
    return Index(data, sha256(root).hex(), 0, len(root), end, what)


def rank(entries: Iterable[Entry]) -> list[Ranked]:
    """Return the entries in the order of a page, with what decides that order."""
    ranked = []
    for entry in entries:
        path = entry.path
        place = place_of(stem_of(path, entry.kind))
        ranked.append((place, entry.kind, path.encode(), entry))
    ranked.sort(key=lambda item: item[:3])
    return ranked


def check_tree(ranked: list[Ranked]) -> None:
    """Raise ValueError if these entries are not the whole of one tree."""
    if len(ranked) > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_ENTRIES} files and directories")
    paths = set()
    parents = {""}
    directories = set()
    for _, kind, _, entry in ranked:
        path = check_path(entry.path)
        paths.add(path)
        if path:
            parents.add(path.rpartition("/")[0])
        if kind == DIRECTORY:
            directories.add(path)
        if entry.variants and (kind == DIRECTORY or not path.endswith(".py")):
            raise ValueError(f"bytecode of something that is not a source: {path!r}")
    if len(paths) != len(ranked):
        raise ValueError("two entries have the same path")
    if parents != directories:
        path = min(parents ^ directories)
        reason = "is missing" if path in parents else "is empty"
        raise ValueError(f"the directory {path!r} {reason}")


def encode_page(page: list[Ranked]) -> bytes:
    """Return the bytes of a page."""
    directory: list[bytes] = [COUNT.pack(len(page))]
    rows: list[bytes] = []
    at = COUNT.size + len(page) * DIRECTORY_ITEM.size
    slots = 0
    for place, _, _, entry in page:
        crc = place & 0xFFFFFFFF
        directory.append(DIRECTORY_ITEM.pack(crc, at, slots))
        row = entry.row()
        rows.append(row)
        at += len(row)
        slots += entry.slots
    return b"".join(directory + rows)
