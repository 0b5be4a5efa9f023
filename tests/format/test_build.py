"""`build_index` makes the one index of a tree, or names what is wrong."""

from __future__ import annotations

import pytest

from lazyimport.format.build import build_index
from lazyimport.format.entries import DIRECTORY, Code, Entry
from tests.support.trees import Tree, running_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


class TestBuilding:
    """`build_index` makes the one index of a whole tree, or says what is wrong."""

    def test_gives_the_entries_their_slots(self) -> None:
        tree = Tree({"p/a.py": "x = 1", "p/b.txt": "t"})
        index = tree.index()
        entries = list(index.entries())
        assert sorted(map(repr, entries)) == sorted(map(repr, tree.entries))
        slots = [slot for entry in entries for slot, _, _ in entry.members()]
        assert slots == list(range(index.slots))
        assert [entry.slot for entry in tree.entries] == [-1] * len(tree.entries)

    def test_twice(self) -> None:
        entries = Tree({"a": ""}).entries
        with pytest.raises(ValueError, match="same path"):
            build_index([*entries, entries[0]], [])

    def test_file_and_directory_of_one_path(self) -> None:
        entries = Tree({"a/b": ""}).entries
        with pytest.raises(ValueError, match="same path"):
            build_index([*entries, Entry("a", 0, bytes(32))], [])

    def test_directory_missing(self) -> None:
        entries = [entry for entry in Tree({"a/b": ""}).entries if entry.path != "a"]
        with pytest.raises(ValueError, match="directory 'a' is missing"):
            build_index(entries, [])

    def test_no_top_directory(self) -> None:
        with pytest.raises(ValueError, match="directory '' is missing"):
            build_index([], [])

    def test_directory_that_holds_nothing(self) -> None:
        entries = Tree({"a": ""}).entries
        with pytest.raises(ValueError, match="directory 'b' is empty"):
            build_index([*entries, Entry("b", 0, bytes(32), DIRECTORY)], [])

    def test_bytecode_of_data(self) -> None:
        entries = Tree({"a": ""}).entries
        entries[0] = entries[0].with_codes({0: Code(1, bytes(32))})
        with pytest.raises(ValueError, match="not a source: 'a'"):
            build_index(entries, [running_variant()])
