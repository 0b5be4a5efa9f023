"""Deltas: an archive told as what differs from its base.

``docs/format.md`` section 8.
"""

from __future__ import annotations

from struct import Struct, error as StructError  # noqa: N812

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import (
    HEADER_SIZE,
    IN_BASE,
    SLOT,
    Archive,
    Header,
    Members,
    open_header,
)
from lazyimport.format.image import encode_page, rank
from lazyimport.format.index import (
    MAX_MEMBER,
    MAX_ROOT_HEAD,
    check_path,
    decode_rows,
    read_root_head,
    root_head_size,
)
from lazyimport.format.patch import Patch, difference, image_of, patched
from lazyimport.format.writer import (
    checked,
    member_order,
    recode,
    write_image,
    write_object,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from mmap import mmap
    from typing import BinaryIO

    from lazyimport.format.index import Index, Variant

__all__ = ["LARGEST_DELTA", "Revision", "apply_delta", "write_delta"]

#: A delta larger than this part of its base is not worth a second object.
LARGEST_DELTA = 0.2

_COUNT = Struct("<I")
_LENGTH = Struct("<H")


def write_delta(
    out: BinaryIO,
    base: Index,
    target: Index,
    read: Callable[[bytes], bytes | memoryview],
    *,
    notes: bytes = b"",
    partial: bool = False,
    most: int = MAX_MEMBER,
) -> Header | None:
    """Write *target* as a delta to *base*; None, and nothing written, if it cannot be.

    It cannot where the two have other variants, are the same archive, or differ in
    members of more than *most* bytes. *read* gives the bytes of a digest that the
    base does not hold. Of a *partial* base only the pages that differ are there.
    """
    if target.variants != base.variants or target.hash == base.hash:
        return None
    patch = difference(base, target)
    entries = patch.changed
    page, members = encode_page(rank(entries))
    body = _encode_removed(patch.removed) + page
    held = patch.known
    if not partial:
        held = held | _held(base, {digest for _, digest in members} - held)
    if sum(size for size, digest in members if digest not in held) > most:
        return None
    order, warm = member_order(entries)
    header = Header(
        target.hash,
        base=base.hash,
        root_size=root_head_size(len(target.variants)),
        pages_size=len(body),
        slots_size=len(members) * SLOT.size,
    )
    return write_object(
        out,
        header,
        target.root[: header.root_size],
        body,
        members,
        [digest for digest in order if digest not in held],
        sum(digest not in held for digest in order[:warm]),
        checked(read, target.hash, members),
        False,
        notes,
    )


def _held(base: Index, digests: set[bytes]) -> set[bytes]:
    """Return those of *digests* that a member of *base* has."""
    digests = base.perhaps(digests)
    if not digests:
        return digests
    found = (digest for entry in base.entries() for _, _, digest in entry.members())
    return digests.intersection(found)


class Revision:
    """An archive told by its base and a delta: as good as whole, and not written.

    *delta* is the object's bytes, *hash* what it must give together with *base*;
    *what* names it in errors. Without a delta it is the base itself. ``index`` is
    the archive's whole index.

    Raises MalformedArchive, DamagedArchive or UnsupportedArchive, also when the
    two do not give an archive of that hash.
    """

    __slots__ = ("_brought", "_in_base", "_members", "base", "delta", "index")

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
        #: digest of a member of the delta's rows -> slot, size, path
        self._brought: dict[bytes, tuple[int, int, str]] = {}
        self._in_base: dict[bytes, tuple[int, int, str]] | None = None
        self._members: Members | None = None
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
        """Return the proved bytes of a digest; KeyError if there are none such."""
        brought = self._brought.get(digest)
        members = self._members
        if members and brought and members.stored(brought[0])[0] != IN_BASE:
            return members.read(brought[0], brought[1], digest, brought[2])
        if self._in_base is None:
            self._in_base = {}
            for entry in self.base.index.entries():
                for slot, size, held in entry.members():
                    self._in_base.setdefault(held, (slot, size, entry.path))
        if members and brought and digest not in self._in_base:
            return members.read(brought[0], brought[1], digest, brought[2])
        slot, size, path = self._in_base[digest]
        return self.base.member(slot, size, digest, path)

    def write(self, out: BinaryIO, *, raw: bool) -> Header:
        """Write the whole archive to *out*, every member proved."""
        if self.delta is None:
            return recode(self.base, out, raw=raw)
        image = image_of(self.index)
        return write_image(out, image, self.read, raw=raw, notes=self.notes)

    def _apply(self, delta: bytes | mmap, hash: str, what: str) -> None:
        header = open_header(delta, hash, what)
        base = self.base
        if header.base != base.hash:
            why = f"a delta to {header.base}" if header.base else "a full archive"
            raise MalformedArchive(
                f"{what}: {why}, not a delta to {base.hash}", hash=hash
            )
        minors, variants = _read_head(delta, header, what)
        try:
            removed, page_at = _decode_removed(delta, header.pages_at, header.slots_at)
            rows = list(decode_rows(delta, page_at, header.slots_at, variants))
            # before patched(), which may give the entries the slots of the archive
            for entry in rows:
                for slot, size, digest in entry.members():
                    self._brought.setdefault(digest, (slot, size, entry.path))
            self.index = patched(base.index, Patch(rows, removed), minors)
        except (StructError, ValueError) as error:
            raise MalformedArchive(
                f"{what}: the patch makes no sense: {error}", hash=hash
            ) from None
        if self.index.hash != hash or variants != base.index.variants:
            raise DamagedArchive(
                f"{what}: with its base {base.hash} it gives {self.index.hash}, "
                f"not {hash}",
                hash=hash,
                member="root",
                expected=hash,
                actual=self.index.hash,
            )
        self._members = Members(delta, header, what)


def apply_delta(
    buffer: bytes | mmap,
    hash: str,
    base: Archive,
    out: BinaryIO,
    *,
    raw: bool,
    what: str = "this delta",
) -> Header:
    """Write the archive *hash* that the delta in *buffer* and its *base* give.

    *what* names the delta in errors. Raises as `Revision` does.
    """
    return Revision(base, buffer, hash, what).write(out, raw=raw)


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
    """Return the part of a patch that says which paths are gone."""
    names = sorted(path.encode() for path in removed)
    parts = [_COUNT.pack(len(names))]
    parts += [_LENGTH.pack(len(name)) + name for name in names]
    return b"".join(parts)


def _decode_removed(buffer: bytes | mmap, at: int, end: int) -> tuple[list[str], int]:
    """Return the removed paths and where they end; struct.error or ValueError."""
    (count,) = _COUNT.unpack_from(buffer, at)
    at += _COUNT.size
    removed = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(buffer, at)
        at += _LENGTH.size + length
        if at > end:
            raise ValueError("a removed path reaches beyond it")
        removed.append(check_path(buffer[at - length : at].decode()))
    return removed, at
