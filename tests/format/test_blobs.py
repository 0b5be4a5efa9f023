"""docs/format.md, section 5: the blobs of an archive that is a delta to another."""

from __future__ import annotations

import pytest

from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.blobs import Blob, frames_in, table_of
from lazyimport.format.delta import Revision
from lazyimport.format.entries import EXECUTABLE
from lazyimport.format.overlay import combine
from tests.support.trees import Tree


def blobs_of(tree: Tree) -> dict[bytes, Blob]:
    """Return all files of a tree as blobs."""
    files = (entry for entry in tree.entries if not entry.is_directory)
    return {entry.digest: Blob.of(entry, compressed=True) for entry in files}


def changed(old: Tree, new: Tree) -> Revision:
    """Return *new* as a delta to *old*."""
    base = Archive(*old.archive(blobs=blobs_of(old)))
    delta = new.delta(base.index, blobs=blobs_of(new))
    assert delta is not None
    return Revision(base, *delta)


@pytest.mark.parametrize("count", [3, 70])
def test_what_was_removed_is_no_longer_needed(count: int) -> None:
    files = {f"weights/{number}": f"{number}" for number in range(count)}
    kept = {"weights/0": "0", "weights/new": "new"}

    revision = changed(Tree(files), Tree(kept))

    needed = {sha256(content.encode()) for content in kept.values()}
    assert revision.blobs.keys() == needed
    assert combine(revision).blobs().keys() == needed


def test_what_moved_is_what_the_new_archive_says() -> None:
    old = Tree({"a/moved": "1", "b/first": "2", "c/second": "2"})
    new = Tree({"x/moved": "1", "c/second": "2"}, flags={"x/moved": EXECUTABLE})

    revision = changed(old, new)

    for blobs in (revision.blobs, combine(revision).blobs()):
        found = {blob.path: blob.executable for blob in blobs.values()}
        assert found == {"x/moved": True, "c/second": False}
        assert all(blob.compressed for blob in blobs.values())


@pytest.mark.parametrize("table", [b"", b"\x50", table_of([1, 2])[:-1], b"x" * 16])
def test_what_is_no_table_of_frames(table: bytes) -> None:
    with pytest.raises(ValueError, match="does not begin with a table"):
        frames_in(table)
