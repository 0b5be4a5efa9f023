"""docs/format.md, section 8: deltas."""

from __future__ import annotations

import io
from struct import Struct

import pytest

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision, write_delta
from lazyimport.format.entries import Variant
from tests.support import forge
from tests.support.read_everything import read_delta, read_everything
from tests.support.trees import Tree

OLD = {
    "pkg/__init__.py": "x = 1\n" * 20,
    "pkg/gone.py": "y = 2\n",
    "pkg/same.txt": "the same",
    "folder/only.txt": "will be a file",
    "thing": "will be a folder",
}
NEW = {
    "pkg/__init__.py": "x = 2\n" * 20,
    "pkg/same.txt": "the same",
    "pkg/more.py": "z = 3\n",
    "pkg/moved.txt": "will be a folder",
    "folder": "",
    "thing/inside.txt": "the same",
}
BASE = Tree(OLD).archive()
TARGET = Tree(NEW)
FULL = TARGET.archive()


def make_delta(tree: Tree = TARGET, base: tuple[bytes, str] = BASE) -> bytes:
    made = tree.delta(Archive(*base).index)
    assert made is not None
    assert made[1] == tree.index().hash
    return made[0]


def patched(patch: bytes, slots: bytes = b"", head: bytes = b"") -> bytes:
    """Return the delta with another patch, and slots to go with it."""
    delta = make_delta()
    fields = forge.fields_of(delta)
    root = head or delta[128 : 128 + fields["root"]]
    body = delta[128 + fields["root"] + fields["pages"] + fields["slots"] :]
    sizes = {"root": len(root), "pages": len(patch), "slots": len(slots)}
    return forge.reheaded(delta[:128], **sizes) + root + patch + slots + body


