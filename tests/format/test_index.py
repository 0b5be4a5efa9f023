"""docs/format.md, sections 3 and 4: root and pages of an index."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from struct import Struct
from zlib import crc32

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.entries import DIRECTORY, MAX_PATH, Variant, stem_of
from lazyimport.format.folders import files_in
from lazyimport.format.index import pages_for
from tests.support import forge
from tests.support.read_everything import read_everything
from tests.support.trees import Tree, make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


TOP = ("", forge.row("", kind=1))


class TestRoot:
    """The root says how many there are of everything, and names each page."""

    @pytest.mark.parametrize(
        ("entries", "pages"),
        [
            (1, 1),
            (32, 1),
            (33, 2),
            (64, 2),
            (65, 4),
            (128, 4),
            (129, 8),
            (50_000, 2048),
        ],
    )
    def test_pages(self, entries: int, pages: int) -> None:
        """Smallest power of two *P* with files + directories ≤ 32 *P*."""
        assert pages_for(entries) == pages
        assert pages & (pages - 1) == 0
        assert entries <= 32 * pages
        assert pages == 1 or entries > 16 * pages

    def test_fields(self) -> None:
        variants = [Variant("cpython-313", b"abcd", 2), Variant("cpython-310", b"efgh")]
        files = {f"p/m{number}.py": f"x = {number}" for number in range(60)}
        tree = Tree(files, variants=variants, minors=1 << 10)
        index = tree.index()
        magic, minors, count, directories, pages, slots, kinds, _ = Struct(
            "<8sQIIIIB15s"
        ).unpack_from(index.root)
        assert (magic, minors, kinds) == (b"LZYROOT1", 1 << 10, 2)
        assert (count, directories, pages, slots) == (60, 2, 2, 60 * 3 + 2)
        assert len(index.root) == 48 + 2 * 32 + 2 * 44
        assert index.root[48:80] == b"cpython-310".ljust(24, b"\0") + b"efgh\0\0\0\0"
        assert index.root[80:112] == b"cpython-313".ljust(24, b"\0") + b"abcd\2\0\0\0"

    def test_an_archive_of_nothing(self) -> None:
        made = make_archive({})
        assert read_everything(*made) == {"": (DIRECTORY, 0, b"", {})}

    @pytest.mark.parametrize(
        "change",
        [
            {"magic": b"LZYROOT2"},
            {"reserved": b"\0\1"},
            {"count": 0},
            {"count": 2},
            {"count": 1 << 31},
            {"files": 2**32 - 1, "slots": 1},
            {"directories": 2**32 - 1, "slots": 1},
            {"slots": 2**32 - 1},
            {"files": 32},  # 33 entries need two pages
            {"variant_count": 1},
            {"variant_count": 33},
            {"variants": b"cpython-311".ljust(31, b"\0") + b"\1"},
            {"variants": b"a".ljust(32, b"\0") * 2},
            {"variants": b"b".ljust(32, b"\0") + b"a".ljust(32, b"\0")},
            {"variants": bytes(32)},
            {"variants": b"a\0b".ljust(32, b"\0")},
            {"variants": b"\xff".ljust(32, b"\0")},
            {"variants": b"a".ljust(28, b"\0") + b"\3\0\0\0"},
        ],
        ids=str,
    )
    def test_a_root_that_makes_no_sense(self, change: dict[str, Any]) -> None:
        with pytest.raises(MalformedArchive):
            Archive(*forge.one_page([TOP], **change))

    def test_a_whole_root_for_comparison(self) -> None:
        """The one that the cases above spoil."""
        variants = b"a".ljust(32, b"\0") + b"b".ljust(32, b"\0")
        archive = Archive(*forge.one_page([TOP], variants=variants))
        assert [entry.path for entry in archive.index.entries()] == [""]
        assert [str(variant) for variant in archive.index.variants] == ["a", "b"]

    def test_another_hash(self) -> None:
        data, _ = make_archive({"a.py": ""})
        other = "ab" * 32
        forged = forge.reheaded(data, hash=bytes.fromhex(other))
        with pytest.raises(DamagedArchive) as caught:
            Archive(forged, other, "/cache/x")
        error = caught.value
        assert (error.hash, error.member, error.expected) == (other, "root", other)
        assert error.actual in str(error)
        assert str(error).startswith("/cache/x: ")


class TestPages:
    """Entries are ordered by *c*, then by kind, then by the bytes of the path."""

    def test_layout(self) -> None:
        files = {f"d{number % 7}/m{number}.py": f"x = {number}" for number in range(99)}
        files["d1.py"] = files["d1/__init__.py"] = "pass"
        index = Tree(files).index()
        count = 4
        assert len(index.root) == 48 + 32 + 44 * count
        begin = slot = seen = 0
        for number in range(count):
            digest, end, first, crc = Struct("<32sIII").unpack_from(
                index.root, 80 + 44 * number
            )
            body = index.body[begin:end]
            assert sha256(body) == digest
            assert crc32(body) == crc
            assert first == slot
            (entries,) = Struct("<I").unpack_from(body)
            at = 4 + 12 * entries
            keys = []
            for position in range(entries):
                crc, row, owned = Struct("<III").unpack_from(body, 4 + 12 * position)
                kind, _, length, variants = Struct("<BBHI").unpack_from(body, row)
                path = body[row + 48 : row + 48 + length]
                assert (row, owned) == (at, slot - first)
                assert crc % count == number
                assert crc == crc32(stem_of(path.decode(), kind).encode())
                keys.append((crc, kind, path))
                at = row + 48 + length + 36 * variants.bit_count()
                slot += 1 + variants.bit_count()
            assert keys == sorted(set(keys))
            assert at == len(body)
            seen += entries
            begin = end
        assert begin == len(index.body)
        assert seen == len(list(index.entries())) == 99 + 2 + 8
        assert slot == index.slots

    def test_a_damaged_page_is_named(self) -> None:
        data, name = make_archive({f"m{number}.py": "" for number in range(50)})
        at = data.index(b"m7.py")
        forged = data[:at] + b"x" + data[at + 1 :]
        index = Archive(forged, name, "/cache/x").index
        number = crc32(b"m7") & 1
        with pytest.raises(DamagedArchive) as caught:
            index.find("m7")
        assert caught.value.member == f"page {number}"
        assert caught.value.hash == name
        assert str(caught.value).startswith("/cache/x: ")
        with pytest.raises(DamagedArchive):
            list(index.entries())
        whole = next(f"m{n}" for n in range(50) if crc32(b"m%d" % n) & 1 != number)
        assert index.find(whole), "the other page still answers"

    def test_row_limits(self) -> None:
        long = "/".join(["d" * 200] * 20) + "/" + "f" * 76
        assert len(long) == MAX_PATH
        data, name = make_archive({long: "x"})
        assert read_everything(data, name)[long][2] == b"x"


class TestBounds:
    """A reader ends in time linear in the size of what it was asked for."""

    @pytest.mark.timeout(10)
    @pytest.mark.parametrize("count", [6, 1 << 20, 2**32 - 1])
    def test_entries_that_are_not_there(self, count: int) -> None:
        body = forge.page([TOP], count=count)
        data, name = forge.archive(forge.root([body]), body, [b""])
        index = Archive(data, name).index
        with pytest.raises(MalformedArchive):
            list(index.entries())
        with pytest.raises(MalformedArchive):
            index.find("a")

    @pytest.mark.timeout(10)
    def test_one_row_many_times(self) -> None:
        """Thousands of directory items for one long row would multiply it."""
        count = 20_000
        at = 4 + 12 * count
        items = b"".join(Struct("<III").pack(0, at, n) for n in range(count))
        row = forge.row("x" * 60_000, kind=1)
        body = count.to_bytes(4, "little") + items + row
        pages = [body] + [forge.page([])] * 1023
        root = forge.root(pages, files=count - 1)
        data, name = forge.archive(root, b"".join(pages), [b""] * count)
        index = Archive(data, name).index
        tracemalloc.start()
        try:
            with pytest.raises(MalformedArchive):
                list(index.entries())
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_a_miss_allocates_next_to_nothing(self) -> None:
        files = {f"p{n // 50}/m{n}.py": "" for n in range(1000)}
        find = Archive(*make_archive(files)).index.find
        names = [f"missing{number}" for number in range(500)]
        for name in names:
            assert find(name) == []
        tracemalloc.start()
        try:
            for name in names:
                find(name)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 1000  # for 500 names: nothing is kept for each
        assert peak < 2000

    def test_opening_and_looking_up_touch_what_they_need(self) -> None:
        """All beyond the index is out of bounds to this process, and stays unread."""
        child = subprocess.run(
            [sys.executable, "-c", UNTOUCHED],
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.stdout.split() == ["opened", "found", "walked"], child.stderr
        assert child.returncode < 0, "reading a member must have ended the process"


UNTOUCHED = """
import ctypes, mmap, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from lazyimport.format.archive import Archive
from lazyimport.format import sha256
from lazyimport.format.entries import DIRECTORY, Entry
from lazyimport.format.build import build_index
from lazyimport.format.entries import listing_of
from lazyimport.format.writer import (write_archive)
import io

