"""The promises of docs/security.md that no other test covers."""

from __future__ import annotations

import ast
import io
import json
import marshal
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pytest

import lazyimport
from lazyimport.delivery.publish import publish
from lazyimport.errors import (
    ArchiveImportError,
    CacheError,
    ChannelError,
    LazyImportError,
)
from lazyimport.format import sha256
from lazyimport.importing import running_python
from lazyimport.packing.config import Config
from lazyimport.packing.roots import pack_roots
from lazyimport.registry.channel import LARGEST
from lazyimport.registry.channels import read_channel
from lazyimport.registry.layout import archive_key, channel_key
from lazyimport.runtime import process
from lazyimport.stores import mutable, open_store, writable
from tests.delivery.test_fetch import Site, everything
from tests.support.compare_importers import Files, pack_tree, write_tree
from tests.support.disks import NOBODY, need_root

PACKAGE = Path(lazyimport.__file__).parent
UNPICKLES = {"pickle", "shelve", "dill", "cloudpickle", "joblib"}


def imports(path: Path) -> set[str]:
    """Return the top-level names of all modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


def test_nothing_is_unpickled() -> None:
    """No module that handles bytes of a store or of the cache can unpickle."""
    rooms = ("cache", "delivery", "format", "importing", "registry", "stores")
    modules = [path for folder in rooms for path in (PACKAGE / folder).rglob("*.py")]

    assert len(modules) > 40
    for path in [*modules, PACKAGE / "runtime.py", PACKAGE / "activation.py"]:
        assert not imports(path) & UNPICKLES, path


def test_another_object_under_the_name_is_refused(tmp_path: Path) -> None:
    """A writer to the store can break what a hash names, but not change it."""
    site = Site(tmp_path)
    good = site.push().hash
    (site.tree / "pkg/m3.py").write_text(f"evil = {os.urandom(60000).hex()!r}\n")
    evil = site.push().hash
    site.object(good).unlink()
    site.object(good).write_bytes(site.object(evil).read_bytes())

    with pytest.raises(LazyImportError, match=good):
        site.fetch(good)
    assert not (site.node / "archives" / good).exists()


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_cache_that_others_can_write_is_refused(tmp_path: Path, mode: str) -> None:
    """In each mode, since libraries and compiled code lie there in memory mode too."""
    site = Site(tmp_path)
    pushed = site.push().hash
    site.node.mkdir()
    site.node.chmod(0o777)
    program = (
        "import sys, lazyimport\n"
        "lazyimport.install(sys.argv[1], store=sys.argv[2], cache_dir=sys.argv[3], "
        "cache_mode=sys.argv[4])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, pushed, site.url, str(site.node), mode],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "refusing the node cache" in done.stderr
    assert "can be written by everybody" in done.stderr
    assert not list(site.node.iterdir())


def test_cache_in_a_directory_for_all_is_refused(tmp_path: Path) -> None:
    """As in an emptyDir of Kubernetes: anybody can move the cache away."""
    site = Site(tmp_path)
    pushed = site.push().hash
    site.node.mkdir()
    site.node.chmod(0o777)
    with pytest.raises(CacheError, match=f"chmod o-w {site.node}"):
        site.fetch(pushed, cache_dir=f"{site.node}/cache")

    site.node.chmod(0o1777)
    archive, _ = site.fetch(pushed, cache_dir=f"{site.node}/cache")

    everything(archive)
    assert stat.S_IMODE((site.node / "cache").stat().st_mode) == 0o700


def push_without_bytecode(site: Site) -> str:
    """Push two modules without bytecode, one of which reads a file."""
    write_tree(
        {
            "late.py": "said = 'honest'\n",
            "looks/__init__.py": (
                "import os\nwith open(os.path.dirname(__file__) + '/it.txt') as file:\n"
                "    said = file.read()\n"
            ),
            "looks/it.txt": "honest",
        },
        site.tree,
    )
    packed = pack_roots([str(site.tree)], Config(), [], site.author)
    publish(packed.revision, writable(open_store(site.url)), site.author)
    return packed.hash


def plant(site: Site, files: Files) -> None:
    """Make the node cache with *files* in it, as another user."""

    def write() -> None:
        assert not site.node.exists()
        write_tree(files, site.node)
        for path in [site.node, *site.node.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)

    process.wrappers.take_out()  # as in a process that has no archive installed
    try:
        write()
    finally:
        process.wrappers.put_in()


def test_bytecode_that_another_user_put_there_is_not_run(tmp_path: Path) -> None:
    """In memory mode the node cache may be missing, and another user make it."""
    need_root()
    site = Site(tmp_path)
    pushed = push_without_bytecode(site)
    name = sha256((site.tree / "late.py").read_bytes()).hex()
    tag, magic, level = running_python()
    path = f"bytecode/{tag}-{magic.hex()}-O{level}/{name[:2]}/{name}"
    code = marshal.dumps(compile("said = 'planted'", "late.py", "exec"))

    with lazyimport.install(
        pushed, store=site.url, cache_dir=str(site.node), cache_mode="memory"
    ):
        plant(site, {path: sha256(code) + code})
        said = __import__("late").said
    del sys.modules["late"]

    assert said == "honest"


def test_files_that_another_user_put_there_are_not_opened(tmp_path: Path) -> None:
    need_root()
    site = Site(tmp_path)
    pushed = push_without_bytecode(site)

    with lazyimport.install(
        pushed, store=site.url, cache_dir=str(site.node), cache_mode="memory"
    ):
        plant(site, {f"trees/{pushed}/looks/it.txt": "planted"})
        with pytest.raises(ArchiveImportError, match=f"belongs to user {NOBODY}"):
            __import__("looks")
    assert "looks" not in sys.modules


def test_new_cache_is_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        site = Site(tmp_path)
        site.fetch(site.push().hash)
    finally:
        os.umask(before)

    assert stat.S_IMODE(site.node.stat().st_mode) == 0o700
    for path in site.node.rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022, path


@pytest.mark.parametrize("mode", ["raw", "memory"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_folders_of_a_cache_are_for_this_user_only(
    tmp_path: Path, mode: str, there: bool
) -> None:
    """Whatever the umask is, and whoever may enter the node cache."""
    site = Site(tmp_path)
    pushed = push_without_bytecode(site)
    before = os.umask(0)
    try:
        if there:
            site.node.mkdir(mode=0o755)
        with lazyimport.install(
            pushed, store=site.url, cache_dir=str(site.node), cache_mode=mode
        ):
            assert __import__("late").said == __import__("looks").said == "honest"
    finally:
        os.umask(before)
        for name in ("late", "looks"):
            sys.modules.pop(name, None)

    folders = [path for path in site.node.rglob("*") if path.is_dir()]
    names = {path.name for path in folders if path.parent == site.node}
    assert {"trees", "bytecode"} <= names
    for path in folders if there else [site.node, *folders]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_no_more_is_read_than_a_channel_can_have() -> None:
    store = mutable(open_store(f"memory://{uuid4().hex}"))
    store.put(channel_key("prod"), io.BytesIO(b" " * (LARGEST * 3)))
    asked = []

    class Watched:
        url = store.url
        ranges = True

        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            data = store.read(key, start, end)
            asked.append(len(data))
            return data

        def download(
            self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
        ) -> int:
            raise AssertionError

    with pytest.raises(ChannelError, match="more than 1048576 bytes"):
        read_channel(Watched(), "prod")
    assert asked == [LARGEST + 1]


def test_archive_is_no_sandbox(tmp_path: Path) -> None:
    """The code of an archive runs with all the rights of the process."""
    tree = write_tree({"m.py": "import os\nrights = os.getpid()\n"}, tmp_path / "t")
    pushed = pack_tree(tree, tmp_path / "cache")

    with lazyimport.install(pushed, cache_dir=str(tmp_path / "cache")):
        assert __import__("m").rights == os.getpid()
    del sys.modules["m"]


def test_exported_settings_name_no_private_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAZYIMPORT_SIGNING_KEY", "/secret/key")
    pushed = pack_tree(write_tree({"n.py": ""}, tmp_path / "t"), tmp_path / "cache")

    with lazyimport.install(pushed, cache_dir=str(tmp_path / "cache")) as handle:
        assert "/secret/key" not in json.dumps(handle.settings.to_environ())
        assert "secret" not in repr(handle.settings)


def test_hash_is_no_path(tmp_path: Path) -> None:
    for text in ("../../etc/passwd", "/etc/passwd", "..", "a/../b"):
        with pytest.raises(LazyImportError):
            lazyimport.install(text, cache_dir=str(tmp_path))
    assert archive_key("0" * 64) == "archives/" + "0" * 64
