"""The order of members: whatever starts read, the archive is the same archive."""

from __future__ import annotations

import io

from hypothesis import given, settings, strategies as st

from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.entries import Variant
from lazyimport.format.order import first_in, first_members
from lazyimport.format.profile import CODE, FILE, PACKAGE, Read, Start
from tests.support.trees import Tree

VARIANTS = [Variant("cpython-311", b"11\r\n"), Variant("cpython-312", b"12\r\n")]
NAMES = [f"{top}/{name}" for top in "abc" for name in ("__init__.py", "m.py", "d.txt")]
PATHS = [*NAMES, "one.py", "two.txt"]
TREES = st.dictionaries(
    st.sampled_from(PATHS), st.sampled_from(["", "x", "y = 1\n", "z" * 99]), min_size=1
)
READS = st.builds(
    Read,
    st.sampled_from([CODE, FILE, PACKAGE, "later"]),
    st.sampled_from([*PATHS, "", "a", "b", "gone.py"]),
    st.sampled_from(["", "no digest", "ab" * 32]),
)
STARTS = st.lists(
    st.builds(
        Start,
        hash=st.just(""),
        python=st.sampled_from(["3.11", "3.12", "3.9", ""]),
        reads=st.lists(READS, max_size=9),
    ),
    max_size=3,
)


def make(files: dict[str, str]) -> Tree:
    return Tree(
        files,
        variants=VARIANTS,
        compiler=lambda source, variant: variant.magic + source if source else None,
    )


def contents(archive: Archive) -> dict[bytes, bytes]:
    found = {}
    for entry in archive.index.entries():
        for slot, size, digest in entry.members():
            found[digest] = bytes(archive.member(slot, size, digest, entry.path))
    return found


def first(archive: Archive) -> set[bytes]:
    """Return the digests of what comes first; nothing lies anywhere."""
    return {digest for _, digest, *_ in first_in(archive)} - {sha256(b"")}


@settings(deadline=None, max_examples=50)
@given(files=TREES, starts=STARTS, raw=st.booleans())
def test_what_starts_read_comes_first(
    files: dict[str, str], starts: list[Start], raw: bool
) -> None:
    tree = make(files)
    plain, hash = tree.archive(raw=raw)
    order = first_members(starts, tree.index())

    data, same = tree.archive(raw=raw, first=order)

    archive = Archive(data, hash)
    assert same == hash
    assert len(data) == len(plain)
    assert contents(archive) == tree.blobs
    assert len(set(order)) == len(order)
    assert first(archive) == {*order} - {sha256(b"")}
    again = io.BytesIO()
    Revision(archive).write(again, raw=not raw)
    assert first(Archive(again.getvalue(), hash)) == first(archive)


@settings(deadline=None, max_examples=50)
@given(old=TREES, new=TREES, starts=STARTS)
def test_an_archive_that_is_put_together_keeps_the_order(
    old: dict[str, str], new: dict[str, str], starts: list[Start]
) -> None:
    """By the paths of files: their contents may be others."""
    base, target = make(old), make(new)
    data, hash = base.archive(first=first_members(starts, base.index()))
    made = target.delta(base.index())
    if made is None:  # it is the same
        return
    written = io.BytesIO()

    Revision(Archive(data, hash), *made).write(written, raw=True)

    archive = Archive(written.getvalue(), made[1])
    assert contents(archive) == target.blobs
    paths = [(path, number) for *_, path, number in first_in(Archive(data, hash))]
    expected = {
        [digest for *_, digest in entry.members()][number]
        for path, number in paths
        if (entry := target.index().entry(path)) is not None
        and number < len([*entry.members()])
    }
    assert first(archive) == expected - {sha256(b"")}


def test_the_order_of_reading_and_other_pythons() -> None:
    tree = make(
        {"a/m.py": "one", "b/m.py": "two", "c/d.txt": "three", "c/m.py": "four"}
    )
    starts = [
        Start("", "3.12", reads=[Read(CODE, "b/m.py"), Read(FILE, "c/d.txt")]),
        Start("", "3.11", reads=[Read(CODE, "a/m.py"), Read(CODE, "b/m.py")]),
    ]

    order = [tree.blobs[digest] for digest in first_members(starts, tree.index())]

    assert order == [b"12\r\none", b"12\r\ntwo", b"three", b"11\r\none", b"11\r\ntwo"]


def test_a_file_that_was_moved_is_found_by_its_digest() -> None:
    tree = make({"new/words.txt": "words", "other.txt": "others"})
    words = tree.index().entry("new/words.txt")
    assert words is not None
    moved = Read(FILE, "old/words.txt", words.digest.hex())

    (digest,) = first_members([Start("", reads=[moved])], tree.index())

    assert tree.blobs[digest] == b"words"
