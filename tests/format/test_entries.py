"""docs/format.md, sections 3 and 4: variants, entries, rows, paths, stems, listings."""

from __future__ import annotations

from zlib import crc32

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.build import build_index
from lazyimport.format.entries import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    HAS_DATA,
    LOOKS_AT_FILES,
    MAX_PATH,
    Code,
    Entry,
    Variant,
    check_path,
    listing_of,
    parse_listing,
    place_of,
    stem_of,
)
from tests.support import forge
from tests.support.trees import Tree, make_archive, running_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.trees import Files

TOP = ("", forge.row("", kind=1))

# Two pairs of stems that have the same CRC-32, and so lie side by side.
TWINS = [("plumless", "buckeroo"), ("codding", "gnu")]


class TestVariants:
    """A Python MAY use a variant only if tag, magic and optimization are its own."""

    def test_lookup(self) -> None:
        here = running_variant()
        tree = Tree({"a.py": ""}, variants=[Variant("aaa", b"0000"), here])
        index = Archive(*tree.archive()).index
        assert index.variant(here.tag, here.magic, here.optimization) == 1
        assert index.variant("aaa", b"0000", 0) == 0
        assert index.variant("aaa", b"0001", 0) == -1
        assert index.variant("aaa", b"0000", 1) == -1
        assert index.variant("aa", b"0000", 0) == -1

    @pytest.mark.parametrize("tag", ["", "x" * 40, "ü"])
    def test_lookup_of_what_no_archive_has(self, tag: str) -> None:
        index = Archive(*make_archive({"a.py": ""})).index
        assert index.variant(tag, b"", 9) == -1

    @pytest.mark.parametrize(
        "variant",
        [
            Variant("", b"0000"),
            Variant("x" * 25, b"0000"),
            Variant("a\0b", b"0000"),
            Variant("ü", b"0000"),
            Variant("a", b"000"),
            Variant("a", b"0000", 3),
        ],
    )
    def test_one_that_has_no_record(self, variant: Variant) -> None:
        with pytest.raises(ValueError):
            variant.encode()

    def test_is_a_value(self) -> None:
        one, same = (
            Variant("cpython-311", b"abcd", 1),
            Variant("cpython-311", b"abcd", 1),
        )
        assert one == same
        assert len({one, same, Variant("cpython-311", b"abcd")}) == 2
        assert one != "cpython-311-O1"
        assert (str(one), str(Variant("pypy310", b"abcd"))) == (
            "cpython-311-O1",
            "pypy310",
        )
        assert Variant.decode(one.encode()) == one

    def test_at_most_32(self) -> None:
        variants = [Variant(f"v{number:02}", b"0000") for number in range(33)]
        tree = Tree({"a.py": ""}, variants=variants[:32], compiler=lambda s, v: s)
        entry = Archive(*tree.archive()).index.entry("a.py")
        assert entry is not None
        assert entry.variants == (1 << 32) - 1
        with pytest.raises(ValueError, match="32"):
            build_index(tree.entries, variants)
        with pytest.raises(ValueError, match="twice"):
            build_index(tree.entries, variants[:1] * 2)


class TestEntry:
    """An entry knows what its row says."""

    def test_codes(self) -> None:
        entry = Entry("a.py", 3, b"s" * 32, flags=EXECUTABLE)
        assert list(entry.codes()) == []
        assert entry.code(0) is None
        both = entry.with_codes({5: Code(55, b"5" * 32), 1: Code(11, b"1" * 32)})
        both.slot = 7
        assert (both.variants, both.slots, both.flags) == (0b100010, 3, EXECUTABLE)
        assert [(n, c.size, c.digest[:1], c.slot) for n, c in both.codes()] == [
            (1, 11, b"1", 8),
            (5, 55, b"5", 9),
        ]
        assert [both.code(number) for number in (-1, 0, 2, 31, 32)] == [None] * 5
        assert list(both.members()) == [
            (7, 3, b"s" * 32),
            (8, 11, b"1" * 32),
            (9, 55, b"5" * 32),
        ]

    def test_kinds(self) -> None:
        file, folder = Entry("a", 0, bytes(32)), Entry("b", 0, bytes(32), DIRECTORY)
        assert not file.is_directory
        assert folder.is_directory
        assert repr(file) == "<file 'a' 0 bytes 000000000000>"
        assert repr(folder).startswith("<directory 'b'")


