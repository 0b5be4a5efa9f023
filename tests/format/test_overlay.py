"""docs/format.md, section 8: overlays."""

from __future__ import annotations

import io

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.overlay import combine, write_overlay
from lazyimport.format.sections import IN_BASE, SLOT
from tests.format.test_delta import BASE, FULL, NEW, OLD, TARGET
from tests.support import forge
from tests.support.read_everything import read_archive, read_delta, read_everything
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.read_everything import Everything


def revision(tree: Tree, base: Archive) -> Revision:
    made = tree.delta(base.index)
    assert made is not None
    return Revision(base, *made)


def overlay(tree: Tree, base: Archive, *, raw: bool = True) -> bytes:
    out = io.BytesIO(b"before")
    out.seek(6)
    header = write_overlay(out, revision(tree, base), raw=raw)
    written = out.getvalue()[6:]
    assert out.tell() == 6 + header.size == 6 + len(written)
    return written


def opened(data: bytes, hash: str, base: Archive, what: str = "overlay") -> Archive:
    return Archive(data, hash, what, sealed=True, base=lambda _: base)


def everything_of(archive: Archive) -> Everything:
    archive.rely_on_seal()
    return read_archive(archive)


class TestOverlay:
    """It and its base are as good as the whole archive."""

    @pytest.mark.parametrize("raw", [True, False])
    @pytest.mark.parametrize("base_raw", [True, False])
    @pytest.mark.parametrize("sealed", [True, False])
    def test_reads_as_the_whole(self, raw: bool, base_raw: bool, sealed: bool) -> None:
        text = {"pkg/large.txt": "".join(map(str, range(3000)))}
        base = Archive(*Tree({**OLD, **text}).archive(raw=base_raw), sealed=sealed)
        target = Tree({**NEW, **text, "pkg/new.txt": "new " * 400})
        full = target.archive()
        data = overlay(target, base, raw=raw)
        found = everything_of(opened(data, full[1], base))
        assert found == read_everything(*full)
        assert text["pkg/large.txt"].encode()[:500] not in data

    @pytest.mark.parametrize(("before", "after"), [(60, 80), (80, 60), (60, 400)])
    def test_over_another_number_of_pages(self, before: int, after: int) -> None:
        def files(count: int) -> dict[str, str]:
            return {f"p/m{n}.py": f"value = {n + count} * {n}\n" for n in range(count)}

        base = Archive(*Tree(files(before)).archive(), sealed=True)
        target = Tree({**files(before), **files(after)})
        full = target.archive()
        found = everything_of(opened(overlay(target, base), full[1], base))
        assert found == read_everything(*full)

    def test_has_nothing_of_the_base(self) -> None:
        files = {f"p/m{n}.py": f"value = {n}\n" * 20 for n in range(2000)}
        base = Archive(*Tree(files).archive(), sealed=True)
        target = Tree({**files, "p/m7.py": "changed = True\n"})
        data = overlay(target, base)
        index = target.index()
        rest = len(data) - index.slots * SLOT.size - len(index.root) - len(index.body)
        assert rest < 1000
        fields = forge.fields_of(data)
        assert (fields["flags"], fields["base"].hex()) == (2, base.hash)
        assert fields["hash"].hex() == index.hash

    def test_of_an_overlay_needs_the_same_base(self) -> None:
        """No chains: what the one between has, the new one has too."""
        large = {f"pkg/{n}.txt": f"{n} text" * 50 for n in range(100)}
        base = Archive(*Tree({**OLD, **large}).archive(), sealed=True)
        first = Tree({**OLD, **large, "pkg/3.txt": "three"})
        between = opened(overlay(first, base), first.index().hash, base)
        second = Tree({**OLD, **large, "pkg/3.txt": "three", "pkg/4.txt": "four"})
        data = overlay(second, between)
        assert forge.fields_of(data)["base"].hex() == base.hash
        full = second.archive()
        found = everything_of(opened(data, full[1], base))
        assert found == read_everything(*full)

    def test_a_base_that_lies_otherwise_by_now(self) -> None:
        """Its hash says what it has, not where."""
        base = Archive(*Tree(OLD).archive(raw=True), sealed=True)
        data = overlay(TARGET, base)
        last = sorted(entry.digest for entry in base.index.entries())
        for options in ({"raw": False}, {"first": last}):
            other = Archive(*Tree(OLD).archive(**options), sealed=True)
            found = everything_of(opened(data, FULL[1], other))
            assert found == read_everything(*FULL)

    def test_is_written_whole_in_the_order_of_both(self) -> None:
        base = Archive(*BASE)
        archive = opened(overlay(TARGET, base), FULL[1], base)
        out = io.BytesIO()
        Revision(archive).write(out, raw=True)
        assert read_everything(out.getvalue(), FULL[1]) == read_everything(*FULL)
        places = [archive.stored(slot) for slot in range(archive.index.slots)]
        assert len({place for place in places if place[1]}) == len(
            {entry.digest for entry in archive.index.entries()}
            | {code.digest for e in archive.index.entries() for _, code in e.codes()}
        ) - any(not size for _, size in places)


