"""What differs between two indexes, page by page, and applying it."""

from __future__ import annotations

import pytest

from lazyimport.format.entries import Entry
from lazyimport.format.index import Index
from lazyimport.format.patch import Patch, difference, differing_pages, patched
from tests.support.trees import Tree


def index(files: dict[str, str], **options: object) -> Index:
    return Tree(files, **options).index()  # type: ignore[arg-type]


def pages(index: Index) -> bytes:
    return b"".join(map(index.page_bytes, range(index.pages)))


def test_only_pages_that_differ_are_decoded() -> None:
    files = {f"p/m{n}.py": f"x = {n}\n" for n in range(2000)}
    one, other = index(files), index({**files, "p/m7.py": "x = -7\n"})
    looked_at: list[int] = []

    class Watched(Index):
        def page_entries(self, number: int) -> list[Entry]:
            looked_at.append(number)
            return super().page_entries(number)

    old = Watched(
        one.root + pages(one), one.hash, 0, len(one.root), len(pages(one)), "old"
    )
    patch = difference(old, other)
    made = patched(old, patch, other.minors)

    assert made.hash == other.hash
    assert [entry.path for entry in patch.changed] == ["p/m7.py"]
    assert differing_pages(old, other) == [old.page_of("p/m7")]
    assert set(looked_at) <= {old.page_of("p/m7"), old.page_of("p/m7.py")}


@pytest.mark.parametrize("count", [1, 60, 63, 64, 130])
def test_pages_are_divided_and_put_together(count: int) -> None:
    """They are in the one form again, whatever was added and removed."""
    few = {f"p{n % 3}/m{n}.py": "" for n in range(200)}
    many = {**few, **{f"p1/n{n}.py": "" for n in range(count)}}
    for old, new in ((index(few), index(many)), (index(many), index(few))):
        made = patched(old, difference(old, new), new.minors)
        assert (made.root, pages(made)) == (new.root, pages(new))


def test_removing_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no 'b' to remove"):
        patched(index({"a": ""}), Patch([], ["b"]), 0)


def test_minors_alone() -> None:
    one, other = index({"a.py": ""}), index({"a.py": ""}, minors=1 << 11)
    assert patched(one, Patch([]), 1 << 11).root == other.root
