"""Publishing: as little as will do, even from a machine that knows nothing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import Published, publish
from lazyimport.errors import CacheError, StoreError
from lazyimport.format.sections import HEADER_SIZE, Header
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.roots import pack_roots
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.compare_importers import write_tree
from tests.support.counting import Counts, counting
from tests.support.forge import reheaded
from tests.support.recorder import Recorder
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
    author = Author(tmp_path)
    author.push()  # which proves what was copied
    return author


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


class Distant:
    """A store that answers after a while; ``waited`` is for how many answers in a row.

    Requests that are under way at the same time count as one. It answers when nobody
    has asked for a while, so a thread that starts late on a busy machine is waited for.
    """

    answer = 0.15

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self._last = 0.0

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        began = self._last = time.monotonic()
        while (left := self._last + self.answer - time.monotonic()) > 0:
            time.sleep(left)
        try:
            answer = getattr(store, method)(*arguments)
            return list(answer) if method == "list" else answer
        finally:
            self.times.append((began, time.monotonic()))

    @property
    def waited(self) -> int:
        rows, end = 0, 0.0
        for began, ended in sorted(self.times):
            rows += began >= end
            end = ended if began >= end else min(end, ended)
        return rows


@pytest.mark.parametrize(
    ("machine", "line", "most"),
    [("one", "x = 2\n", 4), ("one", "x = 1\n", 4), ("fresh", "x = 2\n", 6)],
    ids=["changed", "unchanged", "empty cache"],
)
def test_only_what_the_next_step_needs_is_waited_for(
    author: Author, machine: str, line: str, most: int
) -> None:
    author.change(line)
    cache = NodeCache(str(author.base / machine))
    roots = [str(author.tree)]
    packed = pack_roots(roots, Config(), find_interpreters([]), cache, whole=False)
    distant = Distant()

    publish(packed.revision, wrap(open_store(author.url), distant), cache)

    assert len(distant.times) > most
    assert distant.waited <= most


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


def test_a_delta_to_itself_is_replaced_by_the_whole(author: Author) -> None:
    """Somebody who may write to the store lets pushes look for its base for ever."""
    author.change("x = 2\n")
    pushed = author.push()
    place = author.base / "store" / archive_key(pushed.hash)
    forged = reheaded(place.read_bytes(), base=bytes.fromhex(pushed.hash))
    place.unlink()
    place.write_bytes(forged)

    assert author.push("fresh").kind == "full"
    assert author.files(pushed.hash)["main.py"] == b"x = 2\n"


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


def damage(author: Author, hash: str, where: str) -> None:
    """Change one byte of an archive in the store, and say that nothing happened."""
    path = author.base / "store" / archive_key(hash)
    times = path.stat()
    header = author.header(hash)
    place = {
        "header": 20,
        "root": header.pages_at - 20,
        "pages": header.slots_at - 10,
        "slots": header.members_at - 9,
        "members": header.members_at + header.members_size // 2,
        "end": None,
    }[where]
    data = bytearray(path.read_bytes())
    if place is None:
        del data[-1:]
    else:
        data[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


WHERE = ["header", "root", "pages", "slots", "members", "end"]


@pytest.mark.parametrize("machine", ["one", "fresh"])
@pytest.mark.parametrize("where", WHERE)
def test_what_is_damaged_in_the_store_is_no_base(
    author: Author, where: str, machine: str
) -> None:
    """Somebody else's archive, or an old one, stops no push."""
    damage(author, author.push().hash, where)
    author.change("x = 2\n")

    published = author.push(machine)

    assert published.kind == "full"
    assert author.files(published.hash)["main.py"] == b"x = 2\n"
    assert author.push(machine).kind == "present"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("damaged", ["full", "delta", "base"])
def test_a_push_mends_what_it_finds_damaged(
    author: Author, damaged: str, where: str
) -> None:
    """The archive itself, or the base of the delta that it is stored as."""
    if damaged != "full":
        author.change("x = 2\n")
    pushed = author.push()
    damage(author, str(pushed.base if damaged == "base" else pushed.hash), where)

    mended = author.push("fresh")

    assert (mended.kind, mended.hash) == ("full", pushed.hash)
    assert "main.py" in author.files(mended.hash)
    assert author.push("one").kind == "present"


def test_what_is_replaced_is_not_read(author: Author) -> None:
    """It may have any size, and its header may be all that is wrong with it."""
    name = author.push().hash
    path = Path(author.url.removeprefix("file://"), archive_key(name))
    damage(author, name, "header")
    os.truncate(path, 50_000_000)
    cache = NodeCache(str(author.base / "fresh"))
    packed = pack_roots(
        [str(author.tree)], Config(), find_interpreters([]), cache, whole=False
    )
    counted, counts = counting(writable(open_store(author.url)))

    assert publish(packed.revision, counted, cache).kind == "full"
    assert counts.received < 5_000_000


def test_damage_is_told(author: Author) -> None:
    base = author.push().hash
    damage(author, base, "members")
    author.change("x = 2\n")
    cache = NodeCache(str(author.base / "fresh"))
    roots = [str(author.tree)]
    packed = pack_roots(roots, Config(), find_interpreters([]), cache, whole=False)
    recorder = Recorder()

    publish(packed.revision, writable(open_store(author.url)), cache, recorder)

    (warning,) = recorder.warnings
    assert base in warning
    assert f"lazyimport verify --store {author.url} --repair" in warning


def test_a_copied_store_is_proved_once(author: Author) -> None:
    """Its objects have other versions than those that were proved."""
    shutil.copytree(author.base / "store", author.base / "copy")
    author.url = f"file://{author.base}/copy"
    received = []
    for number in range(2):
        author.change(f"x = {number} * 10\n")
        published, counts = author.counted()
        assert published.kind == "delta"
        received.append(counts.received)

    assert received[1] < 2000 < received[0]


class Forgets:
    """A store that says that it took an archive, and keeps less of it."""

    def __init__(self, kept: int) -> None:
        self.kept = kept

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        if method != "put" or not arguments[0].startswith("archives/"):
            return getattr(store, method)(*arguments)
        key, data = arguments
        data.seek(0)
        if self.kept:
            store.put(key, io.BytesIO(data.read(self.kept)))
        return True


@pytest.mark.parametrize(
    ("kept", "says"),
    [(0, "does not keep what it takes"), (100, "has 100 bytes of the")],
)
def test_a_store_that_does_not_keep_what_it_took(
    author: Author, kept: int, says: str
) -> None:
    author.change("x = 2\n")
    cache = NodeCache(str(author.base / "one"))
    packed = pack_roots([str(author.tree)], Config(), find_interpreters([]), cache)
    store = wrap(open_store(author.url), Forgets(kept))

    with pytest.raises(StoreError, match=says) as caught:
        publish(packed.revision, store, cache)

    assert (caught.value.url, caught.value.key) == (
        author.url,
        archive_key(packed.hash),
    )


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

    monkeypatch.setattr(module._Push, "_send", full)
    author.change("x = 2\n")
    with pytest.raises(CacheError, match=r"No space left on device .*; free space"):
        author.push()
