"""Deltas: an archive as the difference to another one, its base.

``docs/format.md`` section 8.
"""

from __future__ import annotations

from _struct import Struct, error as StructError  # type: ignore[attr-defined]  # noqa: N812

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import Archive, reader_of
from lazyimport.format.blobs import NONE, blobs_in, kept
from lazyimport.format.build import encode_page, rank
from lazyimport.format.entries import MAX_MEMBER, check_path
from lazyimport.format.folders import perhaps
from lazyimport.format.index import MAX_ROOT_HEAD, read_root_head, root_head_size
from lazyimport.format.pages import decode_page
from lazyimport.format.patch import Patch, difference, patched
from lazyimport.format.sections import (
    HEADER_SIZE,
    IN_BASE,
    Header,
    Members,
    open_header,
)
from lazyimport.format.writer import (
    checked,
    member_order,
    members_of,
    recode,
    write_archive,
    write_object,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from mmap import mmap
    from typing import BinaryIO, TypeAlias

    from lazyimport.format.blobs import Blob
    from lazyimport.format.entries import Entry, Variant
    from lazyimport.format.index import Index

    #: slot, size, and the path that names it
    Place: TypeAlias = tuple[int, int, str]

#: A delta larger than this part of its base is not worth having.
LARGEST_DELTA = 0.2

_COUNT = Struct("<I")
_LENGTH = Struct("<H")


def write_delta(
    out: BinaryIO,
    base: Index,
    target: Index,
    read: Callable[[bytes], bytes | memoryview],
    *,
    first: Sequence[bytes] = (),
    notes: bytes = b"",
    partial: bool = False,
    most: int = MAX_MEMBER,
    blobs: Mapping[bytes, Blob] = NONE,
) -> Header | None:
    """Write *target* as a delta to *base*; None, and nothing written, if it cannot be.

    It cannot if the two have other variants, are the same archive, or differ in
    members of more than *most* bytes. *read* gives the bytes of a digest that the
    base does not have; *first* is as for `write_archive`. Of a *partial* base only the
    pages that differ are there. *blobs*, by digest, do not come into the delta.
    """
    if target.variants != base.variants or target.hash == base.hash:
        return None
    patch = difference(base, target)
    ranked = rank(patch.changed)
    members = members_of(entry for *_, entry in ranked)
    known = patch.known | blobs.keys()
    if not partial:
        known = known | _known(base, {digest for _, digest in members} - known)
    if sum(size for size, digest in members if digest not in known) > most:
        return None
    order, warm = member_order(patch.changed, first)
    root = target.root[: root_head_size(len(target.variants))]
    return write_object(
        out,
        (target.hash, base.hash),
        (root, _encode_removed(patch.removed) + encode_page(ranked), members),
        [digest for digest in order if digest not in known],
        sum(digest not in known for digest in order[:warm]),
        checked(read, target.hash, members),
        raw=False,
        notes=notes,
        blobs=blobs,
    )


def _known(base: Index, digests: set[bytes]) -> set[bytes]:
    digests = perhaps(base, digests)
    if not digests:
        return digests
    found = (digest for entry in base.entries() for _, _, digest in entry.members())
    return digests.intersection(found)


class Revision:
    """An archive as its base and a delta: as good as whole, though not written.

    *delta* is the object's bytes, *hash* the archive that it must give with *base*;
    *what* names it in errors. Without a delta it is the base itself. ``index`` is
    the archive's whole index, and ``blobs`` are those that it refers to, by digest.
    ``order`` gives the digests of what comes first where it is written to be sent;
    without, members keep the order of the base.

    Raises MalformedArchive, DamagedArchive or UnsupportedArchive, also if the two
    do not give the archive *hash*.
    """

    __slots__ = (
        "_brought",
        "_in_base",
        "_members",
        "base",
        "blobs",
        "delta",
        "index",
        "order",
    )

    order: Callable[[], Sequence[bytes]] | None

    def __init__(
        self,
        base: Archive,
        delta: bytes | mmap | None = None,
        hash: str | None = None,
        what: str = "this delta",
    ) -> None:
        self.base = base
        self.delta = delta
        self.index = base.index
        self.order = None
        #: by digest, what the rows of the delta refer to
        self._brought: dict[bytes, Place] = {}
        self._in_base: dict[bytes, Place] | None = None
        self._members: Members | None = None
        self.blobs = base.blobs()
        if delta is not None:
            self._apply(delta, hash or base.hash, what)

    @property
    def hash(self) -> str:
        """The archive's name."""
        return self.index.hash

    @property
    def notes(self) -> bytes:
        """The notes as they stand."""
        if self.delta is None:
            return self.base.raw_notes
        header = Header.decode(self.delta[:HEADER_SIZE])
        return self.delta[header.notes_at : header.size]

    def read(self, digest: bytes) -> bytes | memoryview:
        """Return the proved bytes of a digest. Raises KeyError for an unknown one."""
        if self.slot_in_base(digest) is None:
            assert self._members is not None
            slot, size, path = self._brought[digest]
            self._members.blob = reader_of(self.base.blob)
            return self._members.read(slot, size, digest, path)
        slot, size, path = self._places_in_base()[digest]
        return self.base.member(slot, size, digest, path)

    def slot_in_base(self, digest: bytes) -> int | None:
        """Return the slot of the base that has the bytes of a digest.

        None if the delta has them. Raises KeyError for an unknown digest.
        """
        place = self._brought.get(digest)
        if place is not None and self._members is not None:
            elsewhere = self._members.stored(place[0])[0] == IN_BASE
            if not (elsewhere and digest in self._places_in_base()):
                return None
        return self._places_in_base()[digest][0]

    def content(self, entry: Entry) -> bytes | memoryview:
        """Return the proved bytes of a file."""
        return self.read(entry.digest)

    def prove(self) -> None:
        """Read all that the delta brings, but no blobs. Raises DamagedArchive."""
        for digest in self._brought.keys() - self.blobs.keys():
            self.read(digest)

    def _places_in_base(self) -> dict[bytes, Place]:
        if self._in_base is None:
            self._in_base = _places(self.base.index.entries())
        return self._in_base

    def write(self, out: BinaryIO, *, raw: bool) -> Header:
        """Write the whole archive to *out*, with every member proved."""
        first = self.order() if self.order is not None and not raw else ()
        if self.delta is None:
            return recode(self.base, out, raw=raw, first=first)
        if not first:
            from lazyimport.format.order import kept_order

            first = kept_order(self.base, self.index)
        return write_archive(
            out,
            self.index,
            self.read,
            first=first,
            raw=raw,
            notes=self.notes,
            proved=True,
            blobs=self.blobs,
        )

    def _apply(self, delta: bytes | mmap, hash: str, what: str) -> None:
        header = open_header(delta, hash, what)
        self.index, rows = apply_delta(delta, header, self.base.index, what)
        self._brought = _places(rows)
        self._members = Members(delta, header, what)
        own = blobs_in(rows, delta[header.slots_at : header.members_at])
        self.blobs = {**kept(self.blobs, self.index), **own}


def apply_delta(
    delta: bytes | mmap, header: Header, base: Index, what: str
) -> tuple[Index, list[Entry]]:
    """Return the index of the archive ``header.hash``, and the rows that *delta* has.

    *delta* is the object, at least up to the end of its slots. Raises MalformedArchive
    or DamagedArchive unless it gives that archive with *base*.
    """
    hash = header.hash
    if header.base != base.hash:
        why = f"a delta to {header.base}" if header.base else "a full archive"
        raise MalformedArchive(f"{what}: {why}, not a delta to {base.hash}", hash=hash)
    minors, variants = _read_head(delta, header, what)
    try:
        removed, page_at = _decode_removed(delta, header.pages_at, header.slots_at)
        rows = decode_page(delta, page_at, header.slots_at, variants)
        index = patched(base, Patch(rows, removed), minors)
    except (StructError, ValueError) as error:
        raise MalformedArchive(
            f"{what}: the patch makes no sense: {error}", hash=hash
        ) from None
    if index.hash != hash or variants != base.variants:
        raise DamagedArchive(
            f"{what}: with its base {base.hash} it gives {index.hash}, not {hash}",
            hash=hash,
            member="root",
            expected=hash,
            actual=index.hash,
        )
    return index, rows


def _places(entries: Iterable[Entry]) -> dict[bytes, Place]:
    places: dict[bytes, Place] = {}
    for entry in entries:
        for slot, size, digest in entry.members():
            places.setdefault(digest, (slot, size, entry.path))
    return places


def _read_head(
    buffer: bytes | mmap, header: Header, what: str
) -> tuple[int, tuple[Variant, ...]]:
    """Return minors and variants of the archive that a delta gives."""
    root = buffer[HEADER_SIZE : HEADER_SIZE + min(header.root_size, MAX_ROOT_HEAD)]
    minors, *_, variants = read_root_head(root, header.hash, what)
    if header.root_size != root_head_size(len(variants)):
        raise MalformedArchive(
            f"{what}: the root does not end with the variants", hash=header.hash
        )
    return minors, variants


def _encode_removed(removed: Iterable[str]) -> bytes:
    """Return the part of a patch that lists the removed paths."""
    names = sorted(path.encode() for path in removed)
    parts = [_COUNT.pack(len(names))]
    parts += [_LENGTH.pack(len(name)) + name for name in names]
    return b"".join(parts)


def _decode_removed(buffer: bytes | mmap, at: int, end: int) -> tuple[list[str], int]:
    (count,) = _COUNT.unpack_from(buffer, at)
    at += _COUNT.size
    removed = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(buffer, at)
        at += _LENGTH.size + length
        if at > end:
            raise ValueError("a removed path exceeds it")
        removed.append(check_path(buffer[at - length : at].decode()))
    return removed, at