blob = b"x" * 100_000
listing = listing_of([("a.txt", 0)])
blobs = {sha256(data): data for data in (blob, listing)}
index = build_index(
    [Entry("a.txt", len(blob), sha256(blob)),
     Entry("", len(listing), sha256(listing), DIRECTORY)], [])
out = io.BytesIO()
write_archive(out, index, blobs.__getitem__, raw=True, first=[sha256(blob)])
memory = mmap.mmap(-1, len(out.getvalue()))
memory[:] = out.getvalue()
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
page = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
rest = ctypes.c_size_t((len(memory) + page - 1) // page * page - page)
if libc.mprotect(ctypes.c_void_p(address + page), rest, 0):
    raise OSError(ctypes.get_errno())
archive = Archive(memory, index.hash)
print("opened", flush=True)
entry, = archive.index.find("a.txt")
print("found", flush=True)
assert len(list(archive.index.entries())) == 2
print("walked", flush=True)
archive.content(entry)
print("read", flush=True)
"""


class TestFilesOfADirectory:
    """All files below a directory at once, which is faster than all entries."""

    def test_are_those_that_the_entries_say(self) -> None:
        files = {f"{top}/d{n % 5}/{n}.txt": "x" for top in "pq" for n in range(99)}
        files |= {"p.py": "", "pp/x.py": "", "p/m.py": "m = 1", "p/ü.txt": "ü"}
        archive = Archive(*make_archive(files))

        found = files_in(archive.index, "p")

        assert {entry.path: entry.row() for entry in found} == {
            entry.path: entry.row()
            for entry in archive.index.entries()
            if entry.path.startswith("p/") and not entry.is_directory
        }
        for entry in found:
            assert archive.index.entry(entry.path).slot == entry.slot  # type: ignore[union-attr]

    def test_have_no_path_that_leads_out(self) -> None:
        data, hash = forge.one_page([TOP, ("p/../../x", forge.row("p/../../x", b"x"))])

        with pytest.raises(MalformedArchive, match=r"'\.\.' component"):
            files_in(Archive(data, hash).index, "p")
