"""Verifying a store: everything is read, and what is damaged is told and mended."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.proofs import look_up, record
from lazyimport.delivery.publish import Published
from lazyimport.delivery.verify import VerifiedStore, verify_store
from lazyimport.errors import SettingsError
from lazyimport.format.delta import Revision
from lazyimport.registry.channels import set_channel
from lazyimport.registry.layout import archive_key
from lazyimport.registry.provenance import write_provenance
from lazyimport.registry.signer import make_key, sign_archive
from lazyimport.settings import Settings
from lazyimport.stores import mutable, open_store
from tests.delivery.test_publish import Author, damage
from tests.support.counting import counting
from tests.support.recorder import Recorder

WHERE = ["header", "root", "pages", "slots", "members", "end"]


class Shop:
    """A store with an archive, a delta to it, and channels that point to them."""

    def __init__(self, base: Path) -> None:
        self.author = Author(base, modules=200)
        self.store = mutable(open_store(self.author.url))
        self.full = self.push("x = 1\n").hash
        self.delta = self.push("x = 2\n").hash
        set_channel(self.store, "prod", self.full, by="me")
        set_channel(self.store, "next", self.delta, by="me")
        write_provenance(self.store, self.full, {"commit": "1"})

    def push(self, line: str) -> Published:
        self.author.change(line)
        return self.author.push()

    def verify(self, machine: str = "one", *, repair: bool = False) -> VerifiedStore:
        cache = NodeCache(str(self.author.base / machine))
        return verify_store(self.store, cache, repair=repair)

    def runs(self, hash: str) -> bool:
        return "main.py" in self.author.files(hash)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_sound(shop: Shop) -> None:
    store, counts = counting(shop.store)
    recorder = Recorder()

    found = verify_store(
        store, NodeCache(str(shop.author.base / "new")), (), reporter=recorder
    )

    sizes = [item.size for item in shop.store.list("archives/")]
    assert (found.archives, found.records, found.faults) == (2, 5, [])
    assert found.size == sum(sizes)
    assert recorder.steps[-1][1:] == (found.size, found.size)
    assert not counts.sent


@pytest.mark.parametrize("where", WHERE)
def test_damage_to_a_base(shop: Shop, where: str) -> None:
    damage(shop.author, shop.full, where)

    (fault,) = shop.verify().faults
    (without,) = shop.verify("other", repair=True).faults
    mended = shop.verify(repair=True)

    assert fault.key == archive_key(shop.full)
    assert fault.needed_by == [f"archive {shop.delta}", "channel next", "channel prod"]
    assert not fault.mended
    assert not without.mended
    assert [fault.mended for fault in mended.faults] == [True]
    assert shop.verify("other").faults == []
    assert shop.runs(shop.full)
    assert shop.runs(shop.delta)
    assert shop.author.header(shop.delta).base == shop.full


@pytest.mark.parametrize("where", WHERE)
def test_damage_to_a_delta(shop: Shop, where: str) -> None:
    damage(shop.author, shop.delta, where)

    (fault,) = shop.verify().faults
    (mended,) = shop.verify(repair=True).faults

    assert (fault.key, fault.needed_by) == (archive_key(shop.delta), ["channel next"])
    assert mended.mended
    assert shop.verify().faults == []
    assert shop.runs(shop.delta)


@pytest.mark.parametrize("gone", ["full", "delta"])
def test_an_archive_that_is_gone(shop: Shop, gone: str) -> None:
    shop.store.delete(archive_key(getattr(shop, gone)))

    (fault,) = shop.verify().faults
    (mended,) = shop.verify(repair=True).faults

    assert "is not in" in fault.why
    assert mended.mended
    assert shop.verify().faults == []
    assert shop.runs(shop.full)
    assert shop.runs(shop.delta)


def test_a_delta_is_sent_whole_where_nobody_has_its_base(shop: Shop) -> None:
    """It does not need the base any more, and runs."""
    settings = Settings(shop.delta, shop.author.url, str(shop.author.base / "node"))
    whole = Revision(fetch(settings, shop.delta)[0])
    node = NodeCache(settings.cache_dir)
    node.publish(shop.delta, lambda out: whole.write(out, raw=True))
    node.remove(shop.full)
    damage(shop.author, shop.full, "members")

    (fault,) = shop.verify("node", repair=True).faults

    assert (fault.mended, fault.needed_by) == (False, ["channel prod"])
    assert shop.author.header(shop.delta).base is None
    assert shop.runs(shop.delta)


def test_what_a_disk_lost_without_anybody_writing(shop: Shop) -> None:
    """The object has the version that was proved: the proof goes."""
    damage(shop.author, shop.full, "members")
    (item,) = shop.store.list(archive_key(shop.full))
    record(shop.store, shop.full, item, None)
    assert look_up(shop.store, shop.full)[shop.full].proved

    shop.verify("other", repair=True)

    assert not look_up(shop.store, shop.full)[shop.full].proved
    assert shop.push("x = 3\n").kind == "full"


@pytest.mark.parametrize("folder", ["channels", "provenance", "signatures"])
def test_records(shop: Shop, folder: str) -> None:
    key = {
        "channels": "channels/other.json",
        "provenance": f"provenance/{shop.delta}.json",
        "signatures": f"signatures/{shop.full}/{'0' * 32}.json",
    }[folder]
    shop.store.put(key, io.BytesIO(b"no JSON"))

    faults = shop.verify().faults

    assert [fault.key for fault in faults] == [key]


def test_signatures(shop: Shop, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    signer = make_key(str(tmp_path / "key"))
    sign_archive(shop.store, shop.full, signer)
    assert shop.verify().faults == []
    (item,) = shop.store.list("signatures/")
    data = shop.store.read(item.key)
    shop.store.put(item.key.replace(shop.full, shop.delta), io.BytesIO(data))

    (fault,) = shop.verify().faults

    assert fault.key == item.key.replace(shop.full, shop.delta)
    assert "signature does not hold" in fault.why


class ReadOnly:
    """What a web server can do."""

    def __init__(self, store: object) -> None:
        self.url = store.url  # type: ignore[attr-defined]
        self.ranges = True
        self.read = store.read  # type: ignore[attr-defined]
        self.download = store.download  # type: ignore[attr-defined]


def test_a_store_that_cannot_list(shop: Shop) -> None:
    cache = NodeCache(str(shop.author.base / "other"))
    store = ReadOnly(shop.store)
    with pytest.raises(SettingsError, match="can only be read"):
        verify_store(store, cache)
    with pytest.raises(SettingsError, match="can only be read"):
        verify_store(store, cache, [shop.delta], repair=True)

    assert verify_store(store, cache, [shop.delta]).faults == []
    damage(shop.author, shop.full, "members")
    assert len(verify_store(store, cache, [shop.delta]).faults) == 1
