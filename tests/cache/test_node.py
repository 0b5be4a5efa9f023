"""The node cache: archives put there, and the locks under which that happens."""

from __future__ import annotations

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import CacheError, MalformedArchive
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(str(tmp_path / "cache"))


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
