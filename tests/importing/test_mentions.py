"""Paths that stand somewhere in the arguments of a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lazyimport.importing.mentions import mentioned

ROOT = "/cache/trees/ab"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"{ROOT}/a.txt", [f"{ROOT}/a.txt"]),
        (f"{ROOT}/a.txt".encode(), [f"{ROOT}/a.txt"]),
        (Path(ROOT, "a"), [f"{ROOT}/a"]),
        (ROOT, [ROOT]),
        (f"cat {ROOT}/a '{ROOT}/b c'; ls", [f"{ROOT}/a", f"{ROOT}/b"]),
        (f"--file={ROOT}/a", [f"{ROOT}/a"]),
        (f"file:{ROOT}/x.sqlite?mode=ro", [f"{ROOT}/x.sqlite?mode=ro"]),
        ([b"PATH=/bin", f"DATA={ROOT}/d".encode()], [f"{ROOT}/d"]),
        ({"A": f"{ROOT}/a", "B": 1}, [f"{ROOT}/a"]),
        (f"/bin:{ROOT}/bin:/usr/bin", [f"{ROOT}/bin"]),
        (f"{ROOT}c/a", []),
        ("/elsewhere", []),
        (None, []),
        (5, []),
    ],
    ids=str,
)
def test_what_is_mentioned(value: Any, found: list[str]) -> None:
    assert list(mentioned([value], [ROOT])) == found
