"""A delta that is handed over becomes an archive of the node, without any store."""

from __future__ import annotations

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.handover import take_handed
from lazyimport.settings import Settings
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pkg/__init__.py": "",
    **{f"pkg/m{number}.py": f"x = {number}\n" for number in range(20)},
}
#: bytes that may be others: those of a delta's root that say how many files there are,
#: which is counted anyway, and a few bits of a zstd frame
DO_NOT_MATTER = 24 + 8


class Node:
    """A node, and a delta to the archive that it ``has``, which is ``wanted``."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.cache = NodeCache(str(folder))
        self.settings = Settings(cache_dir=self.cache.path, **options)  # type: ignore[arg-type]
        data, self.has = Tree(FILES).archive()
        base = self.cache.publish(self.has, lambda out: out.write(data))
        made = Tree({**FILES, "pkg/m7.py": "changed = True\n"}).delta(base.index)
        assert made is not None
        self.delta, self.wanted = made

    def take(self, delta: bytes | None = None, hash: str | None = None) -> bool:
        return take_handed(self.settings, hash or self.wanted, delta or self.delta)

    @property
    def reads(self) -> bytes:
        """The file of the archive that the delta changes."""
        archive = self.cache.open(self.wanted)
        assert archive is not None
        entry = archive.index.entry("pkg/m7.py")
        assert entry is not None
        return bytes(archive.content(entry))

    @property
    def is_there(self) -> bool:
        return self.cache.open(self.wanted) is not None


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Node:
    return Node(tmp_path / "cache")


def test_it_is_there_once(node: Node) -> None:
    assert node.take()
    assert b"changed = True\n" == node.reads
    assert not node.take()
    assert node.is_there


def test_what_does_not_give_the_archive_is_not_taken(node: Node) -> None:
    """Whichever bit is another one; then the archive is fetched as any other."""
    taken = []
    for at in range(len(node.delta)):
        damaged = bytearray(node.delta)
        damaged[at] ^= 1
        if node.take(bytes(damaged)):
            taken.append(at)
            assert node.reads == b"changed = True\n"
            node.cache.remove(node.wanted)
        assert not node.is_there
    assert len(taken) <= DO_NOT_MATTER
    assert not node.take(node.delta[:-1])
    assert not node.take(hash="../" + "0" * 61)
    assert not node.take(b"something else")
    assert not node.is_there


def test_a_node_without_the_base_fetches_both(node: Node) -> None:
    node.cache.remove(node.has)
    assert not node.take()
    assert not node.is_there


def test_where_nothing_is_to_be_on_the_disk_nothing_is(tmp_path: Path) -> None:
    node = Node(tmp_path / "cache", cache_mode="memory")
    assert not node.take()
    assert not node.is_there
