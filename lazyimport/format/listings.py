"""The listing of a directory: what it names, and its bytes. ``docs/format.md``."""

from __future__ import annotations

from lazyimport.format.entries import check_path
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazyimport.format.entries import Entry


def listing_of(children: Iterable[tuple[str, int]]) -> bytes:
    """Return the listing that names *children*, given as (name, kind)."""
    named = sorted((name.encode(), b"fd"[kind : kind + 1]) for name, kind in children)
    return b"".join(letter + name + b"\0" for name, letter in named)


def listings(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the listing of each directory that something of all *entries* is in."""
    children: dict[str, list[tuple[str, int]]] = {}
    for entry in entries:
        if entry.path:
            folder, _, name = entry.path.rpartition("/")
            children.setdefault(folder, []).append((name, entry.kind))
    return map(listing_of, children.values())


def parse_listing(data: bytes | memoryview) -> list[tuple[str, int]]:
    """Return the (name, kind) pairs of a listing. Raises MalformedArchive."""
    try:
        items = bytes(data).decode().split("\0")
        if items.pop():
            raise ValueError("its last name is cut")
        children = [(item[1:], "fd".index(item[:1] or "?")) for item in items]
        last = ""
        for name, _ in children:
            # Code points have the order of their UTF-8 bytes.
            if name <= last or "/" in name:
                raise ValueError(f"{name!r} is not a name, or is out of order")
            last = check_path(name)
    except ValueError as error:
        raise errors.MalformedArchive(
            f"an unreadable directory listing: {error}"
        ) from None
    return children
