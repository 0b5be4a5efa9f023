"""docs/format.md, sections 5, 6 and 9: slots, members, their order, and notes."""

from __future__ import annotations

import io
import json
import mmap
import subprocess
import sys
import threading
from struct import Struct
from zlib import crc32

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format import sha256
from lazyimport.format.archive import Archive, decode_notes
from lazyimport.format.entries import Entry, Variant
from lazyimport.format.sections import IN_BASE, MAX_NOTES
from lazyimport.format.writer import encode_notes, recode, write_archive
from tests.support import forge
from tests.support.read_everything import read_everything
from tests.support.trees import Tree, make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.trees import Files

TOP = ("", forge.row("", kind=1))
TEXT = b"the same words again and again " * 40
FILES: Files = {
    "pkg/__init__.py": "from pkg import other\n" * 30,
    "pkg/other.py": "y = 2\n",
    "pkg/data.bin": bytes(range(256)) * 4,
    "copy.bin": bytes(range(256)) * 4,
    "text": TEXT,
    "empty": b"",
}


def entry_of(archive: Archive, path: str) -> Entry:
    entry = archive.index.entry(path)
    assert entry is not None
    return entry


class TestReading:
    """What was written is read, wherever the bytes are."""

    @pytest.mark.parametrize("raw", [True, False])
    def test_content_bytecode_listings(self, raw: bool) -> None:
        tree = Tree(FILES)
        data, name = tree.archive(raw=raw)
        found = read_everything(data, name)
        assert {p: c for p, (k, _, c, _) in found.items() if not k} == tree.files
        assert {p: c for p, (k, _, c, _) in found.items() if k} == tree.listings
        for path, (_, _, content, codes) in found.items():
            expected = path.endswith(".py")
            assert len(codes) == expected, path
            if expected:
                assert codes[0] in tree.blobs.values()
                assert content not in codes.values()

    def test_a_memory_map(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        data, name = make_archive(FILES)
        path = tmp_path_factory.mktemp("map") / "archive"
        path.write_bytes(data)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        archive = Archive(mapped, name)
        content = archive.content(entry_of(archive, "text"))
        assert isinstance(content, memoryview), "no copy"
        assert content.readonly
        assert content == TEXT
        assert [entry.path for entry in archive.index.find("pkg/other")] == [
            "pkg/other.py"
        ]

    def test_from_many_threads(self) -> None:
        """A process imports from several threads at once; contexts are not shared."""
        files = {f"m{n}.txt": (b"%d " % n) * 5000 for n in range(20)}
        archive = Archive(*make_archive(files, raw=False))
        failures: list[object] = []

        def read() -> None:
            for path, content in list(files.items()) * 5:
                try:
                    if archive.content(entry_of(archive, path)) != content:
                        failures.append(path)
                except BaseException as error:
                    failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

    def test_repr_says_which(self) -> None:
        data, name = make_archive({})
        assert repr(Archive(data, name, "/x")) == f"<Archive {name[:12]} in /x>"

    def test_import_weight(self) -> None:
        """Opening an archive loads nothing that a bare interpreter does not have."""
        data, name = make_archive({"a.py": "x = 1"})
        program = (
            "import sys; before = set(sys.modules)\n"
            "from lazyimport.format.archive import Archive\n"
            "import lazyimport.format.delta\n"
            f"archive = Archive({data!r}, {name!r})\n"
            "entry, = archive.index.find('a')\n"
            "assert archive.content(entry) == b'x = 1'\n"
            "print(*sorted(set(sys.modules) - before))"
        )
        child = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        loaded = child.stdout.split()
        assert "lazyimport.format.archive" in loaded
        rest = {name for name in loaded if not name.startswith("lazyimport")}
        sha256 = {"_sha2", "_sha256"}
        assert rest <= {"__future__", "gc", "struct", "_struct", "zlib", *sha256}


class TestSlots:
    """A row owns 1 + (bits set in *variants*) consecutive slots."""

    def test_table(self) -> None:
        variants = [Variant("aaa", b"0000"), Variant("bbb", b"0000")]
        tree = Tree(
            {"m.py": "x = 1", "t": "t"},
            variants=variants,
            compiler=lambda source, variant: variant.tag.encode(),
        )
        data, name = tree.archive(raw=True)
        fields = forge.fields_of(data)
        assert fields["slots"] == 20 * 5
        at = 128 + fields["root"] + fields["pages"]
        members = data[at + fields["slots"] :]
        archive = Archive(data, name)
        for entry in archive.index.entries():
            for slot, size, digest in entry.members():
                offset, stored, crc = Struct("<QQI").unpack_from(data, at + 20 * slot)
                assert stored == size
                assert sha256(members[offset : offset + stored]) == digest
                assert crc32(members[offset : offset + stored]) == crc
                assert archive.stored(slot) == (offset, stored)

    def test_equal_contents_are_stored_once(self) -> None:
        archive = Archive(*make_archive(FILES))
        one, other = entry_of(archive, "copy.bin"), entry_of(archive, "pkg/data.bin")
        assert one.slot != other.slot
        assert archive.stored(one.slot) == archive.stored(other.slot)

    @pytest.mark.parametrize("slot", [-1, 2, 1 << 40])
    def test_no_such_slot(self, slot: int) -> None:
        archive = Archive(*forge.one_page([TOP], [b"", b""], slots=2))
        with pytest.raises(DamagedArchive, match=f"slot {slot}"):
            archive.stored(slot)
        with pytest.raises(DamagedArchive):
            archive.member(slot, 0, sha256(b""), "path")

    @pytest.mark.parametrize(
        "slot",
        [(0, 10), (1, 9), (10, 0), (1 << 63, 4), (IN_BASE, 0), (0, IN_BASE), (6, 5)],
        ids=str,
    )
    def test_outside_the_members_or_too_large(self, slot: tuple[int, int]) -> None:
        """It MUST lie within the section. The stored size MUST NOT be greater."""
        rows = [TOP, ("a", forge.row("a", b"12345"))]
        members: list[bytes | tuple[int, int]] = [b"", slot]
        data, name = forge.archive(
            forge.root([forge.page(rows)], files=1),
            forge.page(rows),
            members,
            tail=b"123456789",
        )
        archive = Archive(data, name, "gs://x")
        with pytest.raises(DamagedArchive) as caught:
            archive.content(entry_of(archive, "a"))
        error = caught.value
        assert (error.hash, error.member) == (name, "a")
        assert error.expected == sha256(b"12345").hex()
        assert str(error).startswith("gs://x: a of archive")

    def test_another_digest(self) -> None:
        """MUST check the digest of every member it hands out."""
        data, name = make_archive({"a": "12345"})
        archive = Archive(data.replace(b"12345", b"12346"), name)
        with pytest.raises(DamagedArchive, match="digest") as caught:
            archive.content(entry_of(archive, "a"))
        assert caught.value.actual == sha256(b"12346").hex()
        assert archive.content(entry_of(archive, "")), "others are not affected"

    def test_the_top_directory_has_a_name_in_errors(self) -> None:
        data, name = make_archive({"abc": ""})
        archive = Archive(data.replace(b"fabc\0", b"fabd\0"), name)
        with pytest.raises(DamagedArchive, match="the top directory"):
            archive.content(entry_of(archive, ""))


class TestFrames:
    """Smaller: exactly one zstd frame that declares its content size."""

    SIZE = 300_000
    BLOCKS = (131072, 131072, 300_000 - 262144)

    def read(self, frame: bytes) -> bytes:
        rows = [TOP, ("a", forge.row("a", bytes(self.SIZE)))]
        archive = Archive(*forge.one_page(rows, [b"", frame]))
        return bytes(archive.content(entry_of(archive, "a")))

    def test_whole(self) -> None:
        assert self.read(forge.zstd_frame(self.SIZE, self.BLOCKS)) == bytes(self.SIZE)

    @pytest.mark.parametrize(
        "frame",
        [
            forge.zstd_frame(None, BLOCKS),
            forge.zstd_frame(SIZE + 1, BLOCKS),
            forge.zstd_frame(SIZE - 1, BLOCKS),
            forge.zstd_frame(SIZE, BLOCKS[:2]),
            forge.zstd_frame(SIZE, (*BLOCKS, 1)),
            forge.zstd_frame(SIZE, BLOCKS, dictionary=7),
            forge.zstd_frame(SIZE, BLOCKS) + b"\0",
            forge.zstd_frame(SIZE, BLOCKS) * 2,
            b"\x50\x2a\x4d\x18\4\0\0\0skip" + forge.zstd_frame(SIZE, BLOCKS),
            forge.zstd_frame(SIZE, BLOCKS) + b"\x50\x2a\x4d\x18\4\0\0\0skip",
            forge.zstd_frame(SIZE, BLOCKS)[:-1],
            forge.zstd_frame(SIZE, BLOCKS)[:-4],
            forge.zstd_frame(SIZE, BLOCKS)[:7],
            b"",
            b"no frame at all, whatever this is",
        ],
        ids=[
            "declares nothing",
            "declares more",
            "declares less",
            "holds less",
            "holds more",
            "dictionary",
            "trailing byte",
            "two frames",
            "skippable frame first",
            "skippable frame last",
            "cut",
            "last block cut",
            "header cut",
            "nothing",
            "text",
        ],
    )
    def test_anything_else(self, frame: bytes) -> None:
        with pytest.raises(DamagedArchive) as caught:
            self.read(frame)
        assert caught.value.member == "a"


class TestOrder:
    """What a start reads, then bytecode, listings and data, sources."""

    TREE = Tree({"b.py": "x = 1", "a.py": "y = 2", "z.txt": "z", "bad.py": "("})

    def names(self, data: bytes, name: str) -> tuple[list[str], list[str]]:
        """Return what lies before and from the warm size on, in order."""
        archive = Archive(data, name)
        placed = {}
        for entry in archive.index.entries():
            for slot, _, digest in entry.members():
                what = entry.path + (" code" if digest != entry.digest else "")
                placed[archive.stored(slot)[0]] = what
        warm = archive.header.warm
        return (
            [placed[at] for at in sorted(placed) if at < warm],
            [placed[at] for at in sorted(placed) if at >= warm],
        )

    @pytest.mark.parametrize("raw", [True, False])
    def test_of_this_writer(self, raw: bool) -> None:
        assert self.names(*self.TREE.archive(raw=raw)) == (
            [],
            ["a.py code", "b.py code", "", "bad.py", "z.txt", "a.py", "b.py"],
        )

    def test_recorded_start(self) -> None:
        """Sources may be in it too: whatever it read, in its order."""
        digest = {entry.path: entry.digest for entry in self.TREE.entries}
        _, code = self.TREE.entries[0].codes().__next__()
        recorded = [digest["a.py"], b"unknown" * 4, code.digest, digest["a.py"]]
        data, name = self.TREE.archive(raw=True, first=recorded)
        assert self.names(data, name) == (
            ["a.py", "b.py code"],
            ["a.py code", "", "bad.py", "z.txt", "b.py"],
        )
        assert name == self.TREE.archive()[1]
        out = io.BytesIO()
        recode(Archive(data, name), out, raw=False)
        assert self.names(out.getvalue(), name) == self.names(data, name)


class TestWriting:
    """`write_archive` writes what the index promises, or nothing that passes."""

    def test_at_the_place_where_the_file_is(self) -> None:
        tree = Tree(FILES)
        index = tree.index()
        out = io.BytesIO(b"before")
        out.seek(6)
        header = write_archive(out, index, tree.blobs.__getitem__)
        assert out.tell() == 6 + header.size
        out.write(b"after")
        data = out.getvalue()
        assert (data[:6], data[-5:]) == (b"before", b"after")
        assert read_everything(data[6:-5], index.hash)
        assert header.encode() == data[6 : 6 + 128]

    @pytest.mark.parametrize("raw", [True, False])
    def test_bytes_that_changed_meanwhile(self, raw: bool) -> None:
        tree = Tree({"a.txt": "12345"})
        index = tree.index()
        tree.blobs[sha256(b"12345")] = b"12346"
        with pytest.raises(
            DamagedArchive, match="changed while it was written"
        ) as error:
            write_archive(io.BytesIO(), index, tree.blobs.__getitem__, raw=raw)
        assert error.value.expected == sha256(b"12345").hex()

    def test_a_size_that_was_never_true(self) -> None:
        tree = Tree({"a.txt": "12345"})
        tree.entries[0].size = 4
        with pytest.raises(DamagedArchive):
            tree.archive()

    def test_an_error_of_the_reader_ends_it(self) -> None:
        tree = Tree({f"{number}.txt": str(number) for number in range(2000)})

        def read(digest: bytes) -> bytes:
            raise KeyError(digest)

        for raw in (True, False):
            with pytest.raises(KeyError):
                write_archive(io.BytesIO(), tree.index(), read, raw=raw)

    def test_the_hash_does_not_depend_on_how_it_is_stored(self) -> None:
        one = make_archive(FILES, raw=True)
        other = make_archive(FILES, raw=False, notes={"a": 1})
        assert one[1] == other[1]
        assert len(other[0]) < len(one[0])

    def test_recode_of_a_forged_index(self) -> None:
        """What it wrote would be read through slots of other members."""
        rows = [TOP, ("a", forge.row("a", b"1")), ("b", forge.row("b", b"2"))]
        rows.sort(key=lambda row: Struct("<I").pack(0) + row[1][48:])
        body = forge.page(rows[:1] + rows[2:] + rows[1:2])
        data, name = forge.archive(forge.root([body], files=2), body, [b"", b"2", b"1"])
        out = io.BytesIO()
        try:
            recode(Archive(data, name), out, raw=True)
        except MalformedArchive:
            return
        assert read_everything(out.getvalue(), name)

    def test_recode_of_slots_counted_twice(self) -> None:
        body = bytearray(forge.page([TOP, ("a", forge.row("a"))]))
        body[4 + 12 + 8] = 0  # the second entry owns the slot of the first
        root = forge.root([bytes(body)], files=1)
        archive = Archive(*forge.archive(root, bytes(body), [b"", b""]))
        with pytest.raises(MalformedArchive):
            recode(archive, io.BytesIO(), raw=True)


class TestNotes:
    """UTF-8 JSON, an object, at most 1 MiB. A reader MUST work without it."""

    def test_round_trip(self) -> None:
        notes = {"excluded": {"tests/": "*/tests"}, "requires_python": ">=3.10", "ü": 1}
        data, name = make_archive({"a": ""}, notes=notes)
        archive = Archive(data, name)
        assert archive.notes == notes
        assert json.loads(data[archive.header.notes_at :].decode()) == notes

    def test_none(self) -> None:
        assert Archive(*make_archive({"a": ""})).notes == {}

    def test_file_names_that_are_no_text(self) -> None:
        """os.fsdecode gives surrogates for them, which UTF-8 has no bytes for."""
        notes: dict[str, object] = {"excluded": {"caf\udce9.py": "encoding"}}
        assert decode_notes(encode_notes(notes)) == notes

    @pytest.mark.parametrize(
        "data",
        [
            b"[]",
            b"1",
            b"{",
            b"\xff\xfe",
            b'{"a": "\xff"}',
            b"[" * 100_000,
            b"1" * 100_000,
            b"nul",
            b"\0" * 9,
        ],
        ids=lambda data: repr(data[:9]),
    )
    def test_defects_are_no_notes(self, data: bytes) -> None:
        tree = Tree({"a": "content"})
        made, name = tree.archive(notes=data)
        assert Archive(made, name).notes == {}
        assert read_everything(made, name)["a"][2] == b"content"

    def test_too_many(self) -> None:
        assert encode_notes({"a": "x" * MAX_NOTES}) == b"{}"
        assert len(encode_notes({"a": "x" * (MAX_NOTES - 20)})) > 1
        with pytest.raises(ValueError, match="notes"):
            Tree({"a": ""}).archive(notes=b" " * (MAX_NOTES + 1))
