"""What processes wish of an archive that is coming, and where they may open it."""

from __future__ import annotations

import os

from lazyimport.cache.evict import clear
from lazyimport.cache.node import NodeCache
from lazyimport.cache.partial import Wishes, open_partial, wish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

HASH = "ab" * 32


def test_wishes_are_read_once(tmp_path: Path) -> None:
    cache = NodeCache(str(tmp_path / "cache"))
    wish(cache, HASH, [1])  # nobody streams it
    cache.make_folder("archives")
    with Wishes(cache, HASH) as wishes:
        assert wishes.read() == []
        wish(cache, HASH, [3, 1 << 30])
        wish(cache, HASH, [4])
        clear(cache)  # its reader is alive
        assert wishes.read() == [3, 1 << 30, 4]
        assert wishes.read() == []
        with Wishes(cache, HASH) as others:  # of another fetcher
            wish(cache, HASH, [5])
            assert (wishes.read(), others.read()) == ([], [5])
    clear(cache)
    assert os.listdir(cache.folder("archives")) == []


def test_nothing_is_opened_that_has_not_begun(tmp_path: Path) -> None:
    cache = NodeCache(str(tmp_path / "cache"))
    assert open_partial(cache, HASH) is None
    cache.make_folder("archives")
    with Wishes(cache, HASH):
        for junk in (b"", b"\0" * 5000, b"\x89LZY\r\n\x1a\n" + b"\0" * 5000):
            (tmp_path / f"cache/archives/.{HASH}.raw.tmp").write_bytes(junk)
            assert open_partial(cache, HASH) is None
