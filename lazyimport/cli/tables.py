"""Figures and tables as people read them."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "amount",
    "columns",
    "moment",
    "one_line",
    "origin_of",
    "print_json",
    "print_table",
    "python_of",
    "size",
    "tolerant",
]

_UNITS = ("kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """Return a number of bytes in decimal units: ``412 B``, ``3.1 kB``, ``24 MB``."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 9.95:
            return f"{value:.1f} {unit}"
        if value < 999.5:
            return f"{value:.0f} {unit}"
    return f"{value:.0f} {_UNITS[-1]}"


def amount(count: int, noun: str) -> str:
    """Return ``1 module``, ``1,234 modules``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment(seconds: float) -> str:
    """Return a time since the epoch in the local time zone: ``2026-11-22 20:07``."""
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def one_line(text: str) -> str:
    """Return what somebody else wrote, without what a terminal would act on."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())


def origin_of(facts: Mapping[str, object]) -> str:
    """Return where an archive came from, in words; empty if *facts* do not say."""
    commit = str(facts.get("commit", ""))[:10]
    if not commit:
        return ""
    branch = facts.get("branch")
    text = f"{commit} on {branch}" if branch else commit
    return f"{text}, with uncommitted changes" if facts.get("dirty") else text


def python_of(variant: object) -> str:
    """Return the Python that a bytecode variant is for: ``3.11``, ``3.11 -O``."""
    tag, _, level = str(variant).partition("-O")
    name, _, digits = tag.partition("-")
    if name == "cpython" and digits[:1] == "3" and digits[1:].isdigit():
        tag = f"3.{digits[1:]}"
    return f"{tag} -{'O' * int(level)}" if level else tag


def columns(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return *rows* as lines of columns; those numbered in *right* are flush right.

    What a terminal would act on is escaped: names in archives are anybody's.
    """
    rows = [list(map(escaped, row)) for row in rows]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def escaped(cell: str) -> str:
    """Return *cell* with all that a terminal would act on spelled out."""
    if cell.isprintable():
        return cell
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in cell
    )


def print_table(
    rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), indent: str = ""
) -> None:
    """Print *rows* on stdout in columns, as `columns` gives them."""
    for line in columns(rows, right=right):
        print((indent + line).rstrip())


def print_json(value: object) -> None:
    """Print *value* on stdout for a script."""
    import json

    print(json.dumps(value, indent=2))


def tolerant() -> None:
    """Let stdout escape what its encoding cannot say, names of files above all."""
    import io

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
