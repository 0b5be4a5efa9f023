"""Names: what no archive may have, and what some file systems take for one."""

from __future__ import annotations

import pytest

from lazyimport.packing.names import collisions, forbidden_in


@pytest.mark.parametrize("name", ["a.py", "a b", "été", "\U0001f40d", "-[]~", "a/b"])
def test_usual_names(name: str) -> None:
    assert forbidden_in(name) == ""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("a\\b", "backslash"),
        ("a\nb", "control character"),
        ("\x7f", "control character"),
        ("\x85", "control character"),
        ("a\udcff", "not UTF-8"),
    ],
)
def test_forbidden_names(name: str, wrong: str) -> None:
    assert wrong in forbidden_in(name)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a", "b", "a/b"], []),
        (["README", "readme", "ReadMe"], [("README", "readme"), ("README", "ReadMe")]),
        (["d/\u00e9", "d/e\u0301"], [("d/\u00e9", "d/e\u0301")]),
        (["stra\u00dfe", "STRASSE"], [("stra\u00dfe", "STRASSE")]),
        (["a/x", "A/x"], []),
        (["a", "A", "a/x", "A/x"], [("a", "A")]),
    ],
)
def test_collisions(paths: list[str], expected: list[tuple[str, str]]) -> None:
    """Within a directory: what lies in two that collide does as well."""
    assert list(collisions(paths)) == expected