class TestRows:
    """Rows that their author hashed are believed, but their shape is checked."""

    @pytest.mark.parametrize(
        "spoilt",
        [
            forge.row("a.py", kind=2),
            forge.row("a.py", flags=1 << 3),
            forge.row("a.py", path_size=5),
            forge.row("a.py", path_size=65535),
            forge.row("a.py", path_size=3),
            forge.row("a.py", variants=1),
            forge.row("a.py", variants=2, codes=bytes(36)),
            forge.row("a.py", variants=2**32 - 1),
            forge.row("a.py", size=(1 << 40) + 1),
            forge.row("a.py", codes=b"something"),
            forge.row("a.py")[:-1],
            forge.row("a.py")[:20],
            b"",
            forge.row("b.py"),
            forge.row(b"a\xff.py"),
        ],
        ids=range(15),
    )
    def test_spoilt(self, spoilt: bytes) -> None:
        variant = b"cpython-311".ljust(32, b"\0")
        made = forge.one_page([TOP, ("a", spoilt)], variants=variant)
        index = Archive(*made).index
        with pytest.raises(MalformedArchive, match=r"page 0 .* makes no sense"):
            list(index.entries())
        try:
            found = index.find("a")
        except MalformedArchive:
            return
        assert {stem_of(entry.path, entry.kind) for entry in found} <= {"a"}

    def test_whole(self) -> None:
        """The one that the cases above spoil."""
        entry = forge.row("a.py", flags=EXECUTABLE | LOOKS_AT_FILES)
        archive = Archive(*forge.one_page([TOP, ("a", entry)]))
        assert [entry.path for entry in archive.index.entries()] == ["", "a.py"]

    @pytest.mark.parametrize(
        "rows",
        [
            [TOP, ("a", forge.row("a")), ("a", forge.row("a"))],
            [("a", forge.row("a")), TOP],
            [TOP, ("a", forge.row("a", kind=1)), ("a", forge.row("a"))],
            [TOP, ("a", forge.row("a.py")), ("a", forge.row("a.pyc"))][::-1],
        ],
        ids=["twice", "by crc", "by kind", "by path"],
    )
    def test_out_of_order(self, rows: list[tuple[str, bytes]]) -> None:
        directories = sum(row[0] for _, row in rows)
        made = forge.one_page(
            rows, files=len(rows) - directories, directories=directories
        )
        with pytest.raises(MalformedArchive, match="out of order"):
            list(Archive(*made).index.entries())

    def test_a_file_of_the_top_directorys_path(self) -> None:
        made = forge.one_page([("", forge.row("")), TOP], files=1)
        with pytest.raises(MalformedArchive, match="top directory"):
            list(Archive(*made).index.entries())

    def test_flags_of_a_directory(self) -> None:
        flagged = forge.row("", kind=1, flags=HAS_DATA)
        assert list(Archive(*forge.one_page([("", flagged)])).index.entries())
        unknown = forge.row("", kind=1, flags=1 << 5)
        with pytest.raises(MalformedArchive, match="flags"):
            list(Archive(*forge.one_page([("", unknown)])).index.entries())

    def test_bytecode_of_a_directory(self) -> None:
        odd = forge.row("", kind=1, variants=1, codes=bytes(36))
        variant = b"cpython-311".ljust(32, b"\0")
        made = forge.one_page([("", odd)], [b"", b""], variants=variant, slots=2)
        with pytest.raises(MalformedArchive, match="not a source"):
            list(Archive(*made).index.entries())

    def test_entries_in_the_wrong_page(self) -> None:
        """A lookup would not find it, so a listing must not show it."""
        rows = [(f"{n:02}", forge.row(f"{n:02}")) for n in range(70)] + [TOP]
        rows.sort(key=lambda row: place_of(row[0]))
        halves = [[], []]  # type: list[list[tuple[str, bytes]]]
        for item in rows:
            halves[place_of(item[0]) >> 63].append(item)
        right = [forge.page(half) for half in halves]
        wrong = right[::-1]
        for pages, good in ((right, True), (wrong, False)):
            root = forge.root(pages, files=70, starts=[0, 1 << 63])
            data, name = forge.archive(root, b"".join(pages), [b""] * 71)
            index = Archive(data, name).index
            with pytest.raises(
                MalformedArchive, match="slots" if good else "out of order"
            ):
                list(index.entries())
            assert bool(index.find("00")) is good

    def test_counts_that_do_not_hold(self) -> None:
        made = forge.one_page([TOP], files=3, slots=4, members=[b""] * 4)
        with pytest.raises(MalformedArchive, match="do not add up"):
            list(Archive(*made).index.entries())

    def test_pages_that_overlap(self) -> None:
        pages = [forge.page([TOP]), forge.page([])]
        root = forge.root(pages, files=32, slots=33, ends=[len(pages[0]), 10])
        data, name = forge.archive(root, b"".join(pages), [b""] * 33)
        with pytest.raises(MalformedArchive, match="outside"):
            list(Archive(data, name).index.entries())

    @pytest.mark.parametrize("end", [0, 3, 1 << 20, 2**32 - 1])
    def test_page_beyond_the_pages(self, end: int) -> None:
        body = forge.page([TOP])
        root = forge.root([body], ends=[end])
        data, name = forge.archive(root, body, [b""])
        index = Archive(data, name).index
        with pytest.raises((MalformedArchive, DamagedArchive)):
            index.find("a")
        with pytest.raises((MalformedArchive, DamagedArchive)):
            list(index.entries())


