"""Laws of the format, for arbitrary trees."""

from __future__ import annotations

import io
from collections import defaultdict

from hypothesis import HealthCheck, example, given, settings, strategies as st

from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.build import build_index
from lazyimport.format.entries import (
    DIRECTORY,
    FILE,
    Variant,
    listing_of,
    parse_listing,
    stem_of,
)
from lazyimport.format.writer import recode
from tests.support import reference_reader
from tests.support.read_everything import read_delta, read_everything
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn

common = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)

WORDS = ("a", "b", "pkg", "__init__", "plumless", "buckeroo", "ü", "...", "x.dist-info")
SUFFIXES = ("", ".py", ".pyc", ".so", ".cpython-311.so", ".pyd", ".txt", ".b.py", ".")
names = st.one_of(
    st.builds(str.__add__, st.sampled_from(WORDS), st.sampled_from(SUFFIXES)),
    st.sampled_from([".py", ".hidden", ".hidden.py", "__init__.py"]),
    st.text(
        st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1
    ),
).filter(lambda name: name not in {".", ".."})
contents = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"", b"same", b"long " * 300, b"x = 1\n"]),
)
VARIANTS = [Variant("cpython-310", b"aaaa"), Variant("cpython-311", b"bbbb", 2)]


@st.composite
def files(draw: DrawFn) -> dict[str, bytes]:
    """Return files that can be in one directory together."""
    folders = st.lists(st.sampled_from(["a", "b", "pkg", "ü", "pkg.py"]), max_size=3)
    size = draw(st.sampled_from([9, 80]))
    wanted = draw(st.lists(st.tuples(folders, names, contents), max_size=size))
    found: dict[str, bytes] = {}
    folders_of: set[str] = set()
    for folder, name, content in wanted:
        path = "/".join([*folder, name])
        above = {path[:at] for at, letter in enumerate(path) if letter == "/"}
        if path not in folders_of and not above & found.keys():
            found[path] = content
            folders_of |= above
    return found


@st.composite
def trees(draw: DrawFn) -> Tree:
    """Return a tree with flags, and bytecode for some of its sources."""
    given_files = draw(files())
    variants = draw(st.sampled_from([[], VARIANTS[:1], VARIANTS]))
    left_out = draw(st.sampled_from([b"", b"same", b"x = 1\n"]))

    def compiler(source: bytes, variant: Variant) -> bytes | None:
        return None if source == left_out else variant.magic + source

    flagged = draw(st.lists(st.sampled_from([*given_files, ""]), max_size=4))
    return Tree(
        given_files,
        flags=dict.fromkeys(flagged, 1),
        variants=variants,
        compiler=compiler,
        minors=draw(st.sampled_from([(1 << 64) - 1, 1 << 11])),
    )


class TestIdentity:
    """The hash covers paths, kinds, flags, contents, bytecode and Pythons only."""

    @common
    @given(trees(), st.booleans(), st.binary(max_size=20))
    def test_what_is_written_is_read(self, tree: Tree, raw: bool, notes: bytes) -> None:
        made = tree.archive(raw=raw, notes=notes)
        assert read_everything(*made) == expected(tree)
        assert reference_reader.read(*made) == expected(tree)

    @common
    @given(trees(), st.randoms(use_true_random=False), st.booleans())
    def test_it_does_not_depend_on_order_or_storage(
        self, tree: Tree, random: object, raw: bool
    ) -> None:
        data, name = tree.archive()
        random.shuffle(tree.entries)  # type: ignore[attr-defined]
        recorded = list(tree.blobs)[::2]
        again, same = tree.archive(raw=raw, first=recorded, notes=b"other notes")
        assert same == name
        assert read_everything(again, same) == read_everything(data, name)

    @common
    @given(trees(), st.data())
    def test_it_depends_on_everything_else(
        self, tree: Tree, data: st.DataObject
    ) -> None:
        name = tree.index().hash
        entry = data.draw(st.sampled_from(tree.entries))
        for attribute, value in (
            ("flags", entry.flags ^ 2),
            ("size", entry.size + 1),
            ("digest", sha256(entry.digest)),
        ):
            before = getattr(entry, attribute)
            setattr(entry, attribute, value)
            assert tree.index().hash != name, attribute
            setattr(entry, attribute, before)
        assert tree.index().hash == name
        tree.minors ^= 1 << 14
        assert tree.index().hash != name
        tree.minors ^= 1 << 14
        tree.variants.append(Variant("more", b"cccc"))
        assert tree.index().hash != name
        tree.variants.pop()
        for index, variant in enumerate(tree.variants):
            tree.variants[index] = Variant(variant.tag, b"zzzz", variant.optimization)
            assert tree.index().hash != name
            tree.variants[index] = variant

    @common
    @given(files(), files())
    @example({"a": b""}, {"b": b""})
    @example({"a": b""}, {"a": b"\0"})
    @example({"a/b": b""}, {"a": b""})
    @example({"a": b"", "b": b"x"}, {"a": b"x", "b": b""})
    def test_other_files_have_another(
        self, one: dict[str, bytes], other: dict[str, bytes]
    ) -> None:
        hashes = [Tree(each, variants=[]).index().hash for each in (one, other)]
        assert (hashes[0] == hashes[1]) == (one == other)

    @common
    @given(trees())
    def test_bytecode_is_part_of_it(self, tree: Tree) -> None:
        changed = [entry for entry in tree.entries if entry.variants]
        name = tree.index().hash
        for entry in changed:
            codes = dict(entry.codes())
            number, code = codes.popitem()
            for other in (codes, {**codes, number: type(code)(code.size, bytes(32))}):
                entries = [item for item in tree.entries if item is not entry]
                entries.append(entry.with_codes(other))
                index = build_index(entries, tree.variants, tree.minors)
                assert index.hash != name

    @common
    @given(trees(), st.booleans(), st.booleans())
    def test_recoding_keeps_all(self, tree: Tree, raw: bool, again: bool) -> None:
        notes = b'{"excluded": {}}'
        data, name = tree.archive(raw=raw, notes=notes)
        out = io.BytesIO()
        header = recode(Archive(data, name), out, raw=again)
        recoded = out.getvalue()
        assert header.size == len(recoded)
        assert read_everything(recoded, name) == read_everything(data, name)
        assert recoded.endswith(notes)
        back = io.BytesIO()
        recode(Archive(recoded, name), back, raw=raw)
        assert back.getvalue() == data