class TestDelta:
    """The result MUST have the hash that names the archive."""

    def test_gives_the_archive(self) -> None:
        delta = make_delta()
        assert read_delta(delta, FULL[1], BASE) == read_everything(*FULL)

    @pytest.mark.parametrize("raw", [True, False])
    def test_gives_the_very_object(self, raw: bool) -> None:
        """As a full push would have written it, so nodes keep the same bytes."""
        notes = b'{"excluded": {}}'
        made = TARGET.delta(Archive(*BASE).index, notes=notes)
        assert made is not None
        out = io.BytesIO(b"before")
        out.seek(6)
        header = Revision(Archive(*BASE), *made).write(out, raw=raw)
        whole = TARGET.archive(raw=raw, notes=notes)[0]
        assert out.getvalue()[6:] == whole
        assert header.size == len(whole)

    def test_layout(self) -> None:
        delta = make_delta()
        fields = forge.fields_of(delta)
        assert (fields["flags"], fields["base"].hex()) == (1, BASE[1])
        assert fields["hash"].hex() == FULL[1]
        assert fields["root"] == 48 + 32
        index = TARGET.index()
        assert delta[128 : 128 + 80] == index.root[:80]
        gone = b"\2\0\0\0" + b"\x0f\0folder/only.txt" + b"\x0b\0pkg/gone.py"
        assert delta[208 : 208 + len(gone)] == gone
        # Of 9 entries all but pkg/same.txt are new or not the same as before.
        assert delta[208 + len(gone) :][:4] == b"\x08\0\0\0"
        assert fields["pages"] - len(gone) < len(index.body)

    def test_brings_only_what_the_base_has_not(self) -> None:
        delta = make_delta()
        assert b"the same" not in delta
        assert b"will be" not in delta
        fields = forge.fields_of(delta)
        at = 128 + fields["root"] + fields["pages"]
        table = list(
            Struct("<QQI").iter_unpack(delta[at : at + fields["slots"]]),
        )
        assert ((1 << 64) - 1, 0, 0) in table

    @pytest.mark.parametrize(("before", "after"), [(28, 40), (40, 28), (30, 200)])
    def test_over_another_number_of_pages(self, before: int, after: int) -> None:
        """All rows move to other slots then, those of the delta too."""

        def files(count: int) -> dict[str, str]:
            return {f"p/m{n}.py": f"value = {n + count} * {n}\n" for n in range(count)}

        base = Tree(files(before)).archive()
        target = Tree(files(after))
        full = target.archive()

        delta = make_delta(target, base)

        assert read_delta(delta, full[1], base) == read_everything(*full)

    def test_a_small_change_is_small(self) -> None:
        files = {f"p/m{n}.py": f"value = {n}\n" * 20 for n in range(2000)}
        base = Tree(files).archive()
        target = Tree({**files, "p/m7.py": "changed = True\n"})
        delta = make_delta(target, base)
        assert len(delta) < 1000
        assert len(base[0]) > 400_000
        assert read_delta(delta, target.index().hash, base) == read_everything(
            *target.archive()
        )

    def test_only_flags_changed(self) -> None:
        target = Tree(OLD, flags={"pkg": 1, "thing": 1})
        delta = make_delta(target)
        assert forge.fields_of(delta)["members"] == 0
        found = read_delta(delta, target.index().hash, BASE)
        assert (found["pkg"][1], found["thing"][1], found["folder"][1]) == (1, 1, 0)

    def test_only_minors_changed(self) -> None:
        target = Tree(OLD, minors=1 << 11)
        assert read_delta(make_delta(target), target.index().hash, BASE)

    def test_of_a_compressed_base(self) -> None:
        base = Tree(OLD).archive(raw=False)
        assert read_delta(make_delta(), FULL[1], base) == read_everything(*FULL)

    def test_leaves_the_index_as_it_was(self) -> None:
        """A push that finds the delta too large writes the full archive from it."""
        index = TARGET.index()
        slots = [entry.slot for entry in index.entries()]
        write_delta(io.BytesIO(), Archive(*BASE).index, index, TARGET.blobs.__getitem__)
        assert [entry.slot for entry in index.entries()] == slots

    def test_bytes_that_changed_meanwhile(self) -> None:
        index = TARGET.index()
        with pytest.raises(DamagedArchive, match="changed while it was written"):
            write_delta(io.BytesIO(), Archive(*BASE).index, index, lambda digest: b"?")


class TestNone:
    """Variants MUST be the same; where they are not, a full archive is written."""

    def test_other_variants(self) -> None:
        index = Archive(*BASE).index
        assert Tree(NEW, variants=[]).delta(index) is None
        other = [Variant("other", b"0000")]
        assert Tree(NEW, variants=other).delta(index) is None

    def test_the_same_archive(self) -> None:
        out = io.BytesIO()
        tree = Tree(OLD)
        index = Archive(*BASE).index
        assert write_delta(out, index, index, tree.blobs.__getitem__) is None
        assert out.getvalue() == b""


