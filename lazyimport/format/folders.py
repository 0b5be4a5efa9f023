"""What is found in many pages of the index at once: files of a folder, digests."""

from __future__ import annotations

from _struct import error as StructError  # type: ignore[attr-defined]  # noqa: N812

from lazyimport.format.entries import (
    COUNT,
    DIRECTORY_ITEM,
    FILE,
    ROW,
    Entry,
    check_paths,
    decode_row,
    first_place,
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.index import Index

#: More digests than this are looked up in one walk over all entries.
_SEARCHES = 64


def files_in(index: Index, folder: str) -> list[Entry]:
    """Return the files in the directory *folder* at the top and below, in any order.

    No more is checked than looking up each file does, which takes half of the time
    that all entries of their pages do. Raises MalformedArchive or DamagedArchive.
    """
    inside = f"{folder}/".encode()
    top = first_place(folder) >> 48 << 48
    files = []
    try:
        for number in index.pages_with(top, 48, index.page_of(folder)):
            page, first = index.page_bytes(number), index.page_slots(number).start
            (count,) = COUNT.unpack_from(page)
            rows = page[COUNT.size : COUNT.size + count * DIRECTORY_ITEM.size]
            for _, row, slot in DIRECTORY_ITEM.iter_unpack(rows):
                if page[row] == FILE and page.startswith(inside, row + ROW.size):
                    files.append(decode_row(page, row, len(page), first + slot))
        check_paths([entry.path for entry in files])
    except (StructError, LookupError, ValueError) as error:
        raise errors.MalformedArchive(
            f"{index.what}: the index of archive {index.hash} makes no sense: {error}",
            hash=index.hash,
        ) from None
    return files


def perhaps(index: Index, digests: set[bytes]) -> set[bytes]:
    """Return *digests* without those that surely no entry has.

    Up to a few dozen are searched for in the pages. More are returned as they are,
    because a walk over all entries is faster then.
    """
    if len(digests) > _SEARCHES:
        return digests
    body = index.body
    return {digest for digest in digests if digest in body}
