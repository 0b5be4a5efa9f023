"""Publishing: as little as will do, even from a machine that knows nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import Published, publish
from lazyimport.errors import CacheError
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores import open_store
from tests.support.compare_importers import write_tree
from tests.support.counting import Counts, counting
from tests.support.scale import scaled
from tests.support.wrapped import wrap

MODULES = 1000


class Author:
    """Machines that push one tree to one store."""

    def __init__(self, base: Path, modules: int = MODULES) -> None:
        self.base = base
        self.url = f"file://{base}/store"
        self.tree = write_tree(
            {
                f"pkg{n % 20}/m{n}.txt": f"value of {n} is {n * n}\n" * 3
                for n in range(modules)
            },
            base / "tree",
        )
        (self.tree / "main.py").write_text("x = 1\n")

    def push(self, machine: str = "one", tree: Path | None = None) -> Published:
        return self.counted(machine, tree)[0]

    def counted(
        self, machine: str = "one", tree: Path | None = None
    ) -> tuple[Published, Counts]:
        cache = NodeCache(str(self.base / machine))
        roots = [str(tree or self.tree)]
        packed = pack_roots(roots, Config(), find_interpreters([]), cache, whole=False)
        store, counts = counting(open_store(self.url))
        published = publish(packed.revision, store, cache)
        assert published.hash == packed.hash
        return published, counts

    def change(self, text: str) -> None:
        (self.tree / "main.py").write_text(text)

    def header(self, hash: str) -> Header:
        path = self.base / "store" / archive_key(hash)
        return Header.decode(path.read_bytes()[:HEADER_SIZE])

    def files(self, hash: str) -> dict[str, bytes]:
        settings = Settings(hash, self.url, str(self.base / f"node-{hash[:8]}"))
        archive, _ = fetch(settings, hash)
        return {
            entry.path: bytes(archive.content(entry))
            for entry in archive.index.entries()
            if not entry.is_directory
        }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tree was pushed by the machine `one`."""
    base = tmp_path_factory.mktemp("first")
    assert Author(base).push().kind == "full"
    return base


@pytest.fixture
def author(first: Path, tmp_path: Path) -> Author:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    return Author(tmp_path)


def test_a_changed_line_moves_little(author: Author) -> None:
    author.change("x = 2\n")

    published, counts = author.counted()

    assert published.kind == "delta"
    assert counts.sent == published.size < 2000
    assert counts.received < 20_000


def test_a_machine_that_knows_nothing_finds_the_base(author: Author) -> None:
    """As in CI: a fresh checkout and an empty cache. It reads pages, not members."""
    index_size = author.header(author.push().hash).slots_at
    author.change("x = 2\n")

    published, counts = author.counted("fresh")

    assert published.kind == "delta"
    assert counts.sent == published.size < 2000
    assert counts.received < index_size / 4
    assert author.files(published.hash)["main.py"] == b"x = 2\n"


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 1200))
def test_a_line_in_a_large_tree_moves_less_than_100_kb(tmp_path: Path) -> None:
    """Up and down, with and without the base in the cache, after many pushes."""
    large = Author(tmp_path, modules=scaled(500, 40_000))
    large.push()
    for number in range(scaled(2, 10)):
        large.change(f"x = {number} * 7\n")
        large.push()
    large.change("x = 1000\n")
    published, counts = large.counted()
    settings = Settings(published.hash, large.url, str(tmp_path / "node"))
    fetch(settings, str(published.base))
    _, fetched = fetch(settings, published.hash)
    large.change("x = 2\n")
    fresh, fresh_counts = large.counted("fresh")

    assert (published.kind, fresh.kind) == ("delta", "delta")
    assert fetched == counts.sent < 2000
    assert fresh_counts.sent < 2000
    assert counts.received < 20_000
    assert fresh_counts.received < 100_000


def test_nothing_is_asked_twice(author: Author) -> None:
    """What was asked before the push is asked again after it, and nothing more."""
    author.change("x = 2\n")
    header_base, collection, header_base_after = 2, 1, 2

    delta = author.counted()[1]
    present = author.counted()[1]

    asked = header_base + collection + header_base_after
    assert (delta.calls["read"], present.calls["read"]) == (asked, asked)


def test_what_moves_is_not_sent_again(author: Author) -> None:
    (author.tree / "pkg3").rename(author.tree / "moved")

    published = author.push()

    files = author.files(published.hash)
    header = author.header(published.hash)
    assert published.kind == "delta"
    assert sum(path.startswith("moved/") for path in files) == MODULES // 20
    assert header.members_size < 1000  # listings of folders, and no file


def test_no_chains(author: Author) -> None:
    base = author.push().hash
    for number, machine in enumerate(["one", "two", "one", "three"]):
        author.change(f"x = {number} * 10\n")
        published = author.push(machine)
        assert author.header(published.hash).base == base


def test_more_than_a_fifth_is_sent_whole_and_serves_as_the_next_base(
    author: Author,
) -> None:
    (author.tree / "blob.bin").write_bytes(os.urandom(400_000))

    whole = author.push()
    author.change("x = 2\n")
    after = author.push()

    assert whole.kind == "full"
    assert (after.kind, after.base) == ("delta", whole.hash)


