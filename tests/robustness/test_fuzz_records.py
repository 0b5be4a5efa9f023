"""Whatever somebody writes to a store beside archives, it convinces nobody.

Channels, signatures, provenance and the state of garbage collections are changed by
chance, as by somebody who may write to the store and has no key. Nothing but a clean
error may come of it, or what was signed; and nothing is deleted that is needed.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("cryptography", reason="needs the extra 'sign'")

from lazyimport.cli.figures import one_line, origin_of
from lazyimport.errors import ChannelError, LazyImportError, SignatureError
from lazyimport.registry.channels import (
    read_channel,
    refresh_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.gc import collect
from lazyimport.registry.gc_lock import Announcement
from lazyimport.registry.layout import (
    RUNNING,
    archive_key,
    channel_key,
    provenance_key,
    recorded_hash,
)
from lazyimport.registry.provenance import commit_in, read_provenance
from lazyimport.registry.resolution import require_signature, resolve_channel
from lazyimport.registry.signer import Signer, make_key, sign_archive
from lazyimport.registry.signing import Trusted
from lazyimport.registry.survey import Rules
from lazyimport.settings import Settings
from lazyimport.stores import MutableStore, mutable, open_store
from tests.robustness.test_fuzz import mutate
from tests.support.headers import put_header
from tests.support.scale import FUZZ_SECONDS, fuzz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 2 * FUZZ_SECONDS)]

A, B, C, EVIL = ("0a" * 32, "0b" * 32, "0c" * 32, "ee" * 32)
ODD: list[Any] = [
    *(None, True, 0, -1, 1, 2, 3, 7, 1.5, 2**53, 10**40, float("inf")),
    *("", "x", "\x1b[2J", "é\ud800", "9" * 400, A, B, EVIL, A.upper(), "prod"),
    *([], {}, [[]], [{}], {"key": {}}, "2090-01-01T00:00:00Z", "2026-13-01"),
]


def warp(value: Any, chance: Random) -> Any:
    """Return *value*, a decoded JSON text, with some places changed."""
    if chance.random() < 0.12:
        return chance.choice(ODD)
    if isinstance(value, dict):
        warped = {
            chance.choice(("hash", "number", name))
            if chance.random() < 0.02
            else name: (warp(inner, chance) if chance.random() < 0.4 else inner)
            for name, inner in value.items()
            if chance.random() > 0.04
        }
        if chance.random() < 0.1:
            warped[chance.choice(("expires", "valid_for", "x"))] = chance.choice(ODD)
        return warped
    if isinstance(value, list):
        items = [warp(inner, chance) for inner in value if chance.random() > 0.1]
        if items and chance.random() < 0.3:
            items.insert(0, chance.choice(items))
        if chance.random() < 0.1:
            chance.shuffle(items)
        return items
    return value


def changed(data: bytes, chance: Random) -> bytes:
    """Return *data*, JSON, changed as a value, or now and then as bytes."""
    if chance.random() < 0.2:
        found = bytearray(data)
        mutate(found, chance)
        return bytes(found)
    text = json.dumps(warp(json.loads(data), chance))
    return text.encode("utf-8", "surrogatepass")


@pytest.fixture
def store() -> MutableStore:
    store = mutable(open_store(f"memory://{uuid4().hex}"))
    for name in (A, B, C, EVIL):
        put_header(store, name)
    return store


@pytest.fixture
def ours(tmp_path: Path) -> Signer:
    return make_key(str(tmp_path / "ours"))


def write(store: MutableStore, key: str, data: bytes) -> None:
    try:
        store.delete(key)
    except LazyImportError:
        pass
    store.put(key, io.BytesIO(data))


def test_channels(store: MutableStore, ours: Signer, tmp_path: Path) -> None:
    """Who trusts a key follows only what it signed, and signs nothing else."""
    theirs = make_key(str(tmp_path / "theirs"))
    key = channel_key("prod")
    for name in (A, B, C):
        sign_archive(store, name, ours)
        set_channel(store, "prod", name, by="ada", valid_for=10**8, signer=ours)
    forged = json.loads(store.read(key))
    set_channel(store, "test", A, by="ada", signer=ours)
    set_channel(store, "prod", EVIL, by="eve", signer=theirs)
    genuine = {c["number"]: c["hash"] for c in forged["changes"]}
    others = [store.read(key), store.read(channel_key("test"))]
    objects = [json.dumps(forged).encode(), *others]
    asks = Settings(
        store=store.url, cache_dir=f"{tmp_path}/cache", trusted_keys=ours.public
    )
    trusted = Trusted.parse(ours.public)
    done = {"followed": 0, "refused": 0, "signed": 0}

    def once(chance: Random) -> None:
        place = f"{tmp_path}/{chance.random()}"
        node = asks.replaced(cache_dir=place, cache_mode="memory")
        data = changed(chance.choice(objects), chance)
        write(store, key, data)
        try:
            change = resolve_channel(node, "prod")
        except (ChannelError, SignatureError):
            done["refused"] += 1
        else:
            done["followed"] += 1
            assert genuine[change.number] == change.hash
        what = chance.choice(("back", "to", "refresh", "log"))
        try:
            if what == "back":
                roll_back(store, "prod", by="ada", signer=ours)
            elif what == "to":
                wanted = chance.choice((1, 2, 3, 4, A, EVIL))
                roll_back(store, "prod", wanted, by="ada", signer=ours, trusted=trusted)
            elif what == "refresh":
                refresh_channel(store, "prod", 60, signer=ours)
            else:
                for each in read_channel(store, "prod").changes:
                    assert f"{each}".isprintable()
                    each.signer("prod", trusted)
                return
        except (ChannelError, SignatureError):
            return
        done["signed"] += 1
        newest = read_channel(store, "prod").newest
        assert newest.signer("prod", trusted)
        assert newest.hash in genuine.values()
        assert newest.commit == ""

    fuzz("channels", 3000, once)
    assert FUZZ_SECONDS or min(done.values()) > 100, done


def test_signatures(store: MutableStore, ours: Signer, tmp_path: Path) -> None:
    sign_archive(store, A, ours)
    (item,) = store.list(f"signatures/{A}/")
    data = store.read(item.key)
    right = json.loads(data)["signature"]
    evil = item.key.replace(A, EVIL)
    asks = Settings(
        store=store.url,
        cache_dir=str(tmp_path / "cache"),
        cache_mode="memory",
        trusted_keys=ours.public,
    )
    done = {"taken": 0, "refused": 0}

    def once(chance: Random) -> None:
        forged = changed(data, chance)
        write(store, item.key, forged)
        write(store, evil, forged)
        try:
            require_signature(asks, A)
        except SignatureError:
            done["refused"] += 1
        else:
            assert json.loads(forged)["signature"] == right
            done["taken"] += 1
        with pytest.raises(SignatureError):
            require_signature(asks, EVIL)

    fuzz("signatures", 4000, once)
    assert FUZZ_SECONDS or min(done.values()) > 500, done


def test_provenance(store: MutableStore) -> None:
    facts = {"commit": "9f31", "branch": "main", "dirty": True, "roots": ["/src"]}

    def once(chance: Random) -> None:
        write(store, provenance_key(A), changed(json.dumps(facts).encode(), chance))
        found = read_provenance(store, A)
        assert isinstance(found, dict)
        assert one_line(f"{commit_in(found)} {origin_of(found)}").isprintable()

    fuzz("provenance", 4000, once)


FOLDERS = ["archives/", "provenance/", "signatures/", "proofs/", "gc/pushed/"]
NAMES = ["x", A, B, EVIL, f"{A}.json", f"{A}/x", f"{A}/{'0a' * 8}", f"{A}-0b"]


def litter(store: MutableStore, chance: Random) -> set[str]:
    """Put objects into *store*, near ours; return the keys that lazyimport has not."""
    theirs = set()
    for _ in range(chance.randrange(4)):
        key = chance.choice(FOLDERS) + chance.choice(NAMES)
        put = not list(store.list(f"{key}/")) and store.put(key, io.BytesIO(b"x"))
        if put and recorded_hash(key) is None and not key.startswith("archives/"):
            theirs.add(key)
    return theirs


def test_collections(store: MutableStore) -> None:
    """Something is deleted only if it is ours, and nobody needs it."""
    set_channel(store, "prod", A, by="ada")
    channel = store.read(channel_key("prod"))
    running = Announcement("token", "ada", frozenset([A, B])).encode()
    rules = Rules(older_than=3600.0, history=5)
    done = {"collected": 0, "refused": 0, "deleted": 0}

    def once(chance: Random) -> None:
        for item in list(store.list()):
            store.delete(item.key)
        for name in (A, B):
            put_header(store, name)
        intact = chance.random() < 0.5
        found = channel if intact else changed(channel, chance)
        write(store, channel_key("prod"), found)
        if chance.random() < 0.3:
            write(store, RUNNING, changed(running, chance))
        if chance.random() < 0.2:
            data = bytearray(store.read(archive_key(B)))
            mutate(data, chance)
            write(store, archive_key(B), bytes(data))
        theirs = litter(store, chance)
        try:
            collected = collect(Later(store, 10**6), rules, "ada")
        except LazyImportError:
            done["refused"] += 1
        else:
            done["collected"] += 1
            done["deleted"] += len(collected.deleted)
        left = {item.key for item in store.list()}
        assert theirs <= left
        assert not intact or archive_key(A) in left

    fuzz("collections", 1500, once)
    assert FUZZ_SECONDS or min(done.values()) > 50, done


class Later:
    """A store in which all but what is made now is *seconds* old."""

    def __init__(self, store: MutableStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str = "") -> Any:
        for item in self._store.list(prefix):
            if item.key.startswith(("gc/running", "gc/clock")):
                yield item
            else:
                yield type(item)(item.key, item.size, item.modified - self._seconds)
