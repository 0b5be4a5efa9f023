"""gitignore patterns leave what git leaves."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lazyimport.packing.ignore import Patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, TypeAlias

    Tree: TypeAlias = dict[str, Any]  # a folder: None is a file

NAMES = ["a", "b", "ab", "x.py", "y.txt", "build", "c.d"]
LINES = [
    *NAMES,
    *(f"/{name}" for name in NAMES),
    *(f"{name}/" for name in NAMES),
    *(f"!{name}" for name in NAMES),
    *("*", "!*/", "!*.py", "*.py", "a/b", "a/**", "**/b", "a*", "/a/*", "!/a/b", "/*"),
    *("a/**/b", "?", "[ab]", "!a/b/", "!/a/", "*/b", "#a", "\\!a", "a ", "**/a/x.py"),
    *("a/*/", "ab*/", "**", "**/", "!**/a", "a/**/", "!a/**/", "a//", "/", "!**/", ""),
    *("**/b/**", "b/**/*.py", "a/ ", "!", "*.[pt]*", "a\\", "!a/b/x.py"),
    *(
        "**/a/**/b",
        "a/**/**/b",
        "[!a]",
        "[^a]*",
        "[a-b]b",
        "[b-a]",
        "[]ab]",
        "[a",
        "[]",
    ),
    *("*b*", "*a*b", "a**b", "**b", "[[:alpha:]]", "[[:nope:]]", "?.[a-z]?", "\\a*"),
    *(
        "[\\a]",
        "[a\\]",
        "a\\ ",
        "x[.]py",
        "*[",
        "*/*/*",
        "/**",
        "/**/a",
        "a[/]b",
        "a?b",
    ),
    *("[--z]", "[a-]", "[!-]", "**/*a*", "*/**/*.py", "! a", "[![:lower:]]*", "[!]a]"),
]

trees = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), st.none(), max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from(NAMES), st.none() | inner, max_size=5
    ),
    max_leaves=12,
)


def make(folder: str, tree: Tree) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, below in tree.items():
        if below is None:
            open(f"{folder}/{name}", "w").close()
        else:
            make(f"{folder}/{name}", below)


def left(patterns: Patterns, tree: Tree, inside: str = "") -> Iterator[str]:
    for name, below in tree.items():
        rule = patterns.find(inside + name, name, directory=below is not None)
        if rule is None or rule.keeps:
            if below is None:
                yield inside + name
            else:
                yield from left(patterns, below, f"{inside}{name}/")


@pytest.mark.skipif(not shutil.which("git"), reason="git is the judge")
@given(trees, st.lists(st.sampled_from(LINES), min_size=1, max_size=6))
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_git_leaves_the_same(tmp_path: Path, tree: Tree, lines: list[str]) -> None:
    folder = f"{tmp_path}/tree"
    shutil.rmtree(folder, ignore_errors=True)
    make(folder, tree)
    git = ["git", "-c", "core.excludesFile=/dev/null", "-C", folder]
    subprocess.run([*git, "init", "-q"], check=True)
    with open(f"{folder}/.git/info/exclude", "w") as file:
        file.write("\n".join(lines) + "\n")
    command = [*git, "ls-files", "--others", "--exclude-standard", "-z"]
    answer = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    expected = sorted(answer.split("\0")[:-1])
    assert sorted(left(Patterns(lines, "x"), tree)) == expected
