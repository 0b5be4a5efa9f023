"""Usage: what the node cache takes, and when each archive was used."""

from __future__ import annotations

import os
import posix

import pytest

from lazyimport.cache.layout import SHARED
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from tests.support.node_cache import DAY, hashes_by_use, put_archive


def test_files_of_a_tree_count_where_they_are_no_links(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system without hard links."""
    name = put_archive(cache, used=DAY, **{"pkg/large.bin": os.urandom(SHARED)})
    linked = usage(cache)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(posix, "link", refuse)
    archive = cache.open(name)
    assert archive is not None
    Materializer(archive, cache.tree_path(name)).put_all()

    assert usage(cache) >= linked + 2 * SHARED  # the blob, and the file of the tree


def test_opening_is_using(cache: NodeCache) -> None:
    first, second = put_archive(cache, used=3 * DAY), put_archive(cache, used=2 * DAY)
    archive = cache.open(first)
    del archive

    assert hashes_by_use(cache) == [second, first]


def test_use_in_the_future_is_from_before_the_clock_was_put_back(
    cache: NodeCache,
) -> None:
    used = put_archive(cache, used=3 * DAY)
    future = put_archive(cache, used=-400 * DAY)

    assert hashes_by_use(cache) == [future, used]
    cache.open(future)
    assert hashes_by_use(cache) == [used, future]
