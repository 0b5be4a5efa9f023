"""Which packages are on disk before they run."""

from __future__ import annotations

import pytest

from lazyimport.errors import PackError
from lazyimport.format.entries import CONFIGURED, HAS_DATA, IN_MEMORY, LOOKS
from lazyimport.packing.config import Config
from lazyimport.packing.flags import matches, package_flags

FILES = dict.fromkeys(
    ["main.py", "app/__init__.py", "app/sub/x.py", "lib/y.py", "conf/a.ini", "top.txt"],
    0,
)


def flags(*lines: str) -> dict[str, int]:
    found = package_flags(FILES, Config(materialize=lines))
    plain = package_flags(FILES, Config())
    return {top: found[top] & ~plain[top] for top in found if found[top] != plain[top]}


def test_without_patterns() -> None:
    expected = {"": HAS_DATA, "app": 0, "lib": 0, "conf": HAS_DATA}
    assert package_flags(FILES, Config()) == expected


@pytest.mark.parametrize("line", ["app", "app/", "/app/sub", "x.py", "app/**/*.py"])
def test_a_package_in_which_something_matches(line: str) -> None:
    assert flags(line) == {"app": CONFIGURED}


def test_what_holds_no_module_comes_with_what_is_imported() -> None:
    beside = {"": LOOKS, "app": LOOKS, "lib": LOOKS}
    assert flags("*.ini") == {**beside, "conf": CONFIGURED}
    assert flags("top.txt") == {**beside, "": LOOKS | CONFIGURED}


def test_everything() -> None:
    both = LOOKS | CONFIGURED
    assert flags("*") == {"": both, "app": both, "lib": both, "conf": CONFIGURED}
    assert flags("*", "!lib", "!y.py")["lib"] == LOOKS


def test_in_memory() -> None:
    assert package_flags(FILES, Config(in_memory=("app",)))["app"] == IN_MEMORY


def test_a_line_that_is_no_pattern() -> None:
    with pytest.raises(PackError, match="materialize: !: not a pattern"):
        list(matches(["!"], FILES))
