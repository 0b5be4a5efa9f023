"""Numbers as people read them."""

from __future__ import annotations

import pytest

from lazyimport.cli import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (24_000_000, "24 MB"),
        (3_100_000_000, "3.1 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert text == figures.size(count)


def test_amount() -> None:
    assert "1 module" == figures.amount(1, "module")
    assert "1,234 modules" == figures.amount(1234, "module")