class TestRefused:
    """Else the delta is refused."""

    def test_another_base(self) -> None:
        other = Archive(*Tree({"a": ""}).archive())
        with pytest.raises(MalformedArchive, match=f"{BASE[1]}, not .*{other.hash}"):
            Revision(other, make_delta(), FULL[1])

    def test_a_full_archive(self) -> None:
        with pytest.raises(MalformedArchive, match="a full archive"):
            Revision(Archive(*BASE), *FULL)

    def test_another_hash(self) -> None:
        with pytest.raises(MalformedArchive):
            read_delta(make_delta(), "0" * 64, BASE)
        forged = forge.reheaded(make_delta(), hash=bytes(32))
        with pytest.raises(DamagedArchive, match="it gives") as caught:
            read_delta(forged, "0" * 64, BASE)
        assert (caught.value.hash, caught.value.actual) == ("0" * 64, FULL[1])

    def test_a_damaged_member_of_the_delta(self) -> None:
        delta = make_delta(Tree({**OLD, "new.bin": b"0123456789"}))
        name = forge.fields_of(delta)["hash"].hex()
        out = io.BytesIO()
        with pytest.raises(DamagedArchive) as caught:
            Revision(
                Archive(*BASE),
                delta.replace(b"0123456789", b"012345678x"),
                name,
                "gs://bucket/delta",
            ).write(out, raw=True)
        assert caught.value.member == "new.bin"
        assert caught.value.hash == name
        assert str(caught.value).startswith("gs://bucket/delta: new.bin")

    def test_a_damaged_member_of_the_base(self) -> None:
        damaged = BASE[0].replace(b"the same", b"the sama"), BASE[1]
        base = Archive(*damaged, "/cache/base")
        with pytest.raises(DamagedArchive) as caught:
            Revision(base, make_delta(), FULL[1]).write(io.BytesIO(), raw=True)
        assert caught.value.hash == BASE[1], "the base is to be fetched again"
        assert str(caught.value).startswith("/cache/base: ")

    def test_a_root_with_something_behind_it(self) -> None:
        delta = make_delta()
        head = delta[128:208] + bytes(44)
        with pytest.raises(MalformedArchive, match="does not end"):
            read_delta(patched(bytes(8), head=head), FULL[1], BASE)

    @pytest.mark.parametrize("head", [b"LZYROOT1", b"LZYROOT1" + bytes(72), b"?" * 80])
    def test_another_root(self, head: bytes) -> None:
        with pytest.raises((MalformedArchive, DamagedArchive)):
            read_delta(patched(bytes(8), head=head), FULL[1], BASE)

    @pytest.mark.timeout(10)
    @pytest.mark.parametrize(
        "patch",
        [
            b"",
            b"\0\0",
            b"\xff" * 4,
            b"\xff\xff\xff\xff" + b"\0\0" * 2000,
            b"\1\0\0\0" + b"\xff\xff" + b"a" * 10,
            b"\1\0\0\0" + b"\7\0no/such" + bytes(4),
            b"\1\0\0\0" + b"\2\0.." + bytes(4),
            b"\1\0\0\0" + b"\1\0\xff" + bytes(4),
            b"\2\0\0\0" + b"\5\0thing\5\0thing" + bytes(4),
            b"\0\0\0\0" + b"\xff\xff\xff\xff",
            b"\0\0\0\0" + b"\1\0\0\0" + b"\xff" * 40,
            b"\0\0\0\0" + forge.page([("..", forge.row(".."))]),
            b"\0\0\0\0" + forge.page([("x", forge.row("x"))]) + b"more",
        ],
        ids=range(13),
    )
    def test_a_patch_that_makes_no_sense(self, patch: bytes) -> None:
        with pytest.raises(MalformedArchive, match="the patch makes no sense"):
            read_delta(patched(patch, bytes(20 * 4)), FULL[1], BASE)

    @pytest.mark.parametrize(
        "patch",
        [
            bytes(8),
            b"\1\0\0\0" + b"\0\0" + bytes(4),
            b"\0\0\0\0" + forge.page([("x/y", forge.row("x/y"))]),
            b"\0\0\0\0" + forge.page([("thing", forge.row("thing", kind=1))]),
        ],
        ids=range(4),
    )
    def test_a_patch_that_gives_another_archive(self, patch: bytes) -> None:
        with pytest.raises(DamagedArchive, match="it gives"):
            read_delta(patched(patch, bytes(20 * 4)), FULL[1], BASE)

    def test_slots_that_are_not_there(self) -> None:
        delta = make_delta()
        fields = forge.fields_of(delta)
        at = 128 + fields["root"]
        patch = delta[at : at + fields["pages"]]
        with pytest.raises(DamagedArchive, match="there is none"):
            read_delta(patched(patch), FULL[1], BASE)
        nowhere = Struct("<QQI").pack((1 << 64) - 1, 0, 0) * (fields["slots"] // 20)
        with pytest.raises(DamagedArchive, match="outside"):
            read_delta(patched(patch, nowhere), FULL[1], BASE)
