"""Files that processes share: locks that end with their block, files that are whole."""

from __future__ import annotations

import os
import signal
import threading
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path

import pytest

from lazyimport.files import (
    AtomicFile,
    FileLock,
    LockTimeout,
    is_unfinished,
    remove_leftovers,
    unfinished_path,
)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


class TestLock:
    def test_one_at_a_time(self, path: str) -> None:
        """Threads of one process too."""
        with FileLock(path, 1):
            refused: list[LockTimeout] = []

            def other() -> None:
                with pytest.raises(LockTimeout) as caught:
                    FileLock(path, 0).__enter__()
                refused.append(caught.value)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        assert len(refused) == 1
        with FileLock(path, 0):
            pass

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_one_that_is_handed_over_ends_with_who_has_it(self, path: str) -> None:
        """Also if a thread forks while this one does that, and it is killed."""
        lock = FileLock(path, 0)
        assert lock.take()
        its = os.dup(lock.descriptor)
        child = os.fork()
        if not child:
            os.close(its)
            signal.pause()
            os._exit(0)
        try:
            assert lock.hand_over() == lock.descriptor
            lock.leave()
            with pytest.raises(LockTimeout):
                FileLock(path, 0).__enter__()
            os.close(its)  # as the kernel does at its end
            with FileLock(path, 5):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    # from 3.12 on Python warns of a fork in a process that has threads
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_it_ends_with_the_block_whatever_was_forked_meanwhile(
        self, path: str
    ) -> None:
        """A worker that multiprocessing forks while a thread downloads lives long."""
        with FileLock(path, 0):
            child = os.fork()
            if not child:
                signal.pause()
                os._exit(0)
        try:
            with FileLock(path, 0):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_a_waiter_leaves_no_file_open(self, path: str) -> None:
        with FileLock(path, 1):
            before = open_files()
            with pytest.raises(LockTimeout):
                FileLock(path, 0).__enter__()
            assert open_files() == before

    def test_an_interrupted_waiter_leaves_no_file_open(self, path: str) -> None:
        """Ctrl-C while another process downloads."""
        # what runs in the background of a shell is started without
        usual = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with FileLock(path, 1):
                before = open_files()
                timer = threading.Timer(
                    0.05, lambda: signal.raise_signal(signal.SIGINT)
                )
                timer.start()
                with pytest.raises(KeyboardInterrupt):
                    FileLock(path, 30).__enter__()
                timer.join()
                assert open_files() == before
        finally:
            signal.signal(signal.SIGINT, usual)

    def test_a_removed_one_is_no_lock(self, path: str) -> None:
        """Who waited for it locks the file that has the name by then."""
        got = threading.Event()

        def waiter() -> None:
            with FileLock(path, 10):
                assert os.path.exists(path)
                got.set()

        with FileLock(path, 1) as lock:
            thread = threading.Thread(target=waiter)
            thread.start()
            lock.remove()
        thread.join()
        assert got.is_set()


class TestAtomicFile:
    def test_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with AtomicFile(str(path), 0o640) as file:
            file.write(b"whole")
            assert not path.exists()
        assert path.read_bytes() == b"whole"
        assert path.stat().st_mode & 0o777 == 0o640

        def give_up() -> None:
            with AtomicFile(str(path)) as file:
                file.write(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            give_up()
        assert path.read_bytes() == b"whole"
        assert os.listdir(tmp_path) == ["file"]

    def test_name_as_long_as_a_name_may_be(self, tmp_path: Path) -> None:
        path = tmp_path / ("ü" * 127 + "x")
        with AtomicFile(str(path)) as file:
            file.write(b"whole")
        Path(unfinished_path(str(path))).write_bytes(b"half")

        remove_leftovers(str(path))

        assert os.listdir(tmp_path) == [path.name]

    def test_where_it_cannot_be_put(self, tmp_path: Path) -> None:
        path = tmp_path / "folder"
        path.mkdir()

        with pytest.raises(IsADirectoryError), AtomicFile(str(path)) as file:
            file.write(b"x")

        assert os.listdir(tmp_path) == ["folder"]

    # from 3.12 on Python warns of a fork in a process that has threads
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_its_lock_ends_whatever_was_forked_meanwhile(self, tmp_path: Path) -> None:
        """Who opens what was published waits for no child."""
        path = str(tmp_path / "file")
        with AtomicFile(path) as file:
            file.write(b"whole")
            child = os.fork()
            if not child:
                signal.pause()
                os._exit(0)
        try:
            with open(path, "rb") as published:
                flock(published.fileno(), LOCK_SH | LOCK_NB)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_leftovers_of_what_is_unfinished_itself_are_its_own(tmp_path: Path) -> None:
    """Such as that of a file in which an archive comes to be."""
    hidden = unfinished_path(f"{tmp_path}/.archive.raw.tmp")
    assert os.path.basename(hidden).startswith(".archive.raw.")
    assert is_unfinished(os.path.basename(hidden))
    Path(hidden).touch()
    Path(f"{tmp_path}/.archive2.raw.tmp").touch()

    remove_leftovers(f"{tmp_path}/archive")

    assert os.listdir(tmp_path) == [".archive2.raw.tmp"]
