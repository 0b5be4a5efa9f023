"""The order of members: first what starts read. ``docs/format.md`` section 6."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry
    from lazyimport.format.index import Index
    from lazyimport.format.profile import Read, Start


def first_members(starts: Sequence[Start], index: Index) -> list[bytes]:
    """Return the digests of what *starts* read, as far as *index* has it.

    The starts may be those of other archives: a file that has changed is found by its
    path, and one that was moved by its digest. What was read early in any start comes
    early. Bytecode for other Pythons than that of the first start follows behind all.
    """
    entries = {entry.path: entry for entry in index.entries()}
    children: dict[str, list[Entry]] = {}
    for path in sorted(entries):
        if path:
            children.setdefault(path.rpartition("/")[0], []).append(entries[path])
    known = {digest for entry in entries.values() for _, _, digest in entry.members()}
    pythons = [variant.python for variant in index.variants]
    ran = [start.python for start in starts if start.python in pythons]
    python = (ran or pythons or [""])[0]
    first: dict[bytes, None] = {}
    others: dict[bytes, None] = {}
    for read in _merged(starts):
        entry = entries.get(read.path)
        if read.kind == "package":
            for each in (entry, *_package(read.path, children)):
                first.update({} if each is None else {each.digest: None})
        elif entry is None:
            first[_bytes(read.digest)] = None
        elif read.kind == "code" and entry.variants:
            for number, code in entry.codes():
                (first if pythons[number] == python else others)[code.digest] = None
        else:
            first[entry.digest] = None
    return [digest for digest in first | others if digest in known]


def first_in(archive: Archive) -> list[tuple[int, bytes, str, int]]:
    """Return what lies first in *archive* because a start reads it.

    In order: the offset and digest of a member, and a file's path with which of its
    members that is. Files may share one.
    """
    return sorted(
        (offset, digest, entry.path, number)
        for entry in (archive.index.entries() if archive.warm else ())
        for number, (slot, _, digest) in enumerate(entry.members())
        if (offset := archive.stored(slot)[0]) < archive.warm
    )


def kept_order(base: Archive, index: Index) -> list[bytes]:
    """Return the digests of what comes first in *base*, as far as *index* has it.

    The archive of *index* has the same variants; files are found by their paths.
    """
    first: dict[bytes, None] = {}
    for *_, path, number in first_in(base):
        entry = index.entry(path)
        members = [] if entry is None else list(entry.members())
        first.update((digest, None) for _, _, digest in members[number : number + 1])
    return list(first)


def _merged(starts: Iterable[Start]) -> list[Read]:
    """Return what *starts* read, by the earliest place in any."""
    found: dict[tuple[str, str], tuple[int, Read]] = {}
    for start in starts:
        for place, read in enumerate(start.reads):
            key = read.kind, read.path
            if key not in found or place < found[key][0]:
                found[key] = place, read
    ordered = sorted(found.items(), key=lambda each: (each[1][0], each[0]))
    return [read for _, (_, read) in ordered]


def _package(top: str, children: dict[str, list[Entry]]) -> Iterator[Entry]:
    """Yield what is read to put *top* on disk, as `Archive.files_under` orders it."""
    folders = [top]
    while folders:
        for entry in children.get(folders.pop(), ()):
            if entry.is_directory and top:
                folders.append(entry.path)
            if top or not entry.is_directory:
                yield entry


def _bytes(digest: str) -> bytes:
    try:
        return bytes.fromhex(digest)
    except ValueError:
        return b""  # no archive has it
