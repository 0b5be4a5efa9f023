"""What the scripts print, as one HTML page: their tables, and bars with intervals."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

#: as `measure.Figure` prints itself
_FIGURE = re.compile(r"(-?[\d.,]+) \[(-?[\d.,]+), (-?[\d.,]+)\]")
_LINE = 22
_LEFT = 190
_WIDE = 720
_FIGURE_WIDE = 30
#: longer bars are cut: their figures are beside them
_LONGEST = 2.0
_STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #33405c }
.head { font-weight: 600; font-size: 15px; fill: #172033 }
.soft { fill: #55617c; font-size: 12px }
.page { fill: #ffffff }
.bar { fill: #b9c6e6 } .ours { fill: #2f5bd0 } .line { stroke: #33405c; stroke-width: 1.4 }
.one { stroke: #0f6b4f; stroke-width: 1.2; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #cdd6ea } .head { fill: #eef2fb } .soft { fill: #9aa6c3 }
  .page { fill: #161b26 } .bar { fill: #45517a } .ours { fill: #86a8ff }
  .line { stroke: #cdd6ea } .one { stroke: #6fdcb6 }
}
"""
_PAGE_STYLE = """
body { font: 15px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; margin: 2em auto;
  max-width: 62em; padding: 0 1em; color: #172033; background: #ffffff }
pre { white-space: pre-wrap; color: #33405c } svg { max-width: 100%; height: auto }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em .2em 0;
  border-bottom: 1px solid #d5dbe8; text-align: left; font-variant-numeric: tabular-nums }
@media (prefers-color-scheme: dark) {
  body { color: #eef2fb; background: #161b26 } pre { color: #cdd6ea }
  td, th { border-color: #37425c }
}
"""


class Table(NamedTuple):
    """A table that a script printed: its head, and its rows of as many cells."""

    head: list[str]
    rows: list[list[str]]

    def bars(self) -> dict[str, list[tuple[str, float, float, float]]]:
        """Return, for each row, the columns with ratios: median, low, high."""
        found: dict[str, list[tuple[str, float, float, float]]] = {}
        for row in self.rows:
            for name, cell in zip(self.head[1:], row[1:], strict=True):
                match = _FIGURE.fullmatch(cell)
                if match and not re.search(r"\bm?s\b|MB", name):
                    values = [float(value.replace(",", "")) for value in match.groups()]
                    found.setdefault(row[0], []).append(
                        (name, values[0], values[1], values[2])
                    )
        return found


def tables(text: str) -> list[Table]:
    """Return the Markdown tables in *text*."""
    found: list[Table] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not before.startswith("|"):
                found.append(Table(cells, []))
            elif not line.startswith("| --"):
                found[-1].rows.append(cells)
        before = line
    return found


def page(machine: str, parts: dict[str, tuple[str, str]]) -> str:
    """Return the page; *parts* are what scripts are about and what they printed."""
    body = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Benchmarks of lazyimport</title><style>{_PAGE_STYLE}</style>",
        "<h1>Benchmarks of lazyimport</h1>",
        f"<p>{escape(machine)}</p>",
    ]
    for name, (about, text) in parts.items():
        body.append(f'<h2 id="{escape(name)}">{escape(name)}</h2>')
        body.append(f"<pre>{escape(about.strip())}</pre>")
        words = [x for x in text.splitlines() if x and x[0] != "|" and x != machine]
        body += [f"<p>{escape(line)}</p>" for line in words]
        for table in tables(text):
            bars = table.bars()
            if bars:
                body.append(picture(f"{name}: {table.head[0]}".strip(": "), "", bars))
            body.append(_html(table))
    return "\n".join([*body, "</html>", ""])


def picture(
    title: str, note: str, groups: dict[str, list[tuple[str, float, float, float]]]
) -> str:
    """Return an SVG of bars in *groups*: what, median, low and high of each."""
    most = max(high for bars in groups.values() for *_, high in bars)
    scale = (_WIDE - _LEFT - 130) / min(max(most, 1.0), _LONGEST)
    one = _LEFT + scale
    lines = [f'<text class="head" x="12" y="24">{escape(title)}</text>']
    y = 36
    for group, bars in groups.items():
        y += 20
        lines.append(f'<text class="head" x="12" y="{y}">{escape(group)}</text>')
        top = y + 6
        for name, median, low, high in bars:
            y += _LINE
            kind = "ours" if "archive" in name else "bar"
            middle = y - 5
            end = min(high, _LONGEST)
            label = _LEFT + end * scale + 8
            if one - _FIGURE_WIDE < label < one + 6:
                label = one + 6  # the line would go through it
            lines += [
                f'<text x="24" y="{y}">{escape(name)}</text>',
                (
                    f'<rect class="{kind}" x="{_LEFT}" y="{middle - 7}" '
                    f'width="{min(max(median, 0), _LONGEST) * scale:.1f}" height="14" rx="2"/>'
                ),
                (
                    f'<path class="line" fill="none" d="M{_LEFT + min(low, end) * scale:.1f} {middle}'
                    f'H{_LEFT + end * scale:.1f}"/>'
                ),
                f'<text x="{label:.1f}" y="{y}">{median:.2f}</text>',
            ]
        lines.append(f'<path class="one" d="M{one:.1f} {top}V{y + 4}"/>')
    if note:
        y += 28
        lines.append(f'<text class="soft" x="12" y="{y}">{escape(note)}</text>')
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {y + 16}" '
                f'width="{_WIDE}" role="img" aria-label="{escape(title)}">'
            ),
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDE}" height="{y + 16}"/>',
            *lines,
            "</svg>",
        ]
    )


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = (
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return f"<table><tr>{head}</tr>\n" + "\n".join(rows) + "</table>"
