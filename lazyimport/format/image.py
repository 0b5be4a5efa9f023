"""The index image: what every path and digest of a tree becomes, in memory.

``docs/format.md`` sections 3 and 4. `build_index` makes one from entries; who
reads an archive needs none of this.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.format.digest import sha256
from lazyimport.format.index import (
    ALL_MINORS,
    CODE,
    COUNT,
    DIRECTORY,
    DIRECTORY_ITEM,
    MAX_ENTRIES,
    MAX_VARIANTS,
    PAGE,
    ROOT,
    ROOT_MAGIC,
    Entry,
    Variant,
    check_path,
    pages_for,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    #: CRC of the stem, kind, path: the order of a page; and the entry
    Ranked: TypeAlias = "tuple[int, int, bytes, Entry]"

__all__ = ["IndexImage", "build_index", "listing_of"]


def listing_of(children: Iterable[tuple[str, int]]) -> bytes:
    """Return the listing that names *children*, pairs of (name, kind)."""
    named = sorted((name.encode(), b"fd"[kind : kind + 1]) for name, kind in children)
    return b"".join(letter + name + b"\0" for name, letter in named)


class IndexImage:
    """A whole index in memory: its two parts, its hash, and what lies in the slots.

    ``members`` holds (size, digest) for every slot in order; ``entries`` the
    entries in the same order, with their slot numbers.
    """

    __slots__ = ("entries", "hash", "members", "pages", "root")

    def __init__(
        self,
        root: bytes,
        pages: bytes,
        entries: list[Entry],
        members: list[tuple[int, bytes]],
    ) -> None:
        self.root = root
        self.pages = pages
        self.entries = entries
        self.members = members
        self.hash = sha256(root).hex()


def build_index(
    entries: Iterable[Entry], variants: Iterable[Variant], minors: int = ALL_MINORS
) -> IndexImage:
    """Return the one index that these entries have, in whatever order they come.

    Numbers of variants in the entries refer to *variants* in sorted order. The
    entries become those of the image: they are given their slot numbers.

    Raises ValueError for what cannot be one tree: a path twice or that no
    archive may hold, a directory missing or empty.
    """
    ranked = rank(entries)
    check_tree(ranked)
    count = pages_for(len(ranked))
    pages: list[list[Ranked]] = [[] for _ in range(count)]
    for item in ranked:
        pages[item[0] & count - 1].append(item)
    records: list[bytes] = []
    body: list[bytes] = []
    ordered: list[Entry] = []
    members: list[tuple[int, bytes]] = []
    end = 0
    for page in pages:
        data, owned = encode_page(page)
        end += len(data)
        records.append(PAGE.pack(sha256(data), end, len(members)))
        body.append(data)
        slot = len(members)
        for *_, entry in page:
            entry.slot = slot
            slot += entry.slots
            ordered.append(entry)
        members += owned
    directories = sum(entry.kind for entry in ordered)
    files = len(ordered) - directories
    head = encode_root_head(files, directories, variants, minors, count, len(members))
    return IndexImage(head + b"".join(records), b"".join(body), ordered, members)


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
            raise ValueError(f"bytecode of what is no source: {path!r}")
    if len(paths) != len(ranked):
        raise ValueError("two entries have the same path")
    if parents != directories:
        path = min(parents ^ directories)
        reason = "is missing" if path in parents else "holds nothing"
        raise ValueError(f"the directory {path!r} {reason}")


def encode_root_head(
    files: int,
    directories: int,
    variants: Iterable[Variant],
    minors: int,
    pages: int,
    slots: int,
) -> bytes:
    """Return the root without its page records."""
    records = sorted(variant.encode() for variant in variants)
    if len(records) > MAX_VARIANTS or len(set(records)) != len(records):
        raise ValueError(f"more than {MAX_VARIANTS} bytecode variants, or one twice")
    head = ROOT.pack(
        ROOT_MAGIC,
        minors,
        files,
        directories,
        pages,
        slots,
        len(records),
        b"",
    )
    return head + b"".join(records)


def encode_page(page: list[Ranked]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Return the bytes of a page, and (size, digest) for each of its slots."""
    directory: list[bytes] = [COUNT.pack(len(page))]
    rows: list[bytes] = []
    members: list[tuple[int, bytes]] = []
    at = COUNT.size + len(page) * DIRECTORY_ITEM.size
    for crc, _, _, entry in page:
        directory.append(DIRECTORY_ITEM.pack(crc, at, len(members)))
        row = entry.row()
        rows.append(row)
        at += len(row)
        members.append((entry.size, entry.digest))
        if entry.packed_codes:
            members += CODE.iter_unpack(entry.packed_codes)
    return b"".join(directory + rows), members
