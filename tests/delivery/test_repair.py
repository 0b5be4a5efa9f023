"""Damage on the node: reported, removed, fetched again, while processes run on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.layout import SHARED
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.publish import publish
from lazyimport.format.archive import Archive
from lazyimport.stores import open_store, writable
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.late_activation import HASH_FOR_LATER, SET_HASH


class Node:
    """A store that has one archive, and a node's cache."""

    def __init__(self, base: Path) -> None:
        files = {
            "shop/__init__.py": "",
            "shop/a.py": "x = 'a' * 3000\n",
            "shop/b.py": "x = 'b'\n",
            "looks/__init__.py": "here = __file__\n",
            "looks/data.txt": "data\n",
            "looks/large.txt": "here" * (SHARED // 4),
            "shop/boom.py": "def boom():\n    raise ValueError('boom')\n",
        }
        author = NodeCache(str(base / "author"))
        self.hash = pack_tree(write_tree(files, base / "tree"), base / "author")
        archive = author.open(self.hash)
        assert archive is not None
        self.url = f"file://{base}/store"
        publish(archive, writable(open_store(self.url)), author)
        self.cache = NodeCache(str(base / "node"))
        self.stored = base / "store" / "archives" / self.hash

    @property
    def path(self) -> Path:
        return Path(self.cache.archive_path(self.hash))

    def python(
        self, program: str, *, activate: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        start = "import lazyimport.activation as a; a.start()" if activate else ""
        return subprocess.run(
            [sys.executable, "-c", f"{SET_HASH}{start}\nimport lazyimport\n{program}"],
            env={
                **os.environ,
                HASH_FOR_LATER: self.hash,
                "LAZYIMPORT_STORE": self.url,
                "LAZYIMPORT_CACHE_DIR": self.cache.path,
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def flip(self, what: str, *, source: bool = False) -> None:
        """Damage the cached archive: code of a module, or a page of the index."""
        data = bytearray(self.path.read_bytes())
        archive = Archive(bytes(data), self.hash)
        at = archive.header.pages_at + 8
        if what != "index":
            entry = archive.index.entry(what)
            assert entry is not None
            ((_, code),) = entry.codes()
            slot = entry.slot if source else code.slot
            at = archive.header.members_at + archive.stored(slot)[0] + 5
        data[at] ^= 1
        replace(self.path, bytes(data))

    def is_sound(self) -> bool:
        archive = self.cache.open(self.hash)
        assert archive is not None
        prove(archive)
        return True


def replace(path: Path, data: bytes) -> None:
    """Write in place, as a bad disk or an editor does: running processes see it."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(data)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    assert node.python("lazyimport.install()").returncode == 0
    return node


def test_running_process_goes_on_with_sound_bytes(node: Node) -> None:
    node.flip("shop/b.py")
    done = node.python("import shop.a, shop.b; print(shop.b.x)", activate=True)

    assert (done.stdout, done.returncode) == ("b\n", 0)
    assert len(done.stderr.splitlines()) == 1
    for text in ("lazyimport: ", node.hash, str(node.path), node.url, "fetched again"):
        assert text in done.stderr
    assert node.is_sound()
    assert node.python("import shop.b", activate=True).stderr == ""


def test_damaged_index_is_removed_and_fetched_again(node: Node) -> None:
    node.flip("index")
    done = node.python("import shop.a, shop.b", activate=True)

    assert done.returncode == 1
    for text in ("ArchiveImportError", "page 0", node.hash, "restart this one"):
        assert text in done.stderr
    assert not node.path.exists()
    assert node.python("import shop.a, shop.b", activate=True).returncode == 0
    assert node.is_sound()


def test_damaged_index_hangs_no_import_while_somebody_replaces_it(node: Node) -> None:
    """The process that fetches the archive again may wait for its store for minutes."""
    node.flip("index")
    program = (
        "for _ in range(3):\n  try: import shop.a\n  except ImportError as e: print(e)"
    )
    with node.cache.lock(node.hash, 10):
        done = node.python(program, activate=True, LAZYIMPORT_TIMEOUT="3600")

    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    for text in ("page 0", node.hash, "another process replaces it", "restart this"):
        assert text in lines[0]
    assert node.path.exists()


def test_install_warns(node: Node) -> None:
    node.flip("shop/b.py")
    done = node.python("lazyimport.install(); import shop.b; print(shop.b.x)")

    assert done.stdout == "b\n"
    assert "RuntimeWarning" in done.stderr
    assert "shop/b.py" in done.stderr


def test_process_that_is_not_concerned_is_not_disturbed(node: Node) -> None:
    """It keeps its mapping of the damaged file, and goes on using the sound parts."""
    program = """
import shop.a, sys
print("ready", flush=True)
sys.stdin.readline()
import looks
print(looks.here)
"""
    environ = {
        **os.environ,
        HASH_FOR_LATER: node.hash,
        "LAZYIMPORT_STORE": "file:///nowhere",
        "LAZYIMPORT_CACHE_DIR": node.cache.path,
    }
    start = "import lazyimport.activation as a; a.start()"
    with subprocess.Popen(
        [sys.executable, "-c", SET_HASH + start + program],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        node.flip("shop/b.py")
        assert node.python("import shop.b", activate=True).returncode == 0
        out, _ = child.communicate("\n", timeout=60)

    assert out == f"{node.cache.tree_path(node.hash)}/looks/__init__.py\n"
    assert child.returncode == 0


def test_without_a_store_the_error_says_what_to_do(node: Node) -> None:
    node.flip("shop/b.py")
    done = node.python("import shop.b", activate=True, LAZYIMPORT_STORE="")

    assert done.returncode == 1
    for text in ("ArchiveImportError", "shop.b", str(node.path), "LAZYIMPORT_STORE"):
        assert text in done.stderr
    assert node.path.exists()  # nothing else has the rest of it


def test_store_that_is_down_does_not_hide_the_damage(node: Node) -> None:
    node.flip("shop/b.py")
    done = node.python(
        "import shop.b", activate=True, LAZYIMPORT_STORE="file:///nowhere"
    )

    assert done.returncode == 1
    for text in ("shop/b.py", "is damaged", "file:///nowhere"):
        assert text in done.stderr
    assert not node.path.exists()
    assert node.python("import shop.b", activate=True).returncode == 0
    assert node.is_sound()


def test_damaged_file_that_must_be_on_disk_is_an_import_error(node: Node) -> None:
    node.flip("looks/__init__.py", source=True)
    program = "try: import looks\nexcept ImportError as e: print(e.name, e.path, e)"
    done = node.python(program, activate=True, LAZYIMPORT_STORE="")

    root = node.cache.tree_path(node.hash)
    assert done.stdout.startswith(f"looks {root}/looks cannot put ")
    for text in ("looks/__init__.py", "is damaged", node.hash, "LAZYIMPORT_STORE"):
        assert text in done.stdout


@pytest.mark.parametrize(
    "program",
    [
        "shop.boom.boom()",
        "t = threading.Thread(target=shop.boom.boom); t.start(); t.join()",
        "try: shop.boom.boom()\nexcept ValueError: traceback.print_exc()",
    ],
    ids=["uncaught", "in a thread", "logged"],
)
def test_damaged_source_does_not_hide_the_error_to_be_shown(
    node: Node, program: str
) -> None:
    node.flip("shop/boom.py", source=True)
    start = "import shop.boom, threading, traceback\n"
    done = node.python(start + program, activate=True, LAZYIMPORT_STORE="")

    assert done.stderr.endswith(", in boom\nValueError: boom\n")
    assert "is damaged" not in done.stderr


def test_archive_that_does_not_open_is_named(node: Node) -> None:
    replace(node.path, b"x" * 200)
    done = node.python("import shop.b", activate=True)

    assert done.returncode == 0
    assert str(node.path) in done.stderr
    assert "fetching it again" in done.stderr
    assert node.is_sound()


def test_edited_blob_is_not_shared(node: Node) -> None:
    """A file of one tree that somebody edited does not become another's."""
    assert node.python("import looks", activate=True).returncode == 0
    (blob,) = Path(node.cache.path, "blobs").rglob("*/*")
    replace(blob, b"HERE")
    root = Path(node.cache.tree_path(node.hash))
    (root / "looks/large.txt").unlink()
    Path(f"{root}.ready/looks").unlink()
    assert node.python("import looks", activate=True).returncode == 0

    assert (root / "looks/large.txt").read_text() == "here" * (SHARED // 4)
