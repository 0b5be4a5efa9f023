"""The benchmarks run, and their tables have what is true at any speed.

How long something takes is for people to read: a machine that runs tests is busy.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: The checkout comes last on sys.path, so that the installed lazyimport is measured.
RUN = f"""
import runpy, sys
sys.path.append({ROOT!r})
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


#: Scripts that do not run here, because they start a cluster, or install packages and
#: take hours, and what other scripts import.
ELSEWHERE = {"live", "rollout", "suites", "sweep", "workers"}
SHARED = {"__main__", "measure", "page"}
#: What a script needs beside what lazyimport does.
NEEDED = {
    "fetch": "obstore",
    "simulate": "obstore",
    "threshold": "obstore",
    "uploads": "google.cloud.storage",
}
SCRIPTS = {path.stem for path in Path(ROOT, "benchmarks").glob("*.py")}


class Table:
    """A table that was printed: a *head*, and rows that follow."""

    def __init__(self, head: list[str]) -> None:
        self.head = head
        self.rows: list[list[str]] = []

    def __getitem__(self, column: str) -> list[str]:
        """Return what a column says in each row."""
        place = self.head.index(column)
        return [row[place] for row in self.rows]

    def numbers(self, column: str) -> list[float]:
        """Return the numbers with which a column begins in each row."""
        cells = [cell.partition(" ")[0].replace(",", "") for cell in self[column]]
        return [float(cell) for cell in cells]


def tables_in(text: str) -> list[Table]:
    found: list[Table] = []
    before: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if line.startswith("| --"):
            if found and found[-1].rows[-1:] == [before]:
                del found[-1].rows[-1]
            found.append(Table(before))
        elif line.startswith("|") and found and len(cells) == len(found[-1].head):
            found[-1].rows.append(cells)
        before = cells
    return found


def check_cache(put: Table, removed: Table) -> None:
    assert put[put.head[0]] == ["put on disk", "written plainly"]
    assert removed[removed.head[0]] == ["rmtree", "eviction"]


def check_change(table: Table) -> None:
    """A changed line moves a hundredth of the archive, up and down."""
    first, *changed = table.numbers("bytes sent")
    assert table.numbers("bytes fetched") == [first, *changed]
    assert 0 < max(changed) < first / 50
    *known, unknown = table.numbers("bytes read")
    assert known == [0, 0, 0]
    assert 0 < unknown < first / 5


def check_cold(table: Table) -> None:
    assert min(table.numbers("archive, ms CPU")) > 0


def check_fetch(*tables: Table) -> None:
    """The archive comes once at most before the first import; less if it streams."""
    for table in tables:
        modes = ["before", "whole", "stream"]
        links = [
            table.rows[place : place + 3] for place in range(0, len(table.rows), 3)
        ]
        for rows in links:
            link = Table(table.head)
            link.rows = rows
            assert link["mode"] == modes
            before, whole, stream = link.numbers("MB before")
            assert stream <= whole == before
            assert link.numbers("requests before")[0] == 1


def check_harm(killed: Table, full: Table, broken_off: Table) -> None:
    for table in (killed, full, broken_off):
        assert set(table["Wrong"]) == {"0"}
    bytes_of = dict(
        zip(broken_off["Killed in a download"], broken_off["Bytes"], strict=True)
    )
    for who, share in bytes_of.items():
        assert share == "1.000" or who.startswith("the fetcher")


def check_imports(alone: Table, whole: Table) -> None:
    assert alone["modules"] == whole["modules"] == ["21"]


def check_install(table: Table) -> None:
    assert table[""] == ["python -I", "python -I -S"]


def check_looks(calls: Table, made: Table) -> None:
    """Importing modules without data puts nothing on disk."""
    assert "os.stat" in calls[""]
    assert made.numbers("modules") == [21]
    assert made.numbers("files on disk") == [0]


def check_memory(table: Table) -> None:
    """Workers share the pages of an archive."""
    (directory,), (archive,) = map(table.numbers, ("directory, MB each", "archive"))
    assert archive < directory


def check_push(table: Table) -> None:
    assert table["sent as"] == ["full", "delta", "present", "delta"]
    assert max(table.numbers("requests")) <= 10
    assert max(table.numbers("in a row")) <= max(table.numbers("requests"))


def check_simulate(*tables: Table) -> None:
    """The model asks for as much as real nodes, as often."""
    measured, _ = tables
    for column in ("requests", "MB"):
        real, modelled = measured.numbers(column)
        assert real == modelled > 0


def check_start(table: Table) -> None:
    """A process that does not use lazyimport loads none of its modules."""
    assert table["modules"] == ["none"]


def check_threshold(table: Table) -> None:
    """A large file that is an object of its own costs a cold node a request."""
    requests = {name: [cell.rpartition(", ")[2] for cell in table[name]] for name in table.head[1:-1]}  # fmt: skip
    assert requests["cold, in"] == requests["a line, in"] == ["1"]
    assert requests["cold, own"] == ["5"]
    assert requests["a line, own"] == ["1"]


def check_uploads(table: Table) -> None:
    assert table[""] == ["1 of 16 MiB"]


def check_weights(table: Table) -> None:
    """A changed line of code moves and stores none of the weights again."""
    first, fetched, *changed = table.numbers("bytes moved")
    assert 16 << 20 < first <= fetched < 17 << 20
    assert 0 < max(changed) < 10_000
    assert set(table["author's disk"]) == {"1.00"}
    assert table["node's disk"] == ["0.00", "1.00", "1.00", "1.00"]


@pytest.mark.parametrize("name", sorted(SCRIPTS - ELSEWHERE - SHARED))
def test_benchmark_prints_what_is_true(name: str) -> None:
    pytest.importorskip(NEEDED.get(name, "lazyimport"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, f"benchmarks.{name}", "--quick"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    globals()[f"check_{name}"](*tables_in(done.stdout))


def test_one_page_with_bars_and_the_machine(tmp_path: Path) -> None:
    out, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    arguments = ["--quick", "--only", "imports", "--out", out, "--picture", picture]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "benchmarks", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
    )

    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert f"Python {platform.python_version()}" in text
    assert "whole process" in text
    assert text.count("<svg") == 2
    assert ET.parse(picture).getroot().tag.endswith("svg")