class TestLookup:
    """`find` agrees with a dict from stem to entries, also on missing stems."""

    @common
    @given(trees(), st.lists(names))
    def test_against_a_dict(self, tree: Tree, others: list[str]) -> None:
        index = Archive(*tree.archive(raw=True)).index
        model: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        kinds = dict.fromkeys(tree.files, FILE) | dict.fromkeys(
            tree.listings, DIRECTORY
        )
        for path, kind in kinds.items():
            stem = reference_reader.stem(kind, path.encode()).decode()
            model[stem].append((kind, path.encode()))
        asked = {*model, *others, *tree.files, *prefixes(tree), "plumless", "buckeroo"}
        for stem in asked:
            found = [(entry.kind, entry.path.encode()) for entry in index.find(stem)]
            assert found == sorted(model.get(stem, []))
            entry = index.entry(stem)
            assert (entry.kind if entry else None) == kinds.get(stem)

    @common
    @given(st.text(), st.sampled_from([FILE, DIRECTORY]))
    def test_stems(self, path: str, kind: int) -> None:
        assert stem_of(path, kind).encode() == reference_reader.stem(
            kind, path.encode()
        )

    @common
    @given(st.dictionaries(names, st.sampled_from([FILE, DIRECTORY])))
    def test_listings(self, children: dict[str, int]) -> None:
        listing = listing_of(children.items())
        parsed = parse_listing(listing)
        assert dict(parsed) == children
        assert [name.encode() for name, _ in parsed] == sorted(
            name.encode() for name in children
        )


class TestDelta:
    """Applying a delta gives the full archive of the target, whatever the base is."""

    @common
    @given(trees(), trees(), st.booleans())
    def test_between_any_two(self, old: Tree, new: Tree, raw: bool) -> None:
        base = old.archive(raw=raw)
        made = new.delta(Archive(*base).index, notes=b"notes")
        if made is None:
            same = old.variants == new.variants
            assert not same or old.index().hash == new.index().hash
            return
        assert made[1] == new.index().hash
        assert read_delta(*made, base) == expected(new)
        assert reference_reader.read_delta(*made, base[0]) == expected(new)

    @common
    @given(trees(), st.data())
    def test_after_an_edit(self, old: Tree, data: st.DataObject) -> None:
        edited = {
            path: data.draw(st.sampled_from([content, content, content + b"!"]))
            for path, content in old.files.items()
            if data.draw(st.integers(0, 5))
        }
        new = Tree(edited, variants=old.variants, compiler=lambda s, v: v.magic + s)
        base = old.archive()
        made = new.delta(Archive(*base).index)
        if made is not None:
            assert read_delta(*made, base) == expected(new)
            assert reference_reader.read_delta(*made, base[0]) == expected(new)


def expected(tree: Tree) -> dict[str, tuple[int, int, bytes, dict[int, bytes]]]:
    """Return what `read_everything` must return."""
    return {
        entry.path: (
            entry.kind,
            entry.flags,
            tree.listings[entry.path] if entry.kind else tree.files[entry.path],
            {number: tree.blobs[code.digest] for number, code in entry.codes()},
        )
        for entry in tree.entries
    }


def prefixes(tree: Tree) -> Iterator[str]:
    for path in tree.files:
        yield path[:-1]
        yield path + "x"
