"""The commands of the README do what it says, on a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("ray")

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CHECKOUT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".tox", ".venv", ".*_cache", "__pycache__", "build", "dist", ".hypothesis"
)


def commands() -> list[str]:
    """The first two commands of the README: the demo, and the tests."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [block.strip() for block in blocks[:2]]


#: makes virtual environments that have Ray already, whose download takes minutes
PYTHON3 = """\
#!/bin/sh
{python} "$@"
for packages in .venv/lib/python*/site-packages; do
    echo {ours} > "$packages/after_its_own.pth"
done
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(CHECKOUT, target, ignore=LEFT_OUT)
    python3 = tmp_path / "bin" / "python3"
    python3.parent.mkdir()
    ours = sysconfig.get_path("purelib")
    python3.write_text(PYTHON3.format(python=sys.executable, ours=ours), "utf-8")
    python3.chmod(0o755)
    return target


def run(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as it stands, with this Python as ``python3``."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LAZYIMPORT_", "TOX", "VIRTUAL_ENV", "PYTEST", "COV"))
    }
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**clean, "PATH": path, "PIP_NO_COMPILE": "1", **environ},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.timeout(900)
def test_demo(copy: Path) -> None:
    done = run(commands()[0], copy)

    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout[-2000:]
    assert "What moved, and how long it took" in table, done.stdout + done.stderr
    assert re.search(r"one line, from edit to running +[0-9.]+ s", table), table


@pytest.mark.timeout(900)
def test_tests(copy: Path) -> None:
    """The second command is tox; one short environment stands for all."""
    done = run(commands()[1], copy, TOXENV="layers")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "layers: OK" in done.stdout
