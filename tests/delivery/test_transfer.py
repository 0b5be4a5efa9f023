"""How much of an archive has come or gone is reported while it does."""

from __future__ import annotations

import io
from typing import Any

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import publish
from lazyimport.delivery.transfer import Outgoing
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Steps(Reporter):
    """Remembers every step."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def step(self, *step: Any) -> None:
        self.all.append(step)


DATA, HASH = make_archive({"pkg/__init__.py": "", "pkg/x.txt": "x" * 9000})


def test_what_goes_is_counted_again_if_it_is_sent_again() -> None:
    steps = Steps()
    outgoing = Outgoing(io.BytesIO(b"x" * 300), "sending", steps)
    for _ in range(2):
        outgoing.seek(0)
        while outgoing.read(200):
            pass

    counts = [done for _, done, total, _ in steps.all if total == 300]
    assert [200, 300, 300] * 2 == counts


def test_fetching_and_publishing_report(tmp_path: Path) -> None:
    url, steps = f"file://{tmp_path}/store", Steps()
    author, node = (Settings(HASH, url, tmp_path / name) for name in ("a", "n"))
    cache = NodeCache(author.cache_dir)
    archive = cache.publish(HASH, lambda out: out.write(DATA))

    published = publish(archive, writable(open_store(url)), cache, steps)
    sent = [done for text, done, _, _ in steps.all if text == f"sending to {url}"]
    steps.all.clear()
    fetch(node, HASH, steps)
    text, done, total, unit = steps.all[-1]

    assert published.size == max(sent) == done == total
    assert f"fetching {HASH[:12]} from {url}" == text
    assert "bytes" == unit
