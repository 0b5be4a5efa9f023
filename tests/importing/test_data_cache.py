"""Data of compressed members is decoded once, in a bounded room, by any thread."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from cachetools import Cache

from lazyimport.format.archive import Archive
from lazyimport.importing import data_cache as decoded
from lazyimport.importing.resources import ArchivePath
from lazyimport.importing.tree import Tree
from tests.support.trees import make_archive

FILES = {f"pkg/{n}.txt": f"{n} words " * 100_000 for n in range(50)}


@pytest.fixture(name="archive", scope="module")
def _archive() -> tuple[bytes, str]:
    return make_archive(FILES, raw=False)


@pytest.fixture
def tree(archive: tuple[bytes, str]) -> Tree:
    decoded._kept.clear()
    return Tree(Archive(*archive), "/nowhere")


def text(tree: Tree, number: int) -> bytes:
    return ArchivePath(tree, f"pkg/{number}.txt").read_bytes()


def test_same_bytes_again(tree: Tree) -> None:
    first = text(tree, 1)

    assert first == FILES["pkg/1.txt"].encode()
    assert text(tree, 1) is first


def test_room_is_bounded(tree: Tree) -> None:
    """The longest unread goes first."""
    kept = text(tree, 0)
    for number in range(50):
        text(tree, number)
        assert text(tree, 0) is kept
        assert decoded._kept.currsize <= decoded.LIMIT == 32 << 20
    assert len(decoded._kept) < 50


def test_large_file_pushes_nothing_out(tree: Tree) -> None:
    small = text(tree, 1)
    data, name = make_archive({"pkg/large": "x" * (9 << 20)}, raw=False)
    large = ArchivePath(Tree(Archive(data, name), "/nowhere"), "pkg/large")

    assert len(large.read_bytes()) == 9 << 20
    assert list(decoded._kept.values()) == [small]


def test_raw_members_are_not_kept() -> None:
    decoded._kept.clear()
    raw = Tree(Archive(*make_archive({"pkg/a.txt": "x" * 1000})), "/nowhere")

    assert ArchivePath(raw, "pkg/a.txt").read_bytes() == b"x" * 1000
    assert not decoded._kept


def test_threads(tree: Tree) -> None:
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(
            number
            for number in range(40)
            if text(tree, number) != FILES[f"pkg/{number}.txt"].encode()
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_another_thread_reads(tree: Tree) -> None:
    with decoded._lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if text(tree, 2) == FILES["pkg/2.txt"].encode() else 2
            finally:
                sys.stderr.flush()
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_another_thread_pushes_something_out(tree: Tree) -> None:
    """The child begins with nothing kept: what it inherits may be half done.

    Such a state cachetools could not even clear before version 7.1.
    """
    for number in range(40):
        text(tree, number)
    # the state in the middle of LRUCache.__delitem__
    Cache.__delitem__(decoded._kept, next(iter(decoded._kept)))

    child = os.fork()
    if not child:
        status = 1
        try:
            assert not decoded._kept
            for number in range(50):
                assert text(tree, number) == FILES[f"pkg/{number}.txt"].encode()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    decoded._forked()  # here too, for the tests to come

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
