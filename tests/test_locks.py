"""Locks on files: one holder at a time, and none once the block has ended."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from lazyimport.locks import FileLock, LockTimeout


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def test_one_at_a_time(path: str) -> None:
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
def test_one_that_is_handed_over_ends_with_who_has_it(path: str) -> None:
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
    path: str,
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


def test_a_waiter_leaves_no_file_open(path: str) -> None:
    with FileLock(path, 1):
        before = open_files()
        with pytest.raises(LockTimeout):
            FileLock(path, 0).__enter__()
        assert open_files() == before


def test_an_interrupted_waiter_leaves_no_file_open(path: str) -> None:
    """Ctrl-C while another process downloads."""
    # what runs in the background of a shell is started without
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FileLock(path, 1):
            before = open_files()
            timer = threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                FileLock(path, 30).__enter__()
            timer.join()
            assert open_files() == before
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_removed_one_is_no_lock(path: str) -> None:
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
