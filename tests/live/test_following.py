"""follow: a process, or a notebook, runs what was saved last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.live.watching import watch
from tests.support.compare_importers import write_tree

pytest.importorskip("watchfiles")

FILES = {
    "app/__init__.py": "",
    "app/model.py": "class Model:\n    pass\nMODEL = Model()\n",
    "app/main.py": "from app import model\ndef answer():\n    return 1\nclass Item:\n    pass\n",
}
PROGRAM = """
import os, sys, time
import lazyimport
following = lazyimport.live.follow(sys.argv[1])
from app import main
from app.main import answer, Item
from app.model import MODEL
import app.main
old, kept = [Item], MODEL
def save(text):
    with open(os.path.join(sys.argv[1], "app/main.py"), "w") as file:
        file.write(text)
print(answer())
save("from app import model\\ndef answer():\\n    return 2\\nclass Item:\\n    X = 1\\n")
until = time.monotonic() + 30
while answer() == 1 and time.monotonic() < until:
    time.sleep(0.02)
print(answer(), main.answer(), app.main.answer(), Item is not old[0], Item.X)
print(main.model.MODEL is MODEL is kept, following.last.state)
save("1 / 0")
while following.last.state == "swapped" and time.monotonic() < until:
    time.sleep(0.02)
print(following.last.reason, answer())
following.stop()
"""


def test_a_process_runs_what_is_saved(tmp_path: Path) -> None:
    """No store is needed, and no variable."""
    source = write_tree(FILES, tmp_path / "src")
    environ = {**os.environ, "LAZYIMPORT_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", PROGRAM, str(source)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1",
        "2 2 2 True 1",
        "True swapped",
        "app/main.py:1: ZeroDivisionError: division by zero 2",
    ]
    assert "is refused: app/main.py:1: ZeroDivisionError" in done.stderr


TWICE = """
import sys, warnings
import lazyimport
warnings.simplefilter("always")
def follow(*roots):
    with warnings.catch_warnings(record=True) as caught:
        found = lazyimport.live.follow(*roots)
    return found, [str(each.message) for each in caught]
sys.path.insert(0, sys.argv[1])
import app.main
first, said = follow(sys.argv[1])
print(said)
again, said = follow(sys.argv[1])
print(first._end.is_set(), len(said))
other, said = follow(sys.argv[2])
print(again._end.is_set(), said)
other.stop()
print(lazyimport.live.follow())
"""


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    """What was imported before stays; another call takes the place of the first."""
    source = write_tree(FILES, tmp_path / "src")
    other = write_tree({"lib.py": ""}, tmp_path / "other")
    environ = {**os.environ, "LAZYIMPORT_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", TWICE, source, other],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert f"'app' was imported from {source}/app/__init__.py before follow()" in first
    assert second == "True 1"
    assert third.startswith("True [")
    assert "takes the place of" in third
    assert fourth == "<Following lazyimport dev>"


def test_a_file_is_watched_however_often_it_is_replaced(tmp_path: Path) -> None:
    """As editors save: by a rename. It may be all that is watched."""
    file = tmp_path / "serve.yaml"
    file.write_text("")
    folder = tmp_path / "src"
    folder.mkdir()
    for paths in ([folder, file], [file]):
        changes = iter(watch(*map(str, paths)))
        for text in "abc":
            (tmp_path / "new").write_text(text * len(file.read_text() + text))
            (tmp_path / "new").rename(file)
            assert {str(file)} == next(found for found in changes if found)
        assert not next(changes)


def test_what_is_written_meanwhile_is_seen_before_the_rest_is_run(
    tmp_path: Path,
) -> None:
    """So half of what an editor or git writes is not run, nor reported."""
    changes = watch(str(tmp_path))
    (tmp_path / "a.py").write_text("a")
    found = iter(changes)
    assert next(paths for paths in found if paths)
    assert not changes.go_on()
    (tmp_path / "b.py").write_text("b")
    assert changes.go_on(60)
    assert next(found) == {str(tmp_path / "b.py")}
    assert not changes.go_on()


def test_files_that_were_written_while_they_were_read_are_read_again(
    tmp_path: Path,
) -> None:
    """Whoever has seen half of them knows before the watcher does."""
    changes = watch(str(tmp_path))
    assert changes.go_on(0.0, lambda: True)
    assert not changes.go_on(0.0, lambda: False)
