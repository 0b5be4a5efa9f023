"""Processes run from an archive while it comes, and what they need comes first."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest

from lazyimport.cache import boot
from lazyimport.cache.disks import is_local
from lazyimport.cache.evict import clear
from lazyimport.cache.partial import open_partial
from lazyimport.cache.verify import prove, verify
from lazyimport.delivery.obtaining import obtain
from lazyimport.format import sha256
from lazyimport.format.entries import HAS_DATA
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT
from lazyimport.stores.file import FileStore
from tests.support.cold_node import ColdNode
from tests.support.disks import mounted
from tests.support.scale import scaled
from tests.support.shaped import Shaped
from tests.support.trees import Tree, compile_here, running_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("obstore", reason="needs the extra 'objects'")

CODE = {"shop/__init__.py": "", **{f"shop/m{n}.py": f"x = {n}\n" for n in range(20)}}
BULK = {f"shop/{n}.bin": random.Random(n).randbytes(1 << 18) for n in range(64)}
LATE: dict[str, str | bytes] = {
    **{f"late/m{n}.py": f"late = True\nx = {n}\n" for n in range(20)},
    "late/__init__.py": "",
    "zoo/__init__.py": "from zoo.animals import x\n",
    "zoo/animals.py": "x = 7\n",
    **{f"zoo/{n}.txt": random.Random(-n).randbytes(2000) for n in range(100)},
}
FILES: dict[str, str | bytes] = {**CODE, **BULK, **LATE}
TREE = Tree(FILES, flags={"zoo": HAS_DATA})
FIRST = [
    *(sha256(compile_here(text.encode(), running_variant()) or b"") for text in CODE.values()),
    *(sha256(data) for data in BULK.values()),
]  # fmt: skip
DATA, HASH = TREE.archive(first=FIRST)
#: header, index, and what was asked for with them
BEGINNING = 4 << 20
#: of which none was whole, on four connections
UNDER_WAY = 4 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ColdNode]:
    if not is_local(str(tmp_path)):
        pytest.skip("archives are not streamed to this kind of disk")
    store = FileStore(str(tmp_path / "store"))
    store.put(archive_key(HASH), BytesIO(DATA))
    server = Shaped(tmp_path / "store")
    with server.serving() as url:
        yield ColdNode(tmp_path, server, url, HASH, fetch="stream")


class Worker:
    """A process that does what it is told, line by line, and says what came of it."""

    def __init__(self, node: ColdNode, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            env={**os.environ, **node.settings().to_environ(), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return str(json.loads(self.process.stdout.readline()))

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.answer()

    def wait_until(self, line: str, result: str) -> None:
        deadline = time.monotonic() + 30
        while (last := self.ask(line)) != result:
            assert time.monotonic() < deadline, last
            time.sleep(0.05)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)


_WORKER = """
import json, sys
for line in sys.stdin:
    try:
        try: result = eval(line)
        except SyntaxError: result = exec(line)
    except BaseException as error: result = f"{type(error).__name__}: {error}"
    print(json.dumps(str(result)), flush=True)
