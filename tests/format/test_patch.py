"""What differs between two indexes, page by page, and applying it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from lazyimport.format.entries import Entry
from lazyimport.format.index import Index
from lazyimport.format.patch import Patch, difference, differing_pages, patched
from tests.support.trees import Tree

#: Names that can be a file in one tree and a folder in the other, and share stems.
NAMES = st.sampled_from(["a", "a.py", "a.txt", "b", "b.py", "__init__.py", "ü", "x.so"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def is_tree(files: dict[str, str]) -> bool:
    return not any(other.startswith(path + "/") for path in files for other in files)


TREES = st.dictionaries(PATHS, st.sampled_from(["", "x = 1\n"]), max_size=12).filter(
    is_tree
)


def index(files: dict[str, str], **options: object) -> Index:
    return Tree(files, **options).index()  # type: ignore[arg-type]


def pages(index: Index) -> bytes:
    return b"".join(map(index.page_bytes, range(index.pages)))


@settings(deadline=None, max_examples=60)
@given(old=TREES, new=TREES, more=st.sampled_from([0, 31, 60]))
def test_patched_with_the_difference_is_the_other(
    old: dict[str, str], new: dict[str, str], more: int
) -> None:
    """Also where one of the two has more pages."""
    one = index({**old, **{f"more/{n}": "" for n in range(more)}})
    other = index({**new, "more/0": ""})

    made = patched(one, difference(one, other), other.minors)

    assert (made.root, pages(made)) == (other.root, pages(other))
    assert [e.slot for e in made.entries()] == [e.slot for e in other.entries()]


def test_only_pages_that_differ_are_decoded() -> None:
    files = {f"p/m{n}.py": f"x = {n}\n" for n in range(2000)}
    one, other = index(files), index({**files, "p/m7.py": "x = -7\n"})
    looked_at: list[int] = []

    class Watched(Index):
        def page_entries(self, number: int, first_slot: int = -1) -> Iterator[Entry]:
            looked_at.append(number)
            return super().page_entries(number, first_slot)

    old = Watched(
        one.root + pages(one), one.hash, 0, len(one.root), len(pages(one)), "old"
    )
    patch = difference(old, other)
    made = patched(old, patch, other.minors)

    assert made.hash == other.hash
    assert [entry.path for entry in patch.changed] == ["p/m7.py"]
    assert differing_pages(old, other) == [old.page_of("p/m7")]
    assert set(looked_at) <= {old.page_of("p/m7"), old.page_of("p/m7.py")}


def test_removing_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no 'b' to remove"):
        patched(index({"a": ""}), Patch([], ["b"]), 0)


def test_minors_alone() -> None:
    one, other = index({"a.py": ""}), index({"a.py": ""}, minors=1 << 11)
    assert patched(one, Patch([]), 1 << 11).root == other.root
