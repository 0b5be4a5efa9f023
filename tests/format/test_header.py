"""docs/format.md, section 2."""

from __future__ import annotations

from hashlib import sha256
from zlib import crc32

import pytest

from lazyimport.errors import MalformedArchive, UnsupportedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.sections import HEADER_SIZE, MAX_NOTES, Header
from tests.support.forge import fields_of, reheaded
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.trees import Files

FILES: Files = {"pkg/__init__.py": "x = 1\n", "pkg/data.txt": "text", "empty": b""}


@pytest.fixture(name="made", scope="module")
def _made() -> tuple[bytes, str]:
    return make_archive(FILES, notes={"requires_python": ">=3.10"})


class TestFields:
    """The five sizes and 128 MUST add up to the size of the object."""

    def test_stand_where_the_page_says(self, made: tuple[bytes, str]) -> None:
        data, name = made
        fields = fields_of(data)
        assert fields["magic"] == b"\x89LZY\r\n\x1a\n"
        assert (fields["version"], fields["flags"]) == (1, 0)
        assert fields["hash"].hex() == name
        assert fields["base"] == bytes(32)
        sections = ("root", "pages", "slots", "members", "notes")
        assert sum(fields[section] for section in sections) + 128 == len(data)

    def test_the_hash_is_that_of_the_root(self, made: tuple[bytes, str]) -> None:
        data, name = made
        root = data[128 : 128 + fields_of(data)["root"]]
        assert sha256(root).hexdigest() == name
        assert fields_of(data)["root_check"] == crc32(root)

    def test_decode_is_the_reverse_of_encode(self, made: tuple[bytes, str]) -> None:
        data, _ = made
        header = Header.decode(data[:HEADER_SIZE])
        assert header.encode() == data[:HEADER_SIZE]
        assert header.size == len(data)
        assert reheaded(data) == data

    @pytest.mark.parametrize("section", ["root", "pages", "slots", "members", "notes"])
    @pytest.mark.parametrize("change", [-20, 20, 20 << 20])
    def test_a_size_that_does_not_add_up(
        self, made: tuple[bytes, str], section: str, change: int
    ) -> None:
        data, name = made
        size = fields_of(data)[section]
        forged = reheaded(data, **{section: max(size + change, 0)})
        with pytest.raises(MalformedArchive):
            Archive(forged, name)

    @pytest.mark.parametrize("section", ["root", "pages", "slots", "members"])
    def test_a_size_beyond_all_memory_costs_none(
        self, made: tuple[bytes, str], section: str
    ) -> None:
        """A reader MUST NOT allocate memory for a size that it has not checked so."""
        data, name = made
        with pytest.raises(MalformedArchive):
            Archive(reheaded(data, **{section: (1 << 64) - 16}), name)

    def test_sizes_that_add_up_by_taking_from_another(
        self, made: tuple[bytes, str]
    ) -> None:
        data, name = made
        fields = fields_of(data)
        forged = reheaded(
            data, slots=fields["slots"] + 20, members=fields["members"] - 20, warm=0
        )
        with pytest.raises(MalformedArchive, match="slots do not add up"):
            Archive(forged, name)

    @pytest.mark.parametrize(
        "change",
        [
            {"slots": 17},
            {"notes": MAX_NOTES + 1},
            {"warm": 1 << 40},
            {"base": b"b" * 32},
            {"version": 0},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_field_that_may_not_be_so(
        self, made: tuple[bytes, str], change: dict[str, object]
    ) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match="makes no sense"):
            Archive(reheaded(data, **change), name)


class TestVersion:
    """A greater version MUST be refused with an error that names both versions."""

    @pytest.mark.parametrize("version", [2, 7, 65535])
    def test_newer(self, made: tuple[bytes, str], version: int) -> None:
        data, name = made
        with pytest.raises(UnsupportedArchive) as caught:
            Archive(reheaded(data, version=version), name, "gs://bucket/archive")
        message = str(caught.value)
        assert f"format {version}" in message
        assert "up to 1;" in message
        assert message.startswith("gs://bucket/archive: ")
        assert caught.value.version == version

    def test_newer_with_a_header_of_another_shape(self) -> None:
        with pytest.raises(UnsupportedArchive):
            Header.decode(b"\x89LZY\r\n\x1a\n" + b"\x02\x00" + b"?" * 118)


class TestFlags:
    """Unknown flags MUST be refused."""

    @pytest.mark.parametrize("bit", [1, *range(3, 16)])
    def test_unknown(self, made: tuple[bytes, str], bit: int) -> None:
        data, name = made
        with pytest.raises(MalformedArchive):
            Archive(reheaded(data, flags=1 << bit), name)

    def test_a_delta_must_name_its_base(self, made: tuple[bytes, str]) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match="makes no sense"):
            Archive(reheaded(data, flags=1), name)

    def test_a_delta_alone_is_no_archive(self, made: tuple[bytes, str]) -> None:
        data, name = made
        forged = reheaded(data, flags=1, base=b"\xbb" * 32)
        with pytest.raises(MalformedArchive, match=f"delta.* base {'bb' * 32}"):
            Archive(forged, name)


class TestOtherBytes:
    """A reader that finds another magic says that this is no archive."""

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x89", b"PK\x03\x04" + bytes(200), b"\x89PNG\r\n\x1a\n" + bytes(200)],
        ids=["nothing", "one byte", "zip", "png"],
    )
    def test_another_magic(self, data: bytes) -> None:
        with pytest.raises(MalformedArchive, match="not a lazyimport archive"):
            Archive(data, "0" * 64)

    def test_line_ends_that_a_transfer_changed(self, made: tuple[bytes, str]) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match="not a lazyimport archive"):
            Archive(data.replace(b"\r\n", b"\n"), name)

    def test_a_damaged_header(self, made: tuple[bytes, str]) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match="header is damaged"):
            Archive(data[:124] + bytes(4) + data[128:], name)

    def test_too_short_and_too_long(self, made: tuple[bytes, str]) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match=f"cut short .*of {len(data)} bytes"):
            Archive(data[:-1], name)
        with pytest.raises(MalformedArchive, match="longer than it says"):
            Archive(data + b"\0", name)

    def test_another_archive(self, made: tuple[bytes, str]) -> None:
        data, name = made
        with pytest.raises(MalformedArchive, match=f"{name}, not {'0' * 64}") as caught:
            Archive(data, "0" * 64)
        assert caught.value.hash == "0" * 64
