"""What is told about a module that nobody has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.format.archive import Archive
from lazyimport.importing.missing import explain_missing
from lazyimport.importing.tree import Tree
from tests.support.compare_importers import pack_tree, write_tree


def test_notes_write_no_lines_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not hashed: who can write to the store can put anything there."""
    cache = NodeCache(str(tmp_path / "cache"))
    hash_ = pack_tree(write_tree({"app.py": ""}, tmp_path / "src"), tmp_path / "cache")
    archive = cache.open(hash_)
    assert archive is not None
    rule = "x\n2026-11-28 CRITICAL sshd: root\x1b[2J"
    notes = {"excluded": {"gone.py": rule}}
    monkeypatch.setattr(Archive, "notes", notes)

    told = "\n".join(explain_missing(Tree(archive, "/root"), "gone"))

    assert "gone.py was left out when packing, by the rule x\\n2026" in told
    assert all(line.startswith("  lazyimport: ") for line in told.splitlines())
    assert "\x1b" not in told


def test_what_explaining_misses_is_not_explained(tmp_path: Path) -> None:
    """The standard library may be closed to a user that the process became."""
    cache = tmp_path / "cache"
    hash_ = pack_tree(write_tree({"app.py": ""}, tmp_path / "src"), cache)
    program = f"""if True:
        import lazyimport, sys
        lazyimport.install({hash_!r}, cache_dir={str(cache)!r})
        sys.path[:] = [p for p in sys.path if "site-packages" in p]
        sys.path_importer_cache.clear()
        import csv
        """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "No module named 'csv'" in done.stderr
    assert len(done.stderr.splitlines()) < 15


def test_the_text_is_that_of_python(tmp_path: Path) -> None:
    """Programs compare it. To tell more imports nothing of anybody's."""
    tree = {"app/__init__.py": "", "app/fast.pyx": "", "app/lisp/__init__.hy": ""}
    tree |= {"shop.py": ""}
    hash_ = pack_tree(write_tree(tree, tmp_path / "src"), tmp_path / "cache")
    program = f"""if True:
        import lazyimport, sys
        lazyimport.install({hash_!r}, cache_dir={str(tmp_path / "cache")!r})
        for name in ("app.fast", "app.lisp.x", "shoq", "nowhere"):
            try: __import__(name)
            except ModuleNotFoundError as e:
                if sys.version_info >= (3, 11):
                    print(e)
                    print(*e.__notes__, sep="\\n")
                    print("more:", {{m for m in sys.modules if m in ("difflib", "shop")}})
                else:
                    print(e)
        """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert "No module named 'app.fast'\n  lazyimport: archive" in done.stdout
    assert "it holds app/fast.pyx, which Python does not import" in done.stdout
    assert "nearest names in it: shop" in done.stdout
    assert "No module named 'nowhere'\n  lazyimport: archive" in done.stdout
    assert done.stdout.count("more: set()") == 4 * (sys.version_info >= (3, 11))
