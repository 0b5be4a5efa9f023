"""gitignore patterns; tests/property compares them with git."""

from __future__ import annotations

import pytest

from lazyimport.packing.ignore import Patterns, anchored_prefix


def test_a_rule_says_where_it_stands() -> None:
    patterns = Patterns(["# comment", "", "*.so", "build/"], "pkg/.gitignore")
    rule = patterns.find("x/build", "build", directory=True)
    assert rule is not None
    assert rule.text == "pkg/.gitignore:4: build/"
    assert patterns.find("x/build", "build", directory=False) is None


def test_what_is_no_pattern() -> None:
    assert Patterns(["!", "a"], "x").rules[0].text == "x:2: a"
    with pytest.raises(ValueError, match="exclude: !"):
        Patterns(["!"], "exclude", strict=True)


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("a.py", None),
        ("a/", None),
        ("/a.py", []),
        ("a/b/c.py", ["a", "b"]),
        ("a/*/c.py", ["a"]),
        ("**/c.py", []),
        ("!a/b", ["a"]),
    ],
)
def test_where_a_pattern_can_match(line: str, prefix: list[str] | None) -> None:
    assert anchored_prefix(line) == prefix
