"""The benchmarks run; their figures are for people to read."""

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


@pytest.mark.parametrize("name", sorted(SCRIPTS - ELSEWHERE - SHARED))
def test_benchmark_prints_its_table(name: str) -> None:
    """Nothing is asserted about time, because a machine that runs tests is busy."""
    pytest.importorskip(NEEDED.get(name, "lazyimport"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, f"benchmarks.{name}", "--quick"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "| --" in done.stdout


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
