"""docs/format.md, sections 3 and 4: root and pages of an index."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from bisect import bisect
from struct import Struct
from zlib import crc32

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.entries import DIRECTORY, MAX_PATH, Variant, place_of, stem_of
from lazyimport.format.folders import files_in
from lazyimport.format.pages import divide
from lazyimport.format.patch import differing_pages
from tests.support import forge
from tests.support.read_everything import read_everything
from tests.support.trees import Tree, make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


TOP = ("", forge.row("", kind=1))


class TestRoot:
    """The root says how many there are of everything, and names each page."""

    def test_fields(self) -> None:
        variants = [Variant("cpython-313", b"abcd", 2), Variant("cpython-310", b"efgh")]
        files = {f"p/m{number}.py": f"x = {number}" for number in range(66)}
        tree = Tree(files, variants=variants, minors=1 << 10)
        index = tree.index()
        magic, minors, count, directories, pages, slots, kinds, _ = Struct(
            "<8sQIIIIB15s"
        ).unpack_from(index.root)
        assert (magic, minors, kinds) == (b"LZYROOT1", 1 << 10, 2)
        assert (count, directories, pages, slots) == (66, 2, 3, 66 * 3 + 2)
        assert len(index.root) == 48 + 2 * 32 + 3 * (8 + 44)
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
            {"directories": 0},  # less than there are pages
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
    """Entries are ordered by place, then by kind, then by the bytes of the path."""

    def test_layout(self) -> None:
        files = {f"d{number % 7}/m{number}.py": f"x = {number}" for number in range(99)}
        files["d1.py"] = files["d1/__init__.py"] = "pass"
        index = Tree(files).index()
        count = index.pages
        assert count > 1
        assert len(index.root) == 48 + 32 + (8 + 44) * count
        starts = [*Struct(f"<{count}Q").unpack_from(index.root, 80), 1 << 64]
        begin = slot = seen = 0
        for number in range(count):
            digest, end, first, crc = Struct("<32sIII").unpack_from(
                index.root, 80 + 8 * count + 44 * number
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
                stem = stem_of(path.decode(), kind).encode()
                top, folder = stem.partition(b"/")[0], stem.rpartition(b"/")[0] or stem
                place = crc32(top) >> 16 << 48 | crc32(folder) >> 16 << 32 | crc
                assert crc == crc32(stem)
                assert starts[number] <= place < starts[number + 1]
                keys.append((place, kind, path))
                at = row + 48 + length + 36 * variants.bit_count()
                slot += 1 + variants.bit_count()
            assert keys == sorted(set(keys))
            assert at == len(body)
            seen += entries
            begin = end
        assert begin == len(index.body)
        assert seen == len(list(index.entries())) == 99 + 2 + 8
        assert slot == index.slots

    @pytest.mark.parametrize(
        "files",
        [
            {f"flat/{number}.txt": "" for number in range(5000)},
            {f"d{number}/x.py": "" for number in range(2500)},
            {f"top/d{number}/x.py": "" for number in range(2500)},
            {f"{number}.py": "" for number in range(5000)},
        ],
        ids=["one folder", "a folder each", "a folder each in one", "at the top"],
    )
    def test_have_no_more_than_64_entries(self, files: dict[str, str]) -> None:
        index = Tree(files).index()
        sizes = [len(index.page_entries(number)) for number in range(index.pages)]
        assert max(sizes) <= 64
        assert sum(sizes) > 20 * len(sizes)
        for path in list(files)[::100]:
            assert [entry.path for entry in index.find(stem_of(path))][-1] == path

    def test_have_one_place_together(self) -> None:
        """No division takes them apart, and none goes on for ever."""
        placed = [(5, 1, None)] * 100 + [(6, 1, None)]
        assert [(start, len(page)) for start, page in divide(placed)] == [
            (5, 100),
            (6, 1),
        ]

    def test_have_a_package_together(self) -> None:
        files = {f"p{number % 97}/m{number}.py": "" for number in range(9700)}
        files |= {f"p7/sub{number % 9}/m{number}.py": "" for number in range(90)}
        index = Tree(files).index()
        stems = [stem_of(path) for path in files if path.startswith("p7/")]
        pages = {index.page_of(stem) for stem in ["p7", *stems]}
        assert len(stems) == 190
        assert len(pages) <= 10
        assert max(pages) - min(pages) < len(pages)

    def test_a_new_file_is_the_matter_of_few(self) -> None:
        files = {f"p{number % 50}/m{number}.py": "" for number in range(1500)}
        new = Tree(files).index()
        for number in range(40):
            files[f"p1/n{number}.py"] = ""
            old, new = new, Tree(files).index()
            assert len(differing_pages(old, new)) <= 3

    def test_that_are_divided_otherwise(self) -> None:
        """The same entries in other pages: refused by whoever walks over all."""
        rows = sorted(
            (place_of(path), path, forge.row(path)) for path in map(str, range(70))
        )
        rows.insert(bisect([place for place, *_ in rows], 0), (0, *TOP))
        half = [row for row in rows if row[0] < 1 << 63]
        rest = rows[len(half) :]
        for cut, starts in (
            (len(half), [0, 1 << 63]),
            (len(half) - 1, [0, half[-1][0]]),
            (len(half), [0, rest[0][0]]),
            (len(half), [1, 1 << 63]),
            (len(half), [1 << 63, 0]),
            (0, [0]),
        ):
            pages = [
                forge.page([row[1:] for row in part])
                for part in (rows[:cut], rows[cut:])
                if part
            ]
            firsts = [0, cut][: len(pages)]
            root = forge.root(pages, files=70, starts=starts, firsts=firsts)
            index = Archive(*forge.archive(root, b"".join(pages), [b""] * 71)).index
            if starts == [0, 1 << 63]:
                assert len(list(index.entries())) == 71
                continue
            with pytest.raises(MalformedArchive):
                list(index.entries())

    def test_a_damaged_page_is_named(self) -> None:
        data, name = make_archive({f"m{number}.py": "" for number in range(90)})
        at = data.index(b"m7.py")
        forged = data[:at] + b"x" + data[at + 1 :]
        index = Archive(forged, name, "/cache/x").index
        number = index.page_of("m7")
        with pytest.raises(DamagedArchive) as caught:
            index.find("m7")
        assert caught.value.member == f"page {number}"
        assert caught.value.hash == name
        assert str(caught.value).startswith("/cache/x: ")
        with pytest.raises(DamagedArchive):
            list(index.entries())
        whole = next(f"m{n}" for n in range(90) if index.page_of(f"m{n}") != number)
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

    @pytest.mark.parametrize("name", ["missing{}", "p1/missing{}", "nowhere{}/x"])
    def test_a_miss_allocates_next_to_nothing(self, name: str) -> None:
        files = {f"p{n // 50}/m{n}.py": "" for n in range(1000)}
        index = Archive(*make_archive(files)).index
        find = index.find
        assert len(list(index.entries())) == 1021  # so all pages are proved
        for number in range(100):
            assert find(name.format(number)) == []
        names = [name.format(number) for number in range(100, 600)]
        tracemalloc.start()
        try:
            for each in names:
                find(each)
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

    def test_are_found_where_other_pages_are_damaged(self) -> None:
        files = {f"{top}/d{n}/{n}.txt": "x" for top in "pqrs" for n in range(99)}
        data, hash = make_archive(files)
        forged = bytearray(data)
        index = Archive(data, hash).index
        for number in {index.page_of(f"q/d{n}/{n}.txt") for n in range(99)}:
            forged[
                Archive(data, hash).header.pages_at + index.page_place(number)[0]
            ] ^= 1
        index = Archive(bytes(forged), hash).index

        assert len(files_in(index, "p")) == 99
        with pytest.raises(DamagedArchive):
            files_in(index, "q")

    def test_have_no_path_that_leads_out(self) -> None:
        data, hash = forge.one_page([TOP, ("p/../../x", forge.row("p/../../x", b"x"))])

        with pytest.raises(MalformedArchive, match=r"'\.\.' component"):
            files_in(Archive(data, hash).index, "p")
