"""The files of a folder, of all pages of the index."""

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
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.index import Index


def files_in(index: Index, folder: str) -> list[Entry]:
    """Return the files in the directory *folder* and below, in any order.

    All pages are gone through, and no more is checked than looking up each file does,
    which takes half of the time. Raises MalformedArchive or DamagedArchive.
    """
    inside = f"{folder}/".encode()
    files = []
    try:
        for number in range(index.pages):
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