"""


def test_a_process_runs_from_what_has_come(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        said = f"fetching, {100 * BEGINNING // len(DATA)} %"
        worker.wait_until("__import__('lazyimport').stats().fetching", said)
        ratio = worker.ask(
            "__import__('lazyimport.statistics').statistics.fetch_of("
            "__import__('lazyimport').current()).ratio"
        )
        assert float(ratio) == BEGINNING / len(DATA)
        assert worker.ask("__import__('lazyimport').stats().cache_hit") == "False"
        assert node.server.moved == BEGINNING
        # looking for a name waits for nothing, whether it is there or not
        assert "No module named" in worker.ask("import shop.nothing")
        assert "late" in worker.ask(
            "__import__('importlib.util').util.find_spec('late')"
        )
        listed = subprocess.run(
            [sys.executable, "-m", "lazyimport", "cache", "ls"],
            env={**os.environ, "LAZYIMPORT_CACHE_DIR": node.cache.path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said in listed.stdout
        worker.tell(importing("late.m3"))
        time.sleep(0.3)
        node.server.most = 1e12
        assert worker.answer() == "3"
        node.is_left_alone()
        assert worker.ask("__import__('lazyimport').stats().fetching") == "None"
        assert worker.ask(importing("zoo")) == "7"
    assert node.server.moved == len(DATA)


def test_what_somebody_waits_for_comes_first(node: ColdNode) -> None:
    """It lies at the end, and the rest does not come before it has."""
    node.server.rate = 8e6
    with Worker(node) as worker:
        assert worker.ask(importing("late.m3")) == "3"
        assert node.server.moved < BEGINNING + 2 * UNDER_WAY
        assert worker.ask(importing("zoo")) == "7"
        place = worker.ask("__import__('os').path.dirname(__import__('zoo').__file__)")
        assert len([name for name in os.listdir(place) if name[-4:] == ".txt"]) == 100
        assert node.server.moved < BEGINNING + 3 * UNDER_WAY
        node.server.rate = 1e12
        node.is_left_alone()
    assert node.server.moved == len(DATA)


def test_a_killed_fetcher_is_replaced_by_who_waits(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        worker.tell(importing("late.m3"))
        os.kill(node.wait_for(0), signal.SIGKILL)
        node.server.most = 1e12
        assert worker.answer() == "3"
        node.is_left_alone()
    assert node.server.moved < len(DATA) * 1.5


def test_without_the_store_what_has_come_runs(node: ColdNode) -> None:
    node.server.most = BEGINNING
    away = node.object.with_name("away")
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
        node.object.rename(away)
        said = worker.ask(importing("late.m3"))
        for text in ("ArchiveImportError", "late/m3.py", HASH, node.url, "push it"):
            assert text in said
        assert worker.ask(importing("shop.m8")) == "8"
        with Worker(node) as another:
            assert another.ask(importing("shop.m9")) == "9"
            assert "ArchiveImportError" in another.ask(importing("zoo"))
        node.server.most = 1e12
        away.rename(node.object)
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


def test_a_forged_member_is_an_error_for_who_needs_it(node: ColdNode) -> None:
    spoiled = bytearray(DATA)
    spoiled[DATA.index(BULK["shop/60.bin"]) + 1000] ^= 1
    node.object.chmod(0o600)
    node.object.write_bytes(spoiled)
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        said = worker.ask(read("shop/60.bin"))
        for text in ("ArchiveReadError", "shop/60.bin", "digest", HASH, node.url):
            assert text in said
        assert worker.ask(importing("late.m3")) == "3"
        assert worker.ask(read("shop/61.bin")) == str(1 << 18)
        while node.fetchers():
            time.sleep(0.01)
        # the second try, and who needs it later, have all the rest already
        assert node.server.moved < len(DATA) * 1.5
        assert "ArchiveReadError" in worker.ask(read("shop/60.bin"))
        assert node.server.moved < len(DATA) * 1.8
        node.object.write_bytes(DATA)
        assert worker.ask(read("shop/60.bin")) == str(1 << 18)
        node.is_left_alone()


def test_an_object_that_is_laid_out_in_another_way_meanwhile(node: ColdNode) -> None:
    """The file that a process has open stays as it is; it goes on with another one."""
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
        node.object.chmod(0o600)
        node.object.write_bytes(TREE.archive(first=FIRST[:20:-1], notes=b"{}")[0])
        node.server.most = 1e12
        for number in range(20):
            assert worker.ask(importing(f"late.m{number}")) == str(number)
            assert worker.ask(importing(f"shop.m{number}")) == str(number)
        node.is_left_alone()


def test_a_server_without_ranges(node: ColdNode) -> None:
    node.server.ranges = False
    node.server.rate = 20e6
    with Worker(node) as worker:
        assert worker.ask(importing("late.m3")) == "3"
        assert worker.ask(importing("zoo")) == "7"
        node.is_left_alone()


@pytest.mark.parametrize("first", ["stream", "whole"])
def test_two_settings_on_one_node(node: ColdNode, first: str) -> None:
    node.server.rate = 10e6
    settings = {"LAZYIMPORT_FETCH": first}
    with Worker(node, **settings) as one:
        one.tell(importing("late.m3"))
        node.wait_for(1)
        settings["LAZYIMPORT_FETCH"] = "whole" if first == "stream" else "stream"
        with Worker(node, **settings) as other:
            assert other.ask(importing("late.m4")) == "4"
        assert one.answer() == "3"
        node.is_left_alone()
    assert node.server.moved == len(DATA)


FORK = """
import os
child = os.fork()
if not child:
    os.closerange(3, 99)
    import late.m4
    os._exit(late.m4.x)