class Watched:
    """Checks at each call that an object is there; *before* names what runs first."""

    def __init__(self, place: Path, before: dict[str, Callable[[], object]]) -> None:
        self.place = place
        self.before = before

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        self.before.pop(method, lambda: None)()
        answer = getattr(store, method)(*arguments)
        assert self.place.exists()
        return answer


@pytest.fixture(name="orphan")
def _orphan(author: Author) -> Published:
    """A delta whose base somebody has deleted."""
    author.change("x = 2\n")
    published = author.push()
    assert published.base
    (author.base / "store" / archive_key(published.base)).unlink()
    return published


@pytest.mark.parametrize("machine", ["one", "fresh"])
def test_a_delta_without_its_base_is_replaced_by_the_whole(
    author: Author, orphan: Published, machine: str
) -> None:
    published = author.push(machine)

    assert (published.kind, published.hash) == ("full", orphan.hash)
    assert author.header(orphan.hash).base is None
    assert author.files(orphan.hash)["main.py"] == b"x = 2\n"
    assert author.push().kind == "present"


def test_of_two_that_repair_one_does_and_nothing_is_missing_meanwhile(
    author: Author, orphan: Published
) -> None:
    """Killed at any step, either leaves what was there or what the other made."""
    place = author.base / "store" / archive_key(orphan.hash)
    kinds = []
    policy = Watched(place, {"replace": lambda: kinds.append(author.push("two").kind)})
    cache = NodeCache(str(author.base / "one"))
    packed = pack_roots([str(author.tree)], Config(), find_interpreters([]), cache)

    published = publish(packed.revision, wrap(open_store(author.url), policy), cache)

    assert (kinds, published.kind) == (["full"], "present")
    assert author.files(orphan.hash)["main.py"] == b"x = 2\n"


def test_a_base_that_goes_while_the_delta_is_sent(author: Author) -> None:
    author.change("x = 2\n")
    base = author.base / "store" / archive_key(str(author.push().base))
    author.change("x = 3\n")
    cache = NodeCache(str(author.base / "one"))
    packed = pack_roots([str(author.tree)], Config(), find_interpreters([]), cache)
    place = author.base / "store"
    policy = Watched(place, {"put": base.unlink})

    published = publish(packed.revision, wrap(open_store(author.url), policy), cache)

    assert published.kind == "full"
    assert author.files(published.hash)["main.py"] == b"x = 3\n"


def test_an_unrelated_tree_is_sent_whole_and_told_apart(
    author: Author, tmp_path: Path
) -> None:
    other = write_tree(
        {f"other{n}.txt": f"nothing in common {n}\n" for n in range(MODULES)},
        tmp_path / "unrelated",
    )
    base = author.push().hash
    assert author.push("one", other).kind == "full"
    author.change("x = 2\n")

    assert author.push("fresh").base == base


@pytest.mark.parametrize("where", ["root", "pages"])
def test_what_is_damaged_in_the_store_is_no_base(author: Author, where: str) -> None:
    """Somebody else's archive, or an old one, stops no push."""
    base = author.push().hash
    path = author.base / "store" / archive_key(base)
    header = author.header(base)
    begin, end = {
        "root": (header.pages_at - 40, header.pages_at),
        "pages": (header.pages_at, header.slots_at),
    }[where]
    data = bytearray(path.read_bytes())
    data[begin:end:20] = bytes(len(range(begin, end, 20)))
    path.chmod(0o644)
    path.write_bytes(data)
    author.change("x = 2\n")

    published = author.push("fresh")

    assert published.kind == "full"
    assert author.files(published.hash)["main.py"] == b"x = 2\n"


PUSH = """\
import sys
from pathlib import Path
from tests.delivery.test_publish import Author
author = Author.__new__(Author)
author.base, author.tree = Path(sys.argv[1]), Path(sys.argv[1]) / "tree"
author.url = f"file://{author.base}/store"
print("ready", flush=True)
sys.stdin.readline()
published = author.push()
print(published.kind, published.hash)
"""


def test_two_pushes_of_one_tree_at_once(author: Author) -> None:
    """Nothing is lost, and one of them sends."""
    author.change("x = 2\n")
    checkout = str(Path(__file__).parents[2])
    pushes = [
        subprocess.Popen(
            [sys.executable, "-c", PUSH, str(author.base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": _after_the_package(checkout)},
        )
        for _ in range(2)
    ]
    for push in pushes:
        assert push.stdout is not None
        assert push.stdout.readline() == "ready\n"
    for push in pushes:
        assert push.stdin is not None
        push.stdin.write("\n")
        push.stdin.flush()
    said = [push.communicate(timeout=120)[0].split() for push in pushes]

    kinds, hashes = zip(*said, strict=True)
    assert sorted(kinds) == ["delta", "present"]
    assert len(set(hashes)) == 1
    assert author.files(hashes[0])["main.py"] == b"x = 2\n"
    assert author.push().kind == "present"


def _after_the_package(checkout: str) -> str:
    import lazyimport

    package = str(Path(lazyimport.__file__).parents[1])
    return os.pathsep.join([package, checkout])


def test_no_room_for_what_is_to_be_sent(
    author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the node cache, not about the store."""
    from lazyimport.delivery import publish as module

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_send", full)
    author.change("x = 2\n")
    with pytest.raises(CacheError, match="No space left on device; free space"):
        author.push()