class TestPaths:
    """A path MUST NOT have an empty component, `.` or `..`, NUL, `\\`, or `/` first."""

    GOOD = ("", "a", "a/b", "...", "a/.b", "a..b/c", "ü/日本", "a b", "a:b")
    BAD = (
        "/a", "a/", "a//b", ".", "..", "./a", "a/..", "a/../b", "a/.", "a\0", "a\\b", "/",
        "a" * (MAX_PATH + 1), "ü" * (MAX_PATH // 2 + 1), "\udc80",
    )  # fmt: skip

    @pytest.mark.parametrize("path", GOOD)
    def test_good(self, path: str) -> None:
        assert check_path(path) == path

    @pytest.mark.parametrize("path", BAD, ids=lambda path: ascii(path[:12]))
    def test_bad(self, path: str) -> None:
        with pytest.raises(ValueError):
            check_path(path)

    @pytest.mark.parametrize("path", BAD, ids=lambda path: ascii(path[:12]))
    def test_bad_in_an_archive(self, path: str) -> None:
        """The author of an archive may be an attacker, and name a true hash."""
        name = path.encode("utf-8", "surrogateescape")
        rows: list[tuple[str | bytes, bytes]] = [TOP, (name, forge.row(name))]
        archive = Archive(*forge.one_page(rows))
        with pytest.raises(MalformedArchive):
            list(archive.index.entries())

    @pytest.mark.parametrize("path", BAD, ids=lambda path: ascii(path[:12]))
    def test_bad_when_building(self, path: str) -> None:
        entries = Tree({"a": ""}).entries
        with pytest.raises(ValueError):
            build_index([*entries, Entry(path, 0, bytes(32))], [])


class TestStems:
    """The stem of an entry decides its page."""

    @pytest.mark.parametrize(
        ("path", "kind", "stem"),
        [
            # pkg/, pkg/__init__.py, pkg.py and pkg.<tag>.so all have the stem pkg.
            ("pkg", DIRECTORY, "pkg"),
            ("pkg/__init__.py", FILE, "pkg"),
            ("pkg.py", FILE, "pkg"),
            ("pkg.cpython-311-x86_64-linux-gnu.so", FILE, "pkg"),
            ("pkg.pyc", FILE, "pkg"),
            ("pkg.pyd", FILE, "pkg"),
            ("pkg/__init__.abi3.so", FILE, "pkg"),
            # of a directory: its path
            ("", DIRECTORY, ""),
            ("a/b.py", DIRECTORY, "a/b.py"),
            ("a/__init__", DIRECTORY, "a/__init__"),
            ("six-1.16.0.dist-info", DIRECTORY, "six-1.16.0.dist-info"),
            # the name cut at its first dot
            ("a/b.c.d.py", FILE, "a/b"),
            ("a.b/c.py", FILE, "a.b/c"),
            ("a/b/__init__.py", FILE, "a/b"),
            ("__init__.py", FILE, ""),
            ("a/__init__x.py", FILE, "a/__init__x"),
            # a name that begins with a dot is not cut
            (".hidden.py", FILE, ".hidden.py"),
            ("a/.py", FILE, "a/.py"),
            # of any other file: its path
            ("a/data.txt", FILE, "a/data.txt"),
            ("a/b.pyi", FILE, "a/b.pyi"),
            ("libx.so.1", FILE, "libx.so.1"),
            ("a/b.PY", FILE, "a/b.PY"),
            ("py", FILE, "py"),
        ],
    )
    def test_table(self, path: str, kind: int, stem: str) -> None:
        assert stem_of(path, kind) == stem

    def test_everything_of_one_import_in_one_lookup(self) -> None:
        suffix = ".cpython-311-x86_64-linux-gnu.so"
        files: Files = {
            "pkg/__init__.py": "",
            "pkg.py": "",
            f"pkg{suffix}": b"",
            "pkg.txt": "",
            "pk.py": "",
            "pkg/pkg.py": "",
        }
        index = Archive(*make_archive(files)).index
        assert [(entry.path, entry.kind) for entry in index.find("pkg")] == [
            (f"pkg{suffix}", FILE),
            ("pkg.py", FILE),
            ("pkg/__init__.py", FILE),
            ("pkg", DIRECTORY),
        ]

    @pytest.mark.parametrize("twins", TWINS)
    def test_stems_of_the_same_crc(self, twins: tuple[str, str]) -> None:
        one, other = twins
        assert crc32(one.encode()) == crc32(other.encode())
        both = Archive(*make_archive({f"{one}.py": "x = 1", other: "data"})).index
        assert [entry.path for entry in both.find(one)] == [f"{one}.py"]
        assert [entry.path for entry in both.find(other)] == [other]
        alone = Archive(*make_archive({f"{one}.py": "x = 1"})).index
        assert alone.find(other) == []
        assert alone.entry(other) is None

    def test_a_stem_no_path_can_have(self) -> None:
        index = Archive(*make_archive({"a.py": ""})).index
        for stem in ["\udc80", "a\udfff", "/", "..", "a/", "\0", "a.py"]:
            assert index.find(stem) == []
            assert index.entry(stem) is None or stem == "a.py"


class TestListings:
    """The listing names the children of a directory in the order of their bytes."""

    def test_bytes(self) -> None:
        children = [("b", FILE), ("a", DIRECTORY), ("ü", FILE), ("B.py", FILE)]
        listing = listing_of(children)
        assert listing == b"fB.py\0da\0fb\0f\xc3\xbc\0"
        assert parse_listing(listing) == sorted(children)
        assert parse_listing(memoryview(listing)) == sorted(children)
        assert parse_listing(listing_of([])) == []

    @pytest.mark.parametrize(
        "listing",
        [
            b"fa", b"\0", b"f\0", b"a\0", b"xa\0", b"fb\0fa\0", b"fa\0fa\0", b"fa\0da\0",
            b"fa/b\0", b"f..\0", b"d.\0", b"f/etc/passwd\0", b"f\xff\0", b"fa\0\0",
            b"fa\\b\0", b"f" + b"a" * 5000 + b"\0", b"f\xed\xb2\x80\0",
        ],
        ids=lambda listing: repr(listing[:12]),
    )  # fmt: skip
    def test_garbage(self, listing: bytes) -> None:
        with pytest.raises(MalformedArchive, match="listing"):
            parse_listing(listing)
