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
    stem_of,
)
from lazyimport.format.index import (
    ALL_MINORS,
    MAX_ENTRIES,
    MAX_VARIANTS,
    PAGE,
    ROOT,
    ROOT_MAGIC,
    Index,
    pages_for,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    #: CRC of the stem, kind, path: the order of a page; and the entry
    Ranked: TypeAlias = "tuple[int, int, bytes, Entry]"


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
    count = pages_for(len(ranked))
    pages: list[list[Ranked]] = [[] for _ in range(count)]
    for item in ranked:
        pages[item[0] & count - 1].append(item)
    encoded = []
    for page in pages:
        data = encode_page(page)
        encoded.append((data, sha256(data), sum(entry.slots for *_, entry in page)))
    directories = sum(kind for _, kind, _, _ in ranked)
    files = len(ranked) - directories
    return join_pages(encoded, files, directories, variants, minors, what)


def join_pages(
    pages: Iterable[tuple[bytes, bytes, int]],
    files: int,
    directories: int,
    variants: Iterable[Variant],
    minors: int,
    what: str,
) -> Index:
    """Return the index of *pages*: the bytes, digest and number of slots of each."""
    records, body = [], []
    end = slots = 0
    for data, digest, count in pages:
        end += len(data)
        records.append(PAGE.pack(digest, end, slots, crc32(data)))
        body.append(data)
        slots += count
    known = sorted(variant.encode() for variant in variants)
    if len(known) > MAX_VARIANTS or len(set(known)) != len(known):
        raise ValueError(f"more than {MAX_VARIANTS} bytecode variants, or one twice")
    counts = minors, files, directories, len(body), slots, len(known)
    root = b"".join([ROOT.pack(ROOT_MAGIC, *counts, b""), *known, *records])
    data = b"".join([root, *body])
    return Index(data, sha256(root).hex(), 0, len(root), end, what)


def rank(entries: Iterable[Entry]) -> list[Ranked]:
    """Return the entries in the order of a page, with what decides that order."""
    ranked = []
    for entry in entries:
        path = entry.path
        crc = crc32(stem_of(path, entry.kind).encode())
        ranked.append((crc, entry.kind, path.encode(), entry))
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
    for crc, _, _, entry in page:
        directory.append(DIRECTORY_ITEM.pack(crc, at, slots))
        row = entry.row()
        rows.append(row)
        at += len(row)
        slots += entry.slots
    return b"".join(directory + rows)
