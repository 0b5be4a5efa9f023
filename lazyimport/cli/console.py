"""What a person sees: tables and diffs on stdout, notes and errors on stderr.

A terminal gets colors, and tables that fit it. Everything else (a pipe, a
file, ``TERM=dumb``, ``NO_COLOR``) gets plain lines that stay as they are. Control
characters are escaped: anybody may have written names in archives and stores.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TextIO, TypeGuard

from click import style

from lazyimport.cli.fitting import EMPTY, Cells
from lazyimport.units import utc
from lazyimport.values import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_NAME = "lazyimport: "
#: Longer tables are plain: rich would take seconds for them.
_MOST_ROWS = 500
#: Attributes in seconds since the epoch.
_TIMES = {"arrived", "modified", "since", "started", "used"}
#: An archive's hash: no part of a path or URL, and no digest to compare.
_HASH = re.compile(r"(?<![\w/=])(?<!SHA-256 )([0-9a-f]{12})[0-9a-f]{52}\b")
_DIFF_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def is_live(stream: TextIO | None) -> bool:
    """Whether *stream* is a terminal on which colors and moving lines are welcome."""
    return (
        stream is not None
        and stream.isatty()
        and os.environ.get("TERM") != "dumb"
        and not os.environ.get("NO_COLOR")
    )


def console(stream: TextIO) -> Console:
    """Return the console of rich on *stream*, which takes texts as they are."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print *value* on stdout for a script: `plain`, with times in ISO 8601."""
    print(json.dumps(plain(value), indent=2))


def plain(value: object) -> Any:
    """Return *value* as JSON has it; objects and named tuples as their attributes."""
    if value is None or isinstance(value, (bool, float, int, str)):
        return value
    if isinstance(value, Mapping):
        return {
            key: utc(each) if key in _TIMES and _is_number(each) else plain(each)
            for key, each in value.items()
        }
    if isinstance(value, Iterable) and not hasattr(value, "_fields"):
        return list(map(plain, value))
    return plain(facts(value))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def facts(value: object) -> dict[str, object]:
    """Return the attributes of *value*."""
    names = getattr(value, "_fields", getattr(value, "__slots__", None)) or vars(value)
    return {name: getattr(value, name) for name in names}


def print_table(
    rows: Iterable[Sequence[str]],
    *,
    header: Sequence[str] = (),
    right: Sequence[int] = (),
    indent: str = "",
) -> None:
    """Print *rows* on stdout in columns; those numbered in *right* are flush right."""
    cells = [[escaped(cell) for cell in row] for row in rows]
    if not cells:
        return
    table = Cells(header, cells, right)
    _tolerate_any_name()
    if is_live(sys.stdout) and len(cells) <= _MOST_ROWS:
        out = console(sys.stdout)
        width = out.width - len(indent)
        table = table.fitted(width)
        if table.notes:
            _print_with_notes(table, indent, out.width)
            return
        if table.fits(width):
            from rich.padding import Padding

            shown = make_table(table.rows, header=table.header, right=table.right)
            out.print(Padding(shown, (0, 0, 0, len(indent))))
            return
    widths = table.widths()
    for line in [table.header, *table.rows] if table.header else table.rows:
        print(indent + _columns(line, widths, table.right))


def _print_with_notes(table: Cells, indent: str, width: int) -> None:
    """Print *table* on a terminal of this *width*, each note below its row."""
    from textwrap import TextWrapper

    widths = table.widths()
    if table.header:
        print(indent + style(_columns(table.header, widths, table.right), bold=True))
    below = f"{indent}  "
    wrapper = TextWrapper(
        width, initial_indent=below, subsequent_indent=below, break_on_hyphens=False
    )
    for row, note in zip(table.rows, table.notes, strict=True):
        print(indent + _columns(row, widths, table.right))
        if note not in EMPTY:
            print(wrapper.fill(note))


def make_table(
    rows: Iterable[Sequence[str]],
    *,
    header: Sequence[str] = (),
    right: Sequence[int] = (),
) -> Table:
    """Return *rows* as a table of rich, of which only the last column is broken."""
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(escaped(cell)) for cell in row] for row in rows]
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        show_header=bool(header),
        header_style="bold",
    )
    last = max(map(len, [header, *cells])) - 1
    for number in range(last + 1):
        table.add_column(
            header[number] if header else "",
            justify="right" if number in right else "left",
            no_wrap=number != last,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    return table


def _columns(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    line = "  ".join(
        cell.rjust(width) if number in right else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return line.rstrip()


def _tolerate_any_name() -> None:
    """Let stdout escape what its encoding cannot say, names of files above all."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_diff(text: str) -> None:
    """Print a unified diff on stdout."""
    print_text(text, _DIFF_COLORS if is_live(sys.stdout) else {})


def print_text(text: str, colors: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print lines on stdout, in *colors* by their first character."""
    _tolerate_any_name()
    for line in text.removesuffix("\n").split("\n") if text else ():
        shown = "\t".join(map(escaped, line.split("\t")))
        color = colors.get(line[:1])
        print(style(shown, fg=color) if color else shown)


def say(text: str) -> None:
    """Print a note on stderr; on a terminal, hashes are cut to what commands take."""
    _print("", _HASH.sub(r"\1", text) if is_live(sys.stderr) else text)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    mark = "warning:"
    _print(f"{style(mark, fg='yellow') if is_live(sys.stderr) else mark} ", text)


def complain(text: str, *notes: str) -> None:
    """Print on stderr what went wrong, and *notes* on what to do.

    Each line is under our name; on a terminal, what happened is a red headline, with
    what to do below it.
    """
    # What the archive says about a missing module has our name on it already.
    lines = [line.removeprefix(f"  {_NAME}") for line in _lines(text)]
    if not is_live(sys.stderr):
        say("\n".join(_NAME + line for line in [*lines, *notes]))
        return
    headline, advice = _split(lines[0])
    _print(style(_NAME, fg="red"), headline, fg="red", bold=True)
    for line in [*filter(None, [advice]), *lines[1:], *notes]:
        _print("  ", line)


def _print(mark: str, text: str, **styles: Any) -> None:
    """Print *text* on stderr, each line escaped and in these styles, behind *mark*."""
    if sys.stderr is not None:
        lines = [escaped(line) for line in _lines(text)]
        shown = [style(line, **styles) for line in lines] if styles else lines
        print(mark + "\n".join(shown), file=sys.stderr)


def _lines(text: str) -> list[str]:
    """Return the lines of *text*, which other separators than ours do not break."""
    return text.removesuffix("\n").split("\n")


def _split(text: str) -> tuple[str, str]:
    """Return what a message says has happened, and what to do.

    The latter follows a semicolon, or is in parentheses at the end.
    """
    depth, quote, opened = 0, "", len(text)
    for number, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not text[number - 1 : number].isalnum():
            quote = character
        elif character == "(":
            opened = opened if depth else number
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == ";" and depth <= 0:
            return text[:number], text[number + 1 :].strip()
    if text.endswith(")") and opened:
        return text[:opened].rstrip(), text[opened + 1 : -1]
    return text, ""
