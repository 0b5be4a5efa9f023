"""What may be typed for a number, an age, a size; and what is said of anything else."""

from __future__ import annotations

from typing import Any

import click
import pytest

from lazyimport.cli.kinds import KINDS


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("AGE", "90s", 90.0),
        ("AGE", "1.5h", 5400.0),
        ("AGE", "30d", 2592000.0),
        ("AGE", "8w", 4838400.0),
        ("N", "0", 0),
        ("N", "20", 20),
        ("SECONDS", "0.5", 0.5),
        ("SECONDS", "600", 600.0),
        ("SIZE", "20GiB", "20GiB"),
        ("SIZE", "off", "off"),
    ],
)
def test_value(kind: str, text: str, value: Any) -> None:
    assert value == KINDS[kind](text)


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("AGE", "", "such as 12h, 30d or 8w"),
        ("AGE", "30", "such as 12h, 30d or 8w"),
        ("AGE", "-1d", "such as 12h, 30d or 8w"),
        ("AGE", "nand", "such as 12h, 30d or 8w"),
        ("N", "-1", "a whole number"),
        ("N", "1.5", "a whole number"),
        ("SECONDS", "0", "a number of seconds"),
        ("SECONDS", "inf", "a number of seconds"),
        ("SECONDS", "soon", "a number of seconds"),
        ("SIZE", "much", "a size such as 20GiB or 500MB, or off"),
    ],
)
def test_anything_else(kind: str, text: str, why: str) -> None:
    with pytest.raises(click.BadParameter, match=rf"^{text!r} is not .*{why}"):
        KINDS[kind](text)
