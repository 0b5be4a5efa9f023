"""Packing again: what stat() says saves reading, and never gives another archive."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache import previous
from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import find_packed, load_previous, packed_hashes
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import ArchiveMissing
from lazyimport.files import unfinished_path
from lazyimport.packing import flags
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import Packed, pack_roots
from lazyimport.settings import Settings
from tests.support.compare_importers import Files, write_tree
from tests.support.recorder import Recorder
from tests.support.scale import scaled

TREE: Files = {
    "pkg/__init__.py": "",
    "pkg/a.py": "x = 1\n",
    "pkg/b.py": "x = 2\n",
    "pkg/sub/c.py": "x = 3\n",
    "pkg/data.bin": os.urandom(20_000),
    "mod.py": "x = 4\n",
}


class Site:
    """A tree and the node cache that it is packed into, again and again."""

    def __init__(self, base: Path) -> None:
        self.tree = write_tree(TREE, base / "tree")
        self.cache = NodeCache(str(base / "cache"))
        self._recorder = Recorder()

    @property
    def read(self) -> int:
        """How many files the last packing read."""
        return sum(text == "reading" for text, _, _ in self._recorder.steps)

    def pack(self, cache: NodeCache | None = None, **options: Any) -> Packed:
        self._recorder.steps.clear()
        return pack_roots(
            [str(self.tree)],
            Config(),
            find_interpreters([]),
            cache or self.cache,
            reporter=self._recorder,
            **options,
        )

    def record(self) -> Path:
        (path,) = Path(self.cache.path, "packs").iterdir()
        return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the tree had not been touched for a long time before it was packed."""
    monkeypatch.setattr(previous, "_TICK", -(10**15))


def contents(packed: Packed) -> dict[str, bytes]:
    archive = packed.archive
    found = {}
    for entry in archive.index.entries():
        found[entry.path] = bytes(archive.content(entry))
        for number, _ in entry.codes():
            found[f"{entry.path}:{number}"] = bytes(
                archive.bytecode(entry, number) or b""
            )
    return found


@pytest.mark.usefixtures("long_ago")
def test_only_what_changed_is_read(site: Site) -> None:
    first = site.pack()
    assert site.read == len(TREE)

    assert site.pack().hash == first.hash
    assert site.read == 0

    (site.tree / "mod.py").write_text("x = 5\n")
    second = site.pack()
    assert (site.read, second.compiled) == (1, 1)
    assert contents(second)["mod.py"] == b"x = 5\n"

    assert site.pack(trust_stat=False).hash == second.hash
    assert site.read == len(TREE)


@pytest.mark.usefixtures("long_ago")
def test_another_size_time_or_inode_is_enough_to_look(site: Site) -> None:
    """An edit of the same size that sets the old time again is found by its ctime."""
    before = site.pack()
    file = site.tree / "mod.py"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_text("x = 9\n")
    os.utime(file, ns=times)

    after = site.pack()

    assert site.read == 1
    assert after.hash != before.hash
    assert contents(after)["mod.py"] == b"x = 9\n"


