"""Everything that can be read from an archive, as one value to compare."""

from __future__ import annotations

import io

from lazyimport.errors import DamagedArchive, MalformedArchive, UnsupportedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.entries import stem_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    #: path to kind, flags, content, bytecode by variant
    Everything: TypeAlias = dict[str, tuple[int, int, bytes, dict[int, bytes]]]

#: the errors that reading may end with, whatever the bytes are (format.md section 11)
CLEAN = (DamagedArchive, MalformedArchive, UnsupportedArchive)


def read_everything(buffer: bytes, hash: str) -> Everything:
    """Read the whole archive, both by walking it and by looking up each path."""
    return read_archive(Archive(buffer, hash))


def read_archive(archive: Archive) -> Everything:
    """Read all of an open archive in the same way."""
    assert isinstance(archive.notes, dict)
    found: Everything = {}
    for entry in archive.index.entries():
        codes = {
            number: bytes(archive.bytecode(entry, number) or b"")
            for number, _ in entry.codes()
        }
        content = bytes(archive.content(entry))
        found[entry.path] = entry.kind, entry.flags, content, codes
        same = archive.index.entry(entry.path)
        assert same is not None
        assert (same.row(), same.slot) == (entry.row(), entry.slot)
        stem = stem_of(entry.path, entry.kind)
        assert entry.path in [other.path for other in archive.index.find(stem)]
    return found


def read_delta(delta: bytes, hash: str, base: tuple[bytes, str]) -> Everything:
    """Read the whole archive that *delta* makes of *base*, given as (bytes, hash)."""
    out = io.BytesIO()
    Revision(Archive(*base), delta, hash).write(out, raw=True)
    return read_everything(out.getvalue(), hash)
