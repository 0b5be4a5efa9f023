"""A project's own tests, which it installs, pass from an archive as they should.

``benchmarks/suites.py`` does the same with many projects; the dependency group
``real`` has the small one of this sample.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed import are_installed, copy_installed

#: behind everything else, so that the installed lazyimport is tested
RUN = f"""
import runpy, sys
sys.path.append({str(Path(__file__).parents[2])!r})
runpy.run_module("benchmarks.suites", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not are_installed(["toolz"]), reason="the dependency group 'real' has toolz"
)
def test_same_tests_pass(tmp_path: Path) -> None:
    """Both sides of the table say the same, and not nothing."""
    copy_installed(["toolz"], tmp_path / "toolz")

    done = subprocess.run(
        [sys.executable, "-c", RUN, "--installed", str(tmp_path), "--only", "toolz"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    row = re.search(r"\| toolz [\d.]+ \| (\d+) / 0 / \d+ \| (\d+) / 0 / ", done.stdout)
    assert row, done.stdout
    assert int(row[1]) == int(row[2]) > 100
