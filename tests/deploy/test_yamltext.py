"""Text edits of YAML, also of YAML in a string."""

from __future__ import annotations

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.nodes import find, meaning
from lazyimport.deploy.yamltext import YamlText


def inner_of(text: str) -> tuple[YamlText, YamlText]:
    """The file, and the YAML in its string ``x``."""
    file = YamlText(text, "f.yaml")
    return file, file.inside(find(file.documents[0], "x"))


def put(text: str, value: str = "new", *path: str) -> str:
    _, inner = inner_of(text)
    return inner.put(inner.documents[0], path or ("k",), value, "").apply(text)


@pytest.mark.parametrize(
    "head", ["x: |\n", "# c\n\nx: !t &a |2-  # d\n", "z: 1\nx: |+\n"]
)
def test_a_literal_string_is_edited_in_place(head: str) -> None:
    text = head + "  # e\n\n  k: old  # f\n  l: 1\n\n"

    assert text.replace("old", "new") == put(text)


def test_its_lines_are_those_of_the_file() -> None:
    file, inner = inner_of("a: 1\nx: |\n  # c\n  k: v\n  l: [m]\nb: 2\n")
    root = inner.documents[0]

    assert [4, 5] == [inner.line(find(root, key)) for key in "kl"]
    assert [6] == [file.line(find(file.documents[0], "b"))]
    with pytest.raises(ManifestError, match=r"f\.yaml:5: k\.l must be") as info:
        put("a: 1\nx: |\n  # c\n  k:\n    l: [m]\n", "new", "k", "l")
    assert ("f.yaml", 5) == (info.value.path, info.value.line)


def test_a_document_may_begin_with_its_mark() -> None:
    """Which in the string is at the begin of a line, and in the file is not."""
    text = "x: |\n  # c\n  ---\n  k: old\n"

    assert text.replace("old", "new") == put(text)
    assert text.replace("---", "--- # c").replace("old", "new") == put(
        text.replace("---", "--- # c")
    )


@pytest.mark.parametrize("quote", ['"', "'"])
def test_any_other_string_is_replaced_as_a_whole(quote: str) -> None:
    text = f"a: 1\nx: {quote}{{k: old}}{quote}  # c\n"

    assert 'a: 1\nx: "{k: new}"  # c\n' == put(text)
    with pytest.raises(ManifestError, match=r"f\.yaml:2: k must be a mapping"):
        put(text.replace("old", "[1]"), "new", "k", "l")


def test_several_lines_become_a_literal_string() -> None:
    assert "x: |\n  a: 1\n  k:\n    l: |\n      m\n      n\n" == put(
        "x: |\n  a: 1\n", "m\nn\n", "k", "l"
    )
    assert 'x: |\n  {"k": "m\\nn", a: 1}\n' == put("x: |\n  {a: 1}\n", "m\nn")


def test_a_value_of_several_lines_is_not_replaced() -> None:
    with pytest.raises(ManifestError, match=r"f\.yaml:2: expected a value on one line"):
        put("x: |\n  k: |\n    old\n")


def test_the_same_meaning() -> None:
    """Style, comments and what is empty do not count; types do."""

    def means(text: str) -> object:
        return meaning(YamlText(text, "f.yaml").documents[0])

    assert means("a: {b: [1, 'x']}\n") == means("# c\na:\n  b:\n  - 1\n  - x\nd:\n")
    assert means("a: 1") != means("a: '1'")


def test_skipped_nodes_and_inner_documents() -> None:
    file, inner = inner_of("a: 1\nx: |\n  k: v\n  l: 2\n")
    outer, other = inner_of("a: 1\nx: |\n  l: 2  # c\n")
    hash = find(inner.documents[0], "k")

    assert meaning(
        file.documents[0], {id(hash)}, {id(inner.scalar): inner.documents}
    ) == meaning(outer.documents[0], (), {id(other.scalar): other.documents})