def test_what_was_touched_just_before_is_read_again(site: Site) -> None:
    """A second edit in the same tick of the file system's clock leaves no trace."""
    first = site.pack()

    assert site.pack().hash == first.hash
    assert site.read == len(TREE)


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize("seed", range(scaled(2, 20)))
def test_a_history_of_edits_gives_what_a_first_pack_gives(
    site: Site, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for step in range(4):
        for _ in range(chance.randrange(1, 4)):
            edit(site.tree, chance, step)
        packed = site.pack(whole=chance.random() < 0.5)
        fresh = site.pack(NodeCache(str(tmp_path / f"fresh{step}")))
        assert packed.hash == fresh.hash
        assert contents(packed) == contents(fresh)


def edit(tree: Path, chance: random.Random, step: int) -> None:
    """Do one of the things that people do to a tree."""
    files = [path for path in sorted(tree.rglob("*")) if path.is_file()]
    path = chance.choice(files)
    what = chance.randrange(6)
    if what == 0 and len(files) > 3:
        path.unlink()
    elif what == 1:
        shutil.copy(path, path.with_name(f"copy{step}.py"))
    elif what == 2:
        path.rename(path.with_name(f"moved{step}{path.suffix}"))
    elif what == 3:
        path.chmod(0o755)
    elif what == 4:
        folder = path.parent / f"folder{step}"
        folder.mkdir(exist_ok=True)
        (folder / "looks.py").write_text("print(__file__)\n")
    else:
        path.write_text(f"x = {chance.random()}\n")


@pytest.mark.usefixtures("long_ago")
def test_a_folder_in_the_place_of_a_file_and_back(site: Site, tmp_path: Path) -> None:
    site.pack()
    data = site.tree / "pkg/data.bin"
    for number in range(2):
        if number:
            shutil.rmtree(data)
            data.write_bytes(b"again")
        else:
            data.unlink()
            data.mkdir()
            (data / "inside.py").write_text("")
        fresh = site.pack(NodeCache(str(tmp_path / f"fresh{number}")))
        assert site.pack().hash == fresh.hash


@pytest.mark.usefixtures("long_ago")
def test_a_draft_writes_the_difference_alone(site: Site) -> None:
    first = site.pack(whole=False)
    (site.tree / "mod.py").write_text("x = 5\n")

    second = site.pack(whole=False)

    archives = Path(site.cache.path, "archives")
    assert [path.name for path in archives.iterdir()] == [first.hash]
    assert second.revision.delta is not None
    assert len(second.revision.delta) < 1000
    assert contents(second)["mod.py"] == b"x = 5\n"


@pytest.mark.usefixtures("long_ago")
def test_a_change_of_more_than_a_fifth_is_written_whole(site: Site) -> None:
    site.pack(whole=False)
    (site.tree / "pkg/data.bin").write_bytes(os.urandom(20_000))

    assert site.pack(whole=False).revision.delta is None


@pytest.mark.usefixtures("long_ago")
def test_another_lazyimport_may_flag_files_otherwise(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the previous one said about a file is in the hash."""
    site.pack()
    monkeypatch.setattr(flags, "LOOKS_LIKE", re.compile(rb"x = 2"))

    fresh = site.pack(NodeCache(str(tmp_path / "fresh")))

    assert site.pack().hash == fresh.hash


@pytest.mark.usefixtures("long_ago")
def test_a_damaged_memory_counts_as_none(site: Site) -> None:
    expected = site.pack().hash
    path = site.record()
    good = path.read_bytes()
    damaged = [b"", good[:10], good[:-1], good[:60], b"?" + good[1:]]
    damaged += [
        good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        for at in range(0, len(good), 37)
    ]
    for data in damaged:
        path.write_bytes(data)
        assert load_previous(str(path), site.cache) is None
    assert site.pack().hash == expected
    assert site.read == len(TREE)


@pytest.mark.usefixtures("long_ago")
def test_what_was_packed_last_is_found_by_its_hash(site: Site) -> None:
    first = site.pack(whole=False)
    (site.tree / "mod.py").write_text("x = 5\n")
    second = site.pack(whole=False)
    record = site.record()
    (record.parent / "other").write_bytes(b"")
    Path(unfinished_path(str(record))).write_bytes(record.read_bytes())

    assert [name for name, _ in packed_hashes(site.cache)] == [second.hash]
    assert find_packed(site.cache, first.hash) is None
    settings = Settings(cache_dir=site.cache.path)
    archive, size = fetch(settings, second.hash)
    entry = archive.index.entry("mod.py")
    assert entry is not None
    assert (bytes(archive.content(entry)), size) == (b"x = 5\n", 0)


@pytest.mark.usefixtures("long_ago")
def test_what_was_packed_last_is_not_made_of_damage(site: Site) -> None:
    """It is fetched from the store then; here there is none."""
    site.pack(whole=False)
    (site.tree / "mod.py").write_text("x = 5\n")
    second = site.pack(whole=False)
    path = site.record()
    data = path.read_bytes()
    at = data.index(b"x = 5\n")
    path.write_bytes(data[:at] + b"y" + data[at + 1 :])

    with pytest.raises(ArchiveMissing, match="no store is named"):
        fetch(Settings(cache_dir=site.cache.path), second.hash)
    assert not os.path.exists(site.cache.archive_path(second.hash))


@pytest.mark.usefixtures("long_ago")
def test_the_archive_it_is_told_by_may_go(site: Site) -> None:
    first = site.pack()
    (site.tree / "mod.py").write_text("x = 5\n")
    expected = site.pack(whole=False).hash
    site.cache.remove(first.hash)

    again = site.pack(whole=False)

    assert (again.hash, site.read) == (expected, len(TREE))


@pytest.mark.usefixtures("long_ago")
def test_a_source_that_does_not_compile_is_told_every_time(site: Site) -> None:
    (site.tree / "bad.py").write_text("def\n")
    for expected in (True, True, False):
        if not expected:
            (site.tree / "bad.py").write_text("x = 1\n")
        warnings = site.pack().warnings
        assert any("bad.py:1" in warning for warning in warnings) == expected
