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


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (1.8e9, "2027-01-15T08:00:00Z"),
        ("2026-11-22T20:07:31Z", "2026-11-22T20:07:31Z"),
        ("2026-11-22T20:07:31+01:00", "2026-11-22T20:07:31+01:00"),
        ("yesterday\n\x1b[2J", "yesterday [2J"),
        ("", ""),
    ],
)
def test_moment(when: float | str, text: str) -> None:
    """One format for all times, in one zone; what is no time is shown as it is."""
    assert text == figures.moment(when)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172800, "2 d"),
        (4e7, "463 d"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert text == figures.age(seconds)
