"""stats(): what lazyimport did in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.support.compare_importers import pack_tree, write_tree

TREE = {
    "shipped/__init__.py": "import shipped.inner\n",
    "shipped/inner.py": "x = 1\n",
    "shipped/other.py": "never = 'imported'\n",
}


def run(program: str, **environ: str) -> Any:
    """Return the JSON that *program* prints in a process with our search path."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        env={**environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_counts_what_is_imported(tmp_path: Path) -> None:
    hash = pack_tree(write_tree(TREE, tmp_path / "tree"), tmp_path / "cache")
    before, after = run(
        f"""
        import json, lazyimport
        lazyimport.install({hash!r}, cache_dir={str(tmp_path / "cache")!r})
        before = lazyimport.stats()
        import shipped
        print(json.dumps([before._asdict(), lazyimport.stats()._asdict()]))
        """
    )

    assert (hash, True, 0) == (before["hash"], before["cache_hit"], before["fetched"])
    assert (0, 0) == (before["modules"], before["read"])
    assert after["modules"] == 2
    assert 0 < after["read"] < 1000
    assert 0 < after["seconds"] == before["seconds"]
    assert after["failure"] is None
    assert (0, 0.0) == (before["imports"], before["import_seconds"])
    assert after["imports"] == 2


def test_nothing_is_opened_for_it(tmp_path: Path) -> None:
    """Who only watches loads nothing, and meets no damage."""
    cache = tmp_path / "cache"
    hash = pack_tree(write_tree(TREE, tmp_path / "tree"), cache)
    opened, stats = run(
        f"""
        import json, sys, lazyimport
        installed = lazyimport.install({hash!r}, cache_dir={str(cache)!r})
        stats = lazyimport.stats()
        print(json.dumps([installed.registration.late.is_open, stats._asdict()]))
        """
    )

    assert not opened
    assert (hash, 0, {}, None) == (
        stats["hash"],
        stats["imports"],
        stats["looked"],
        stats["fetching"],
    )


def test_import_seconds_are_those_of_lazyimport(tmp_path: Path) -> None:
    """A module's body does not count, so the imports in it do not count twice."""
    tree = {"outer.py": "import time\ntime.sleep(0.2)\nimport inner\n", "inner.py": ""}
    hash = pack_tree(write_tree(tree, tmp_path / "tree"), tmp_path / "cache")
    stats, seconds = run(
        f"""
        import json, time, lazyimport
        lazyimport.install({hash!r}, cache_dir={str(tmp_path / "cache")!r})
        began = time.perf_counter()
        import outer
        seconds = time.perf_counter() - began
        print(json.dumps([lazyimport.stats()._asdict(), seconds]))
        """
    )

    assert stats["imports"] == 2
    assert 0 < stats["import_seconds"] <= seconds - 0.2


def test_hides_secrets_of_the_store(tmp_path: Path) -> None:
    hash = pack_tree(write_tree(TREE, tmp_path / "tree"), tmp_path / "cache")
    stats = run(
        f"""
        import json, lazyimport
        lazyimport.install(
            {hash!r},
            cache_dir={str(tmp_path / "cache")!r},
            store="https://user:secret@host/code?token=secret",
        )
        print(json.dumps(lazyimport.stats()._asdict()))
        """
    )

    assert stats["store"] == "https://host/code"


def test_says_why_nothing_is_installed(tmp_path: Path) -> None:
    stats = run(
        """
        import json, lazyimport.activation
        lazyimport.activation.start()
        print(json.dumps(lazyimport.stats()._asdict()))
        """,
        LAZYIMPORT_HASH="f" * 64,
        LAZYIMPORT_CACHE_DIR=str(tmp_path),
    )

    assert stats["hash"] == "f" * 64
    assert "ArchiveMissing" in stats["failure"]


def test_is_empty_where_nothing_was_asked_for() -> None:
    stats = run(
        """
        import json, lazyimport
        print(json.dumps(lazyimport.stats()._asdict()))
        """
    )

    assert not any(stats.values())


def test_who_looked_at_what(tmp_path: Path) -> None:
    """The module is the one that looks, not what it goes through."""
    tree = {
        "shipped/__init__.py": "from pathlib import Path\nhome = Path(__file__).parent\n",
        "shipped/one.py": "import shipped\n(shipped.home / 'two.py').read_text()\n",
        "shipped/two.py": "",
        "top.txt": "",
    }
    hash = pack_tree(write_tree(tree, tmp_path / "tree"), tmp_path / "cache")
    looked, more, limited = run(
        f"""
        import json, os, lazyimport
        lazyimport.install({hash!r}, cache_dir={str(tmp_path / "cache")!r})
        import shipped.one
        looked = lazyimport.stats().looked
        root = lazyimport.current().root
        os.path.exists(root + "/top.txt"), os.listdir(root)
        more = lazyimport.stats().looked
        for n in range(2000): os.path.exists(f"{{root}}/shipped/{{n}}")
        print(json.dumps([looked, more, len(lazyimport.stats().looked)]))
        """
    )

    assert looked == {"shipped/two.py": "shipped.one"}
    assert more == {
        "shipped/two.py": "shipped.one",
        ".": "__main__",
        "top.txt": "__main__",
    }
    assert limited == 1000
