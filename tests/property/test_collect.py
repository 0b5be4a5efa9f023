"""What is collected depends on the files of a tree alone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lazyimport.errors import PackError
from lazyimport.packing.collect import collect
from lazyimport.packing.config import Config
from tests.packing.test_collect import make


@given(st.data())
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_order_in_which_a_folder_lists_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Two trees with the same files, written in different orders."""
    name = st.sampled_from(["a", "b.py", "B.py", "c.pyc", "c.py", "d.so", ".gitignore"])
    path = st.lists(name, min_size=1, max_size=3).map("/".join)
    texts = st.sampled_from(["", "*.so\n", "a/\n", "!d.so\nb.py\n"])
    tree = data.draw(st.dictionaries(path, texts, min_size=1, max_size=12))
    tree = {
        path: text
        for path, text in tree.items()
        if not any(other.startswith(path + "/") for other in tree)
    }
    found: list[object] = []
    for order in (tree, data.draw(st.permutations(list(tree)))):
        root = make(
            tmp_path_factory.mktemp("tree"), {path: tree[path] for path in order}
        )
        try:
            result = collect([root], Config())
        except PackError as error:
            found.append(str(error).replace(str(root), ""))
        else:
            files = [(file.path, file.read()) for file in result.files]
            found.append((files, list(result.excluded.items()), result.warnings))
    assert found[0] == found[1]