class TestCombine:
    def test_in_memory(self) -> None:
        base = Archive(*BASE)
        made = TARGET.delta(base.index, notes=b'{"a": 1}')
        assert made is not None
        archive = combine(Revision(base, *made), "these two")
        assert everything_of(archive) == read_everything(*FULL)
        assert archive.notes == {"a": 1}
        assert archive.what == "these two"
        assert archive.sealed

    def test_damage_in_the_delta(self) -> None:
        tree = Tree({**OLD, "new.bin": b"0123456789"})
        base = Archive(*BASE)
        made = tree.delta(base.index)
        assert made is not None
        delta = made[0].replace(b"0123456789", b"012345678x")
        with pytest.raises(DamagedArchive) as caught:
            combine(Revision(base, delta, made[1]))
        assert caught.value.member == "new.bin"


class TestDamage:
    """Every byte is proved, wherever it lies; the error names the file that has it."""

    def test_in_the_base(self) -> None:
        data = overlay(TARGET, Archive(*BASE))
        damaged = BASE[0].replace(b"the same", b"the sama")
        base = Archive(damaged, BASE[1], "/cache/base", sealed=True)
        with pytest.raises(DamagedArchive) as caught:
            everything_of(opened(data, FULL[1], base))
        assert caught.value.hash == BASE[1]
        assert str(caught.value).startswith("/cache/base: ")

    def test_in_its_own_members(self) -> None:
        tree = Tree({**OLD, "new.bin": b"0123456789"})
        base = Archive(*BASE, sealed=True)
        data = overlay(tree, base).replace(b"0123456789", b"012345678x")
        name = tree.index().hash
        with pytest.raises(DamagedArchive, match=r"^overlay: new.bin") as caught:
            everything_of(opened(data, name, base))
        assert caught.value.hash == name

    @pytest.mark.parametrize("sealed", [True, False])
    def test_a_slot_of_another_member(self, sealed: bool) -> None:
        """The checksum in the base's slot holds for that one, and proves nothing."""
        files = {"a.txt": "a" * 50, "b.txt": "b" * 50}
        base = Archive(*Tree(files).archive(), sealed=True)
        tree = Tree({**files, "c.txt": "c"})
        data = overlay(tree, base)
        slots = {e.path: e.slot for e in base.index.entries()}
        crcs = dict(enumerate(crc for *_, crc in SLOT.iter_unpack(_table(base))))
        wrong = {
            path: SLOT.pack(IN_BASE, slots[path], crcs[slots[path]])
            for path in ("a.txt", "b.txt")
        }
        # With its checksum only where the file is not sealed: else it is damage.
        other = (
            wrong["b.txt"] if not sealed else wrong["b.txt"][:16] + wrong["a.txt"][16:]
        )
        assert data.count(wrong["a.txt"]) == 1
        forged = data.replace(wrong["a.txt"], other)
        archive = Archive(forged, tree.index().hash, sealed=sealed, base=lambda _: base)
        with pytest.raises(DamagedArchive):
            everything_of(archive)

    def test_a_slot_that_the_base_does_not_have(self) -> None:
        base = Archive(*BASE)
        data = overlay(TARGET, base)
        fields = forge.fields_of(data)
        at = data.index(IN_BASE.to_bytes(8, "little"), 128 + fields["root"])
        forged = data[: at + 8] + b"\xff" * 8 + data[at + 16 :]
        with pytest.raises(DamagedArchive, match="there is none"):
            everything_of(opened(forged, FULL[1], base))


class TestRefused:
    """An overlay is of use with its base alone, and only in a node cache."""

    def test_without_its_base(self) -> None:
        data = overlay(TARGET, Archive(*BASE))
        with pytest.raises(MalformedArchive, match=f"an overlay.* base {BASE[1]}"):
            Archive(data, FULL[1])
        other = Archive(*Tree({"a": ""}).archive())
        with pytest.raises(MalformedArchive, match=f"an overlay.* base {BASE[1]}"):
            opened(data, FULL[1], other)

    def test_as_a_delta(self) -> None:
        data = overlay(TARGET, Archive(*BASE))
        with pytest.raises(MalformedArchive, match="only in a node cache"):
            read_delta(data, FULL[1], BASE)

    def test_a_delta_as_an_overlay(self) -> None:
        made = TARGET.delta(Archive(*BASE).index)
        assert made is not None
        with pytest.raises(MalformedArchive, match="a delta"):
            opened(*made, Archive(*BASE))


def _table(archive: Archive) -> bytes:
    return archive.buffer[archive.header.slots_at : archive.header.members_at]
