"""A process of its own fetches: nobody else sees a store, and nothing stops it."""

from __future__ import annotations

import os
import posix
import random
import re
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.progress import begin_progress, running_fetches
from lazyimport.cache.verify import prove
from lazyimport.delivery import starting
from lazyimport.delivery.obtaining import obtain
from lazyimport.delivery.stopped import end_stopped
from lazyimport.delivery.waiting import Waiting
from lazyimport.errors import (
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    DeliveryError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT
from lazyimport.stores.file import FileStore
from tests.support.cold_node import ColdNode
from tests.support.late_activation import HASH_FOR_LATER, SET_HASH
from tests.support.recorder import Recorder
from tests.support.scale import scaled
from tests.support.shaped import Shaped
from tests.support.trees import make_archive

pytest.importorskip("obstore", reason="needs the extra 'objects'")

DATA, HASH = make_archive(
    {
        "shop/__init__.py": "",
        **{f"shop/m{n}.py": f"x = {n}\n" for n in range(20)},
        **{f"shop/{n}.bin": random.Random(n).randbytes(1 << 18) for n in range(64)},
    }
)


@pytest.fixture
def site(tmp_path: Path) -> object:
    store = FileStore(str(tmp_path / "store"))
    store.put(archive_key(HASH), BytesIO(DATA))
    server = Shaped(tmp_path / "store")
    with server.serving() as url:
        yield ColdNode(tmp_path, server, url, HASH, fetch="whole")


ALIKE = """
import os, signal, sys, threading
import shop.m7
# errno is built in, and tells nothing apart
print(sorted(n for n in sys.modules if n != "errno" and n[:11] != "lazyimport."))
print(threading.active_count(), sorted(os.environ.items()), os.getcwd(), os.umask(0))
print([str(signal.getsignal(number)) for number in sorted(signal.Signals)])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(sorted(os.readlink(f"/proc/self/fd/{n}").partition(":")[0]
    for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}")))
try: print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError: print("no children")
"""


def test_the_first_process_of_a_node_is_like_all_others(site: ColdNode) -> None:
    cold, warm = (site.start(ALIKE).communicate(timeout=60) for _ in range(2))
    assert cold == warm
    assert "no children" in cold[0]
    assert "obstore" not in cold[0]
    assert site.server.moved == len(DATA)
    site.is_left_alone()


IMPORT = "import shop.m7; print(shop.m7.x)"


def test_many_processes_share_one_download(site: ColdNode) -> None:
    site.server.rate = 20e6
    children = [site.start(IMPORT) for _ in range(scaled(8, 64))]
    assert {child.communicate(timeout=100) for child in children} == {("7\n", "")}
    assert site.server.moved == len(DATA)
    site.is_left_alone()


def test_a_program_has_modules_with_names_of_the_standard_library(
    site: ColdNode, tmp_path: Path
) -> None:
    """The first process of a node needs none of them; the fetcher needs the others."""
    for name in ("json", "random", "socket", "urllib"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError({name!r})\n")
    worker = site.start(IMPORT, PYTHONPATH=str(tmp_path))
    assert worker.communicate(timeout=60) == ("7\n", "")


WATCHED = """
import threading, time, lazyimport
threading.Thread(target=lazyimport.install, daemon=True).start()
while not (said := lazyimport.stats().fetching) or said in {None, "fetching, 0 %"}:
    time.sleep(0.01)
print(said, lazyimport.stats().hash)
"""


@pytest.mark.parametrize("mode", ["raw", "memory"])
def test_interrupts_while_a_process_waits(site: ColdNode, mode: str) -> None:
    """It ends at once, though its store sends nothing more; the fetch is not harmed."""
    site.server.most = len(DATA) // 2
    worker = site.start(
        IMPORT, LAZYIMPORT_CACHE_MODE=mode, LAZYIMPORT_TIMEOUT=str(scaled(300, 300))
    )
    if mode == "raw":
        helper = site.wait_for(10)
    else:
        while site.server.moved < len(DATA) // 2:
            time.sleep(0.01)
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text()
        helper = int(children)
    for _ in range(2):
        worker.send_signal(signal.SIGINT)
        time.sleep(0.002)
    _, complaints = worker.communicate(timeout=60)

    assert worker.returncode in {130, -signal.SIGINT, 1}
    assert "KeyboardInterrupt" in complaints
    if mode == "memory":
        ended(helper)
    site.server.most = 1e12
    assert site.start(IMPORT).communicate(timeout=100) == ("7\n", "")
    site.is_left_alone()


def ended(process: int) -> None:
    """Wait until a process is gone, or waits for init, which may not be one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            return
        if "State:\tZ" in status:
            return
        time.sleep(0.01)
    raise AssertionError


def test_a_child_ends_with_the_process_that_asked(site: ColdNode) -> None:
    """Though its store sends nothing more, and nobody is told of the end."""
    site.server.most = len(DATA) // 2
    worker = site.start(IMPORT, LAZYIMPORT_CACHE_MODE="memory")
    while site.server.moved < len(DATA) // 2:
        time.sleep(0.01)
    child = int(Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text())
    worker.kill()
    worker.communicate()
    ended(child)


def test_an_interrupt_at_the_moment_when_a_fetcher_starts(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock then, and nobody starts another one beside it."""
    real = starting._spawn

    def interrupted(*arguments: Any) -> int:
        os.waitpid(real(*arguments), 0)
        raise KeyboardInterrupt

    site.server.most = len(DATA) // 2
    with monkeypatch.context() as patch:
        patch.setattr(starting, "_spawn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            obtain(site.settings(), SILENT)
    fetcher = site.wait_for(10)
    assert not site.cache.lock(HASH, 0).take()
    worker = site.start(IMPORT)
    site.server.most = 1e12
    assert worker.communicate(timeout=100) == ("7\n", "")
    assert site.server.moved == len(DATA)
    assert fetcher not in site.fetchers()
    site.is_left_alone()


def test_how_far_it_is_can_be_seen(site: ColdNode) -> None:
    site.server.rate = 4e6
    worker = site.start(f"{SET_HASH}{WATCHED}", **{HASH_FOR_LATER: HASH})
    site.wait_for(1)
    (said,) = running_fetches(site.cache).values()
    assert 0 < said.done < said.total == len(DATA)
    listed = subprocess.run(
        [sys.executable, "-m", "lazyimport", "cache", "ls"],
        env={**os.environ, "LAZYIMPORT_CACHE_DIR": site.cache.path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(rf"{HASH}  .*  fetching, \d+ %\n", listed.stdout)
    site.server.rate = 1e12
    printed, complaints = worker.communicate(timeout=60)
    assert re.fullmatch(rf"fetching, \d+ % {HASH}\n", printed), complaints
    site.is_left_alone()
    assert running_fetches(site.cache) == {}


def test_a_killed_worker_finds_the_download_where_it_is(site: ColdNode) -> None:
    site.server.rate = 8e6
    worker = site.start(IMPORT)
    fetcher = site.wait_for(30)
    worker.kill()
    worker.communicate()
    assert site.fetchers() == [fetcher]
    assert site.start(IMPORT).communicate(timeout=60) == ("7\n", "")
    assert site.server.moved == len(DATA)
    site.is_left_alone()


@pytest.mark.parametrize("told", [0, 2, 40])
def test_a_worker_is_killed_before_it_has_told_its_fetcher_what_for(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    """Those that wait start another fetcher, and do not fail."""
    write = starting._write
    parts = iter([told])
    monkeypatch.setattr(
        starting,
        "_write",
        lambda descriptor, data: write(descriptor, data[: next(parts, len(data))]),
    )
    prove(obtain(site.settings(), SILENT)[0])
    site.is_left_alone()


@pytest.mark.parametrize("percent", [0, 10, 50, 75])
def test_a_killed_fetcher_is_replaced_and_goes_on(site: ColdNode, percent: int) -> None:
    site.server.rate = 8e6
    site.server.most = len(DATA) * 0.95  # it is not whole before it is killed
    worker = site.start(IMPORT)
    os.kill(site.wait_for(percent), signal.SIGKILL)
    site.server.most = 1e12
    assert worker.communicate(timeout=60) == ("7\n", "")
    # what was on its way over four connections, and the index, come again
    assert site.server.moved < len(DATA) * 1.45
    site.is_left_alone()


def test_a_stopped_fetcher_is_ended_and_replaced(site: ColdNode) -> None:
    """It would hold its lock, and every start of the node would wait in vain."""
    site.server.rate = 8e6
    site.server.most = len(DATA) * 0.95
    worker = site.start(IMPORT)
    stopped = site.wait_for(10)
    os.kill(stopped, signal.SIGSTOP)
    site.server.most = 1e12

    out, said = worker.communicate(timeout=60)

    assert out == "7\n"
    assert f"process {stopped}, was stopped (SIGSTOP), so it was ended" in said
    site.is_left_alone()


def test_a_stopped_fetcher_that_cannot_be_seen(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in another container, say. What waits does without the disk, and says so."""
    monkeypatch.setattr("lazyimport.delivery.stopped.end_stopped", lambda _: None)
    monkeypatch.setattr("lazyimport.delivery.waiting._SILENT", 2.0)
    site.server.rate = 8e6
    site.server.most = len(DATA) * 0.95
    worker = site.start(IMPORT)
    stopped = site.wait_for(10)
    worker.kill()
    worker.communicate()
    os.kill(stopped, signal.SIGSTOP)
    site.server.most = 1e12
    told = Recorder()

    with pytest.raises(CacheError, match="has given no sign of life"):
        obtain(site.settings(timeout=30), SILENT, ahead=True)
    archive, moved = obtain(site.settings(timeout=30), told)

    prove(archive)
    assert moved
    assert "no sign of life" in told.warnings[0]
    os.kill(stopped, signal.SIGCONT)
    site.is_left_alone()


def test_who_was_paused_as_well_waits_for_a_sign(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a container that was paused, it may go on sooner than the fetcher."""
    waiting = Waiting(site.settings(), HASH, SILENT)
    paused, now = 0.0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + paused)

    def go_on() -> None:
        nonlocal paused
        while paused < 90.0:
            paused += 1.0
            waiting.look()

    with site.cache.lock(HASH, 0) as lock:
        begin_progress(lock.descriptor)
        assert waiting.look()
        paused = 60.0
        assert waiting.look()
        with pytest.raises(CacheError, match="no sign of life"):
            go_on()
    assert 70.0 < paused < 80.0


def test_a_fetcher_whose_store_is_silent_gives_signs(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazyimport.delivery.waiting._SILENT", 2.0)
    site.server.go.clear()

    with pytest.raises(StoreUnavailable):  # and not that it does not live
        obtain(site.settings(timeout=6), SILENT)


def test_no_other_process_is_ended(site: ColdNode) -> None:
    """Only what has the file of the lock as a fetcher has it, and is stopped."""
    lock = site.cache.lock(HASH, 0)
    site.cache.make()
    with lock, subprocess.Popen(["sleep", "60"], pass_fds=[lock.descriptor]) as user:
        os.kill(user.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, user.pid, os.WSTOPPED)
        assert end_stopped(lock.path) is None
        assert user.poll() is None
        user.kill()
    with lock, subprocess.Popen(["sleep", "60"], stderr=lock.descriptor) as user:
        # as one that was started with stderr closed may have it
        os.kill(user.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, user.pid, os.WSTOPPED)
        assert end_stopped(lock.path) is None
        assert user.poll() is None
        user.kill()
    with lock, subprocess.Popen(["sleep", "60"], stderr=lock.descriptor) as working:
        assert end_stopped(lock.path) is None
        assert working.poll() is None
        working.kill()


def test_it_is_killed_again_and_again(site: ColdNode) -> None:
    site.server.rate = 30e6
    chance = random.Random(3)
    worker = site.start(IMPORT)
    for _ in range(scaled(2, 40)):
        time.sleep(chance.uniform(0, 0.4))
        site.kill_fetcher()
        if worker.poll() is not None or chance.random() < 0.2:
            worker.kill()
            worker.communicate()
            worker = site.start(IMPORT)
    assert worker.communicate(timeout=60) == ("7\n", "")
    site.is_left_alone()


def test_who_cannot_wait_any_longer_is_told_how_far_it_is(site: ColdNode) -> None:
    site.server.rate = 2e6
    first = site.start(IMPORT)
    site.wait_for(1)
    steps = Recorder()
    with pytest.raises(CacheError, match=r"still being fetched, \d+ %, after 1 s"):
        obtain(site.settings(timeout=1), steps)
    site.server.rate = 1e12
    archive, _ = obtain(site.settings(), SILENT)
    prove(archive)
    assert first.communicate(timeout=60) == ("7\n", "")
    site.is_left_alone()


def test_a_store_that_does_not_answer(site: ColdNode) -> None:
    """What its fetcher says is seen, and who comes later is told the same."""
    site.server.go.clear()
    first = site.start(IMPORT, LAZYIMPORT_TIMEOUT="6")
    site.wait_for(0)
    with pytest.raises(
        StoreUnavailable, match=r"not answered for 1 s.*the service is up"
    ):
        obtain(site.settings(timeout=1), SILENT)
    complaints = first.communicate(timeout=60)[1]
    assert "StoreUnavailable" in complaints
    assert "tried once in" in complaints


def test_a_link_that_stalls_is_given_up_and_what_came_is_kept(site: ColdNode) -> None:
    site.server.rate = 8e6
    worker = site.start(IMPORT, LAZYIMPORT_TIMEOUT="4")
    site.wait_for(30)
    site.server.go.clear()
    complaints = worker.communicate(timeout=60)[1]
    assert HASH in complaints
    assert "LAZYIMPORT_TIMEOUT" in complaints
    deadline = time.monotonic() + 30
    while site.fetchers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.fetchers() == []
    site.server.go.set()
    before = site.server.moved
    prove(obtain(site.settings(), SILENT)[0])
    assert site.server.moved - before < len(DATA) * 0.9
    site.is_left_alone()


def test_a_process_that_forks_while_it_waits(site: ColdNode) -> None:
    """Neither the child that goes on, nor the one that ends, holds anything up."""
    site.server.rate = 8e6
    worker = site.start(f"{SET_HASH}{FORKING}", **{HASH_FOR_LATER: HASH})
    assert worker.communicate(timeout=60) == ("7\n7\n", "")
    assert site.server.moved == len(DATA)
    site.is_left_alone()


FORKING = """
import threading, time, warnings, lazyimport
warnings.simplefilter("ignore")  # threads and fork
thread = threading.Thread(target=lazyimport.install)
thread.start()
# Not while it imports: in the child, nobody would give back the lock of that module.
while lazyimport.stats().fetching in {None, "fetching, 0 %"}:
    time.sleep(0.01)
child = os.fork()
if child:
    thread.join()
else:
    lazyimport.install()
import shop.m7
if child:
    os.waitpid(child, 0)
print(shop.m7.x, flush=True)
"""


def test_what_went_wrong_is_told_to_all_who_wait(site: ColdNode) -> None:
    site.object.unlink()
    site.server.delay = 1
    children = [site.start("import lazyimport; lazyimport.install()") for _ in range(4)]
    for child in children:
        errors = child.communicate(timeout=60)[1]
        for text in ("ArchiveMissing", HASH, site.url, site.cache.path, "push it"):
            assert text in errors
    assert site.server.requests <= 12  # activation, and install()
    with pytest.raises(ArchiveMissing) as caught:
        obtain(site.settings(), SILENT)
    assert (caught.value.hash, caught.value.store) == (HASH, site.url)
    site.object.write_bytes(DATA)
    prove(obtain(site.settings(), SILENT)[0])


def test_forged_bytes_are_refused(site: ColdNode) -> None:
    site.object.chmod(0o600)
    spoiled = bytearray(DATA)
    spoiled[-3_000_000] ^= 1
    site.object.write_bytes(spoiled)
    with pytest.raises(DamagedArchive, match=HASH) as caught:
        obtain(site.settings(), SILENT)
    assert caught.value.member.startswith("shop/")
    assert os.listdir(site.cache.folder("archives")) == []


def test_a_store_that_is_not_there(site: ColdNode, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="nowhere"):
        obtain(site.settings(store=f"file://{tmp_path}/nowhere"), SILENT)


def test_a_server_without_ranges(site: ColdNode) -> None:
    site.server.ranges = False
    archive, _ = obtain(site.settings(), SILENT)
    prove(archive)
    site.is_left_alone()


@pytest.mark.parametrize("mode", ["raw", "memory"])
def test_what_is_closed_where_it_is_started(site: ColdNode, mode: str) -> None:
    """The lock and the pipes must not be taken for what they are to become."""
    for closed in ([0], [2], [0, 1, 2]):
        program = f"closed = {closed}\n{SET_HASH}{CLOSED}"
        site.start(
            program,
            LAZYIMPORT_CACHE_MODE=mode,
            LAZYIMPORT_CACHE_DIR=f"{site.cache.path}{len(closed)}{closed[0]}",
            SAID=f"{site.base}/said",
            **{HASH_FOR_LATER: HASH},
        ).communicate(timeout=60)
        assert (site.base / "said").read_text() == f"7 {closed}"
        (site.base / "said").unlink()


CLOSED = """
for number in closed:
    os.close(number)
import traceback
try:
    import lazyimport
    lazyimport.install()
    import shop.m7
    said = f"{shop.m7.x} {closed}"
except BaseException:
    said = traceback.format_exc()
with open(os.environ["SAID"], "w") as file:
    file.write(said)
"""


def test_without_proc(site: ColdNode) -> None:
    """As in a sandbox."""
    program = f"""{SET_HASH}
import subprocess
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["umount", "-l", "/proc"], check=True)
assert not os.path.exists("/dev/fd/0")
import lazyimport
lazyimport.install()
{IMPORT}
"""
    settings = site.settings().to_environ()
    del settings["LAZYIMPORT_HASH"]
    for mode in ("raw", "memory"):
        done = subprocess.run(
            ["unshare", "-m", sys.executable, "-c", program],
            env={
                **os.environ,
                **settings,
                HASH_FOR_LATER: HASH,
                "LAZYIMPORT_CACHE_MODE": mode,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "unshare" in done.stderr or "umount" in done.stderr:
            pytest.skip("this user may not take /proc away")
        assert (done.stdout, done.stderr) == ("7\n", "")


def test_the_fetcher_has_the_path_of_who_started_it(site: ColdNode) -> None:
    """A folder that was added later counts, and none is before the standard library."""
    for name in ("before", "later"):
        (site.base / name).mkdir()
    (site.base / "later/obstore.py").write_text("raise SystemExit('found later')")
    (site.base / "before/json.py").write_text("raise SystemExit('before the library')")
    program = f"""{SET_HASH}
import sys
sys.path.append({str(site.base / "before")!r})
sys.path.insert(0, {str(site.base / "later")!r})
import lazyimport
lazyimport.install()
"""
    errors = site.start(program, **{HASH_FOR_LATER: HASH}).communicate(timeout=60)[1]
    assert "died 3 times (found later)" in errors


def test_a_child_that_was_forked_holds_the_request(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    write = starting._write

    def forking(descriptor: int, data: bytes) -> None:
        held.append(os.dup(descriptor))
        write(descriptor, data)

    monkeypatch.setattr(starting, "_write", forking)
    obtain(site.settings(), SILENT)
    obtain(site.settings(cache_mode="memory"), SILENT)
    for descriptor in held:
        os.close(descriptor)
    assert len(held) == 2


def test_memory_mode_leaves_the_application_alone(site: ColdNode) -> None:
    program = "import sys, shop.m7; print('obstore' in sys.modules, shop.m7.x)"
    child = site.start(program, LAZYIMPORT_CACHE_MODE="memory")
    assert child.communicate(timeout=60) == ("False 7\n", "")
    assert not os.path.exists(site.cache.path)
    settings = site.settings(cache_mode="memory")
    archive, moved = obtain(settings, SILENT)
    prove(archive)
    assert moved == len(DATA)


def test_fetchers_that_die(site: ColdNode, monkeypatch: pytest.MonkeyPatch) -> None:
    died = "raise SystemError('the end')\n"
    monkeypatch.setattr(starting, "_PROGRAM", died)
    with pytest.raises(DeliveryError, match=r"died 3 times.*the end"):
        obtain(site.settings(), SILENT)
    with pytest.raises(DeliveryError, match="without an answer"):
        obtain(site.settings(cache_mode="memory"), SILENT)
    monkeypatch.undo()
    prove(obtain(site.settings(), SILENT)[0])


def test_a_child_that_dies_half_way(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not send is not taken for zeros of a sealed archive."""
    half = f"print('result {HASH} 0 {len(DATA)}', flush=True); print('0' * 4096)\n"
    monkeypatch.setattr(starting, "_PROGRAM", half)
    with pytest.raises(DeliveryError, match="without an answer"):
        obtain(site.settings(cache_mode="memory"), SILENT)


def test_a_child_that_hangs(site: ColdNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends itself, so who asked does not wait for ever."""
    hang = "import lazyimport.delivery.fetcher as it, time\n"
    hang += "it.obtain_here = lambda *_, **__: time.sleep(1000)\n"
    program = starting._PROGRAM.replace("main(asked)", f"{hang}main(asked)")
    monkeypatch.setattr(starting, "_PROGRAM", program)
    with pytest.raises(DeliveryError, match="store hangs"):
        obtain(site.settings(cache_mode="memory", timeout=1), SILENT)


def test_a_fetcher_without_a_thread_for_its_signs_of_life(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = "import lazyimport.delivery.fetcher as it\n"
    refuse += "def refuse(*_): raise RuntimeError('no thread is left')\n"
    refuse += "it.start_new_thread = refuse\n"
    program = starting._PROGRAM.replace("main(asked)", f"{refuse}main(asked)")
    monkeypatch.setattr(starting, "_PROGRAM", program)
    prove(obtain(site.settings(), SILENT)[0])


def test_a_program_with_python_in_it_fetches_for_itself(
    site: ColdNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    monkeypatch.setattr(posix, "posix_spawn", None)
    archive, moved = obtain(site.settings(), SILENT)
    assert moved == len(DATA)
    prove(archive)


def test_an_older_note_is_not_believed(site: ColdNode) -> None:
    """Of a fetch that failed before, or of something else."""
    folder = site.cache.make_folder("locks")
    for note in (
        b"failed 0 0 0".ljust(64) + b'["CacheError", "old", {}]',
        b"\xff" * 99,
    ):
        Path(f"{folder}/{HASH}").write_bytes(note)
        prove(obtain(site.settings(), SILENT)[0])
        site.cache.remove(HASH)
