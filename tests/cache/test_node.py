"""The node cache: archives put there, and the locks under which that happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import CacheError, MalformedArchive
from tests.support.node_cache import DAY, put_archive
from tests.support.trees import make_archive


def test_published_archive_is_open(cache: NodeCache) -> None:
    data, name = make_archive({"pkg/__init__.py": ""})

    archive = cache.publish(name, lambda out: out.write(data))

    assert archive.hash == name
    assert [*cache.archives()] == [name]


def test_what_is_not_that_archive_is_refused(cache: NodeCache) -> None:
    data, _ = make_archive({"pkg/__init__.py": ""})
    with pytest.raises(MalformedArchive):
        cache.publish("ab" * 32, lambda out: out.write(data))


def test_lock_that_another_holds_is_waited_for_and_no_longer(cache: NodeCache) -> None:
    again = cache.lock("a", 0)
    with cache.lock("a", 0), pytest.raises(CacheError, match="has held") as caught:
        again.__enter__()

    assert caught.value.path == cache.lock_path("a")
    assert caught.value.errno is None


def test_lock_that_cannot_be_made(cache: NodeCache) -> None:
    with pytest.raises(CacheError, match="cannot lock") as caught:
        cache.lock("x" * 300, 0).__enter__()

    assert caught.value.errno is not None


def test_archive_that_vanishes_while_they_are_listed(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process evicts at the same time: the others are there all the same."""
    left = {put_archive(cache, used=DAY) for _ in range(5)}
    real = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as items:
            found = list(items)
        os.unlink(found[1].path)
        left.remove(found[1].name)
        yield found

    monkeypatch.setattr(os, "scandir", scandir)

    assert cache.archives().keys() == left
    assert len(left) == 4


def test_time_of_arrival_stays(cache: NodeCache) -> None:
    name = put_archive(cache, used=3 * DAY)
    before = cache.archives()[name].st_mtime
    cache.open(name)

    assert before == cache.archives()[name].st_mtime


def test_reopened_archive_that_was_removed_meanwhile_is_not_here(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race in the docstring of lazyimport.cache.removal."""
    from lazyimport.cache import node as module

    name = put_archive(cache, used=DAY)

    def flock(descriptor: int, how: int) -> None:
        cache.remove(name)

    monkeypatch.setattr(module, "flock", flock)
    assert cache.open(name) is None
