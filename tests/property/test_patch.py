"""The difference of two indexes, applied to one, gives the other."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from lazyimport.format.patch import difference, patched
from tests.format.test_patch import index, pages

#: Names that can be a file in one tree and a folder in the other, and share stems.
NAMES = st.sampled_from(["a", "a.py", "a.txt", "b", "b.py", "__init__.py", "ü", "x.so"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def is_tree(files: dict[str, str]) -> bool:
    return not any(other.startswith(path + "/") for path in files for other in files)


TREES = st.dictionaries(PATHS, st.sampled_from(["", "x = 1\n"]), max_size=12).filter(
    is_tree
)


@settings(deadline=None, max_examples=60)
@given(old=TREES, new=TREES, more=st.sampled_from([0, 31, 60, 200]))
def test_patched_with_the_difference_is_the_other(
    old: dict[str, str], new: dict[str, str], more: int
) -> None:
    """Also where one of the two has more pages."""
    one = index({**old, **{f"more/{n}": "" for n in range(more)}})
    other = index({**new, "more/0": ""})

    made = patched(one, difference(one, other), other.minors)

    assert (made.root, pages(made)) == (other.root, pages(other))
    assert [e.slot for e in made.entries()] == [e.slot for e in other.entries()]
