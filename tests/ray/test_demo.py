"""`lazyimport demo` with a real Ray, which it starts and stops."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile

import pytest

pytest.importorskip("ray")

from lazyimport.cli.demo.workers import why_not_ray

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from lazyimport.cli import main; sys.exit(main(['demo', '--workers', 'ray']))"
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Demo:
    """A running demo, whose folder will be made in *folder*."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        environ = {k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**environ, "NO_COLOR": "1", "TMPDIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def left(self) -> list[str]:
        """Return folders and processes that are still there."""
        found = os.listdir(self.folder)
        for place in glob.glob("/proc/[0-9]*/cmdline"):
            with contextlib.suppress(OSError), open(place, "rb") as file:
                words = file.read()
                if os.fsencode(self.folder) in words:
                    found.append(words.decode())
        return found


@pytest.fixture(name="demo")
def _demo() -> Iterator[Demo]:
    # Not tmp_path: too long for Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="lzt-", dir="/tmp") as folder:
        demo = Demo(folder)
        yield demo
        demo.process.kill()
        demo.process.communicate()


def test_tells_the_whole_story(demo: Demo) -> None:
    """In one cluster, both versions at once, and nothing is left of it."""
    text, errors = demo.process.communicate(timeout=240)

    assert 0 == demo.process.returncode, errors
    assert re.search(r"^   Ray \d", text, re.MULTILINE)
    modules = re.search(r"^   (\d+) modules, \S+ MB sent", text, re.MULTILINE)
    assert modules
    assert int(modules[1]) > 200
    assert "a file that does not exist" in text
    assert "the new actor's till: 270 in it" in text
    assert "the first actor's till: 648 in it" in text
    assert re.search(r"one line, from edit to running +\S+ s +[\d.]+ k?B", text)
    assert [] == demo.left()


@pytest.mark.parametrize("label", ["$", "app is removed", "Ray", "the first actor"])
def test_interrupted_it_leaves_nothing(demo: Demo, label: str) -> None:
    """Ray starts after the second one, and has workers of both kinds at the end."""
    assert demo.process.stdout is not None
    for line in demo.process.stdout:
        if line.startswith(f"   {label}"):
            break
    demo.process.send_signal(signal.SIGINT)
    _, errors = demo.process.communicate(timeout=60)

    assert 130 == demo.process.returncode, errors
    assert "interrupted" in errors
    assert [] == demo.left()


def test_a_python_that_ray_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray passes its path to bash as it is, and workers with env_vars never come."""
    monkeypatch.setattr(sys, "executable", "/home/me/my code/.venv/bin/python")
    assert "/home/me/my code/.venv/bin/python" in why_not_ray()
    monkeypatch.setattr(sys, "executable", "/home/me/code-ü/.venv/bin/python3.11")
    assert "" == why_not_ray()
