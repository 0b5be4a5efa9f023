"""gitignore patterns; tests/property compares them with git."""

from __future__ import annotations

import time

import pytest

from lazyimport.packing.ignore import Patterns, anchored_prefix


def test_a_rule_says_where_it_stands() -> None:
    patterns = Patterns(["# comment", "", "*.so", "build/"], "pkg/.gitignore")
    rule = patterns.find("x/build", "build", directory=True)
    assert rule is not None
    assert rule.text == "pkg/.gitignore:4: build/"
    assert patterns.find("x/build", "build", directory=False) is None


def test_a_rule_writes_no_line_of_its_own() -> None:
    rule = Patterns(["a\x1bJ\x85b\udcff"], "x").rules[0]
    assert rule.text == "x:1: 'a\\x1bJ\\x85b\\udcff'"


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


@pytest.mark.parametrize(
    "line",
    [
        "*a" * 100 + "b",
        "x/" + "*a" * 100 + "b",
        "**/a/" * 50 + "b",
        "a/**/" * 50 + "*ab",
        "*[a]*" * 50 + "b",
        "*?" * 100 + "b",
        "a" + " " * 100_000 + "b",
        "*" * 4000 + "b",
    ],
)
def test_a_pattern_that_is_an_attack(line: str) -> None:
    """Each of them takes ages if all the ways to match it are tried."""
    patterns = Patterns([line] * 20, "x")
    started = time.process_time()
    for path in (
        "a" * 255,
        "x/" + "a" * 255,
        "a/" * 500 + "a",
        "a/" * 1000 + "a" * 255,
    ):
        name = path.rpartition("/")[2]
        assert patterns.find(path, name, directory=True) is None
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a*b", "xaab"),
        ("a/**/b/**/c", "a/b/x/b/c"),
        ("**/a/**/b", "a/a/x/y/b"),
        ("x/*a*b*", "x/aab"),
        ("[!a-c]*[[:digit:]]", "d_1"),
        ("a/**", "a/b/c"),
        ("\\#a", "#a"),
    ],
)
def test_what_matches(line: str, path: str) -> None:
    name = path.rpartition("/")[2]
    assert Patterns([line], "x").find(path, name, directory=False)