"""


def test_a_fork_whose_descriptors_are_closed(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        worker.ask(f"exec({FORK!r})")
        worker.tell(importing("late.m3"))
        node.server.most = 1e12
        assert worker.answer() == "3"
        status = worker.ask("os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])")
        assert status == "4"
        node.is_left_alone()


def test_threads_wait_for_different_members(node: ColdNode) -> None:
    node.server.rate = 10e6
    program = """
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
with ThreadPoolExecutor(8) as pool:
    found = [*pool.map(import_module, [f"late.m{n}" for n in range(20)])]
"""
    with Worker(node) as worker:
        worker.ask(f"exec({program!r})")
        assert worker.ask("[each.x for each in found]") == str([*range(20)])
        node.is_left_alone()


def test_what_is_partial_and_in_use_is_not_removed(node: ColdNode) -> None:
    partial = Path(node.cache.partial_path(HASH, "raw"))
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
        while node.fetchers():
            time.sleep(0.01)
        inode = partial.stat().st_ino
        clear(node.cache)
        assert partial.stat().st_ino == inode
        assert worker.ask(importing("shop.m8")) == "8"
    while node.fetchers():  # of m8, if that had not come before
        node.kill_fetcher()
        time.sleep(0.01)
    clear(node.cache)
    assert os.listdir(node.cache.folder("archives")) == []


def lose_members(node: ColdNode) -> None:
    """As after a power cut: what a slot says is on the disk, and its member is not."""
    found = open_partial(node.cache, HASH)
    assert found is not None
    start = found[0].header.members_at
    del found
    with open(node.cache.partial_path(HASH, "raw"), "r+b") as file:
        file.seek(start)
        file.write(bytes(BEGINNING - start))


def test_slots_that_say_what_is_not_there(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
    lose_members(node)
    node.server.most = 1e12
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m8")) == "8"
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


def test_slots_that_were_written_before_the_machine_booted(node: ColdNode) -> None:
    """They are proved before they count: nobody meets a member that is not there."""
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        os.kill(node.wait_for(0), signal.SIGKILL)
    lose_members(node)
    (wishes,) = Path(node.cache.folder("archives")).glob("*.wishes.tmp")
    wishes.rename(str(wishes).replace(boot.name(), "a" * 32))
    assert open_partial(node.cache, HASH) is None
    node.server.most = 3 * BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m8")) == "8"
        assert worker.ask("__import__('lazyimport').stats().fetching") != "None"
        node.server.most = 1e12
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


def end_boot(node: ColdNode) -> None:
    """Kill the fetcher, and let everything be as it is after the machine has booted."""
    os.kill(node.wait_for(0), signal.SIGKILL)
    for wishes in Path(node.cache.folder("archives")).glob("*.wishes.tmp"):
        wishes.rename(str(wishes).replace(boot.name(), "a" * 32))
    assert open_partial(node.cache, node.hash) is None


def size_of_what_is_there(node: ColdNode) -> int:
    found = open_partial(node.cache, HASH)
    if found is None:
        return 0
    archive, _ = found
    slots = {slot for entry in archive.index.entries() for slot, *_ in entry.members()}
    places = {archive.stored(slot) for slot in slots if not archive.awaits(slot)}
    return sum(size for _, size in places)


def lose(node: ColdNode, path: str) -> None:
    """Let the disk have lost what it had of a file, before the machine went down."""
    found = open_partial(node.cache, HASH)
    assert found is not None
    archive, _ = found
    entry = archive.index.entry(path)
    assert entry is not None
    with open(node.cache.partial_path(HASH, "raw"), "r+b") as file:
        there = [slot for slot, *_ in entry.members() if not archive.awaits(slot)]
        assert there
        for slot in there:
            offset, size = archive.stored(slot)
            file.seek(archive.header.members_at + offset)
            file.write(bytes(size))


@pytest.mark.parametrize("store", ["away", "silent"])
def test_without_the_store_what_has_come_runs_after_another_boot(
    node: ColdNode, store: str
) -> None:
    """What the disk has lost is not run, and comes again when the store is back."""
    node.server.most = BEGINNING
    away = node.object.with_name("away")
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        lose(node, "shop/m9.py")
    end_boot(node)
    node.server.most = 1e12
    if store == "away":
        node.object.rename(away)
    else:
        node.server.go.clear()
    with Worker(node, LAZYIMPORT_TIMEOUT="6") as worker:
        assert worker.ask(importing("shop.m8")) == "8"
        said = worker.ask(importing("shop.m9"))
        for text in ("ArchiveImportError", "shop/m9.py", HASH, node.url):
            assert text in said
        assert worker.ask(importing("shop.m10")) == "10"
        with Worker(node, LAZYIMPORT_TIMEOUT="6") as another:
            assert another.ask(importing("shop.m11")) == "11"
        if store == "away":
            away.rename(node.object)
        node.server.go.set()
        assert worker.ask(importing("shop.m9")) == "9"
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


def test_after_another_boot_only_what_was_lost_comes_again(node: ColdNode) -> None:
    node.server.most = 3 * BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        while (there := size_of_what_is_there(node)) < 2 * BEGINNING:
            time.sleep(0.01)
        lose(node, "shop/m9.py")
    end_boot(node)
    node.server.most = 1e12
    node.server.moved = 0
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m8")) == "8"
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()
    # beside the rest, the beginning, and what lies around what was lost
    assert node.server.moved < len(DATA) - there / 2


@pytest.mark.parametrize("at", [0, 40, 500, -1])
def test_an_index_that_was_lost_is_fetched_again(node: ColdNode, at: int) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
    found = open_partial(node.cache, HASH)
    assert found is not None
    end = found[0].header.members_at
    del found
    end_boot(node)
    with open(node.cache.partial_path(HASH, "raw"), "r+b") as file:
        file.seek(at if at >= 0 else end - 100)
        file.write(bytes(90))
    node.server.most = 1e12
    with Worker(node) as worker:
        assert worker.ask(importing("shop.m8")) == "8"
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


@pytest.fixture
def after(node: ColdNode, tmp_path: Path) -> ColdNode:
    """A node that needs an archive that is stored as a delta to the other."""
    changed = {**FILES, "shop/m7.py": "x = 70\n", "late/m3.py": "x = 30\n"}
    found = Tree(changed, flags={"zoo": HAS_DATA}).delta(TREE.index())
    assert found is not None
    delta, hash = found
    FileStore(str(tmp_path / "store")).put(archive_key(hash), BytesIO(delta))
    node.server.most = BEGINNING + len(delta)
    return ColdNode(tmp_path, node.server, node.url, hash, fetch="stream")


def test_a_delta_runs_while_its_base_comes(after: ColdNode) -> None:
    with Worker(after) as worker:
        assert worker.ask(importing("shop.m7")) == "70"
        assert worker.ask(importing("shop.m8")) == "8"
        assert worker.ask(importing("late.m3")) == "30"
        worker.wait_until(
            "__import__('lazyimport').stats().fetching[:11]", "fetching, 2"
        )
        worker.tell(importing("zoo"))
        time.sleep(0.2)
        os.kill(after.wait_for(0), signal.SIGKILL)
        with Worker(after) as another:
            assert another.ask(importing("shop.m9")) == "9"
            after.server.most = 1e12
            assert another.ask(importing("late.m4")) == "4"
        assert worker.answer() == "7"
        while after.fetchers():
            time.sleep(0.01)
    assert {*os.listdir(after.cache.folder("archives"))} == {HASH, after.hash}
    assert not verify(after.cache, remove=False).damages
    assert after.server.moved < len(DATA) * 1.6


def test_a_delta_runs_without_the_store_after_another_boot(after: ColdNode) -> None:
    with Worker(after) as worker:
        assert worker.ask(importing("shop.m7")) == "70"
        lose(after, "shop/m9.py")
    end_boot(after)
    after.server.most = 1e12
    away = after.object.with_name("away")
    after.object.rename(away)
    with Worker(after) as worker:
        assert worker.ask(importing("shop.m7")) == "70"
        assert worker.ask(importing("shop.m8")) == "8"
        for name in ("shop.m9", "late.m4"):
            assert "ArchiveImportError" in worker.ask(importing(name))
        away.rename(after.object)
        assert worker.ask(importing("late.m4")) == "4"
        assert worker.ask(importing("shop.m9")) == "9"
        while after.fetchers():
            time.sleep(0.01)
    assert not verify(after.cache, remove=False).damages


def test_fetching_ahead_waits_for_all_of_it(node: ColdNode) -> None:
    archive, moved = obtain(node.settings(), SILENT, ahead=True)
    assert (archive.coming, moved) == (None, len(DATA))
    prove(archive)
    node.is_left_alone()


def test_a_link_that_stalls(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node, LAZYIMPORT_TIMEOUT="3") as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        said = worker.ask(importing("late.m3"))
        for text in ("ArchiveImportError", "late/m3.py", HASH, "LAZYIMPORT_TIMEOUT"):
            assert text in said
        assert worker.ask(importing("shop.m8")) == "8"
        node.server.most = 1e12
        assert worker.ask(importing("late.m3")) == "3"
        node.is_left_alone()


def test_a_disk_that_is_full_from_then_on(tmp_path: Path, node: ColdNode) -> None:
    """The space for the archive was reserved, and no wish needs to be written."""
    node.server.rate = 10e6
    with mounted(tmp_path / "node", "size=18m", "mode=700"), Worker(node) as worker:
        assert worker.ask(importing("shop.m7")) == "7"
        partial = Path(node.cache.partial_path(node.hash, "raw"))
        while (status := partial.stat()).st_blocks * 512 < status.st_size:
            time.sleep(0.01)  # it is reserved while members come
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "node/junk").write_bytes(bytes(18 << 20))
        assert worker.ask(importing("late.m3")) == "3"
        (tmp_path / "node/junk").unlink()
        node.is_left_alone()


@pytest.mark.timeout(scaled(120, 1200))
def test_everybody_is_killed_again_and_again(node: ColdNode) -> None:
    node.server.rate = 20e6
    chance = random.Random(3)
    for _ in range(scaled(3, 100)):
        with Worker(node) as worker:
            worker.tell(importing("late.m3"))
            time.sleep(chance.uniform(0, 0.4))
            node.kill_fetcher()
            if chance.random() < 0.3:
                worker.process.kill()
            else:
                assert worker.answer() == "3"
    with Worker(node) as worker:
        assert worker.ask(importing("zoo")) == "7"
        node.is_left_alone()


def importing(name: str) -> str:
    return f"__import__({name!r}, fromlist=['x']).x"


def read(path: str) -> str:
    shop = "__import__('shop')"
    return f"len({shop}.__loader__.get_data({shop}.__path__[0] + {path[4:]!r}))"
