"""docs/format.md says what the code does: its tables and its worked example."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from lazyimport.format import entries, index, sections, sha256
from lazyimport.format.archive import Archive
from lazyimport.format.entries import HAS_DATA, Variant
from tests.support import reference_reader
from tests.support.read_everything import read_everything
from tests.support.trees import Tree

PAGE = Path(__file__).parents[2] / "docs" / "format.md"
pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="the tests run without the documentation"
)


def section(number: int) -> str:
    """Return the text of a section."""
    parts = re.split(r"^## (\d+)\. .*$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))[number]


def tables(text: str) -> list[list[list[str]]]:
    """Return the rows, without the heads, of every table that has offsets."""
    found = []
    for block in re.findall(
        r"^\| offset .*\n\|[ -|]*\n((?:\|.*\n)+)", text, re.MULTILINE
    ):
        rows = [line.strip("| ").split(" | ") for line in block.splitlines()]
        found.append([row for row in rows if row[0].isdigit() and row[1].isdigit()])
    return found


def field_sizes(*layouts: struct.Struct) -> list[int]:
    return [
        struct.calcsize("<" + field)
        for layout in layouts
        for field in re.findall(r"\d*[a-zA-Z]", layout.format)
    ]


class TestTables:
    """Offsets and sizes on the page are those of the code."""

    @pytest.mark.parametrize(
        ("number", "table", "layouts"),
        [
            (2, 0, [sections._HEADER, sections._CHECK]),
            (3, 0, [index.ROOT]),
            (3, 1, [entries.VARIANT]),
            (3, 2, [index.PAGE]),
            (4, 1, [entries.ROW]),
            (5, 0, [sections.SLOT]),
        ],
        ids=["header", "root", "variant", "page record", "row", "slot"],
    )
    def test_layout(
        self, number: int, table: int, layouts: list[struct.Struct]
    ) -> None:
        at = 0
        sizes = []
        for offset, size, *_ in tables(section(number))[table]:
            assert int(offset) == at
            sizes.append(int(size))
            at += int(size)
        assert sizes == field_sizes(*layouts)

    def test_limits(self) -> None:
        text = section(10)
        for limit in (
            f"path | {entries.MAX_PATH:,} bytes",
            f"entries | 2^{index.MAX_ENTRIES.bit_length() - 1} ",
            f"variants | {index.MAX_VARIANTS} ",
            f"root | 2^{index.MAX_ROOT.bit_length() - 1} bytes",
            f"other member | 2^{entries.MAX_MEMBER.bit_length() - 1} bytes",
            f"notes | 2^{sections.MAX_NOTES.bit_length() - 1} bytes",
        ):
            assert limit in text


@pytest.fixture(name="data", scope="module")
def _data() -> bytes:
    """Return the bytes that the page shows."""
    parts = []
    at = 0
    for line in section(12).splitlines():
        match = re.match(r"([0-9a-f]{4})  ((?:[0-9A-F]{2} ?)+)", line)
        if match:
            assert int(match[1], 16) == at, line
            parts.append(bytes.fromhex(match[2]))
            at += len(parts[-1])
    return b"".join(parts)


@pytest.fixture(name="name", scope="module")
def _name() -> str:
    (name,) = re.findall(r"^[0-9a-f]{64}$", section(12), re.MULTILINE)
    return str(name)


class TestExample:
    """Section 12, byte by byte."""

    def test_size(self, data: bytes) -> None:
        assert f"The object has {len(data)} bytes" in section(12)

    def test_is_read(self, data: bytes, name: str) -> None:
        assert (
            read_everything(data, name)
            == reference_reader.read(data, name)
            == {
                "": (1, 0, b"dhello\0", {}),
                "hello": (1, HAS_DATA, b"f__init__.py\0fdata.txt\0", {}),
                "hello/__init__.py": (0, 0, b'print("hi")\n', {0: b"N"}),
                "hello/data.txt": (0, 0, b"Hallo\n", {}),
            }
        )
        archive = Archive(data, name)
        assert archive.notes == {"requires_python": ">=3.11"}
        assert archive.index.variants == (
            Variant("cpython-311", bytes.fromhex("a70d0d0a")),
        )
        assert archive.index.minors == (1 << 64) - (1 << 11)
        assert archive.header.warm == 0

    def test_is_written(self, data: bytes, name: str) -> None:
        tree = Tree(
            {"hello/data.txt": "Hallo\n", "hello/__init__.py": 'print("hi")\n'},
            flags={"hello": HAS_DATA},
            variants=[Variant("cpython-311", bytes.fromhex("a70d0d0a"))],
            compiler=lambda source, variant: b"N",
            minors=(1 << 64) - (1 << 11),
        )
        notes = b'{"requires_python": ">=3.11"}'
        assert tree.archive(raw=True, notes=notes) == (data, name)

    def test_words_that_can_be_checked(self, data: bytes, name: str) -> None:
        text = section(12)
        for begin, end in re.findall(
            r"SHA-256 of ([0-9a-f]{4}) to ([0-9a-f]{4})", text
        ):
            digest = sha256(data[int(begin, 16) : int(end, 16) + 1]).hex()
            assert bytes.fromhex(digest) in data
        at = {
            int(offset, 16): int(number)
            for number, offset in re.findall(r"row at (\d+) \(([0-9a-f]{4})\)", text)
        }
        assert len(at) == 4
        for offset, number in at.items():
            assert f"{offset:04x}  " in text
            assert offset - number == 0x0104
