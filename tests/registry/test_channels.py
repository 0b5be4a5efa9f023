"""Channels: one winner, nothing lost, and a process tree of one version."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lazyimport.errors import ArchiveMissing, ChannelError, SettingsError, StoreMissing
from lazyimport.registry.channel import HISTORY, LARGEST
from lazyimport.registry.channels import (
    read_channel,
    read_channels,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.layout import archive_key, channel_key
from lazyimport.registry.resolution import resolve_channel
from lazyimport.settings import Settings
from lazyimport.stores import MutableStore, mutable, open_store
from tests.support.counting import counting
from tests.support.headers import put_header

A, B, C = ("0a" * 32, "0b" * 32, "0c" * 32)


@pytest.fixture(params=["memory", "file", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MutableStore:
    """An empty store of every kind that can have channels."""
    if request.param == "gcs":
        pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")
        request.getfixturevalue("fake")
        return mutable(open_store("gs://bucket/code"))
    if request.param == "file":
        return mutable(open_store(f"file://{tmp_path}/store"))
    return mutable(open_store(f"memory://{uuid4().hex}"))


@pytest.fixture
def stocked(store: MutableStore) -> MutableStore:
    for name in (A, B, C):
        put_header(store, name)
    return store


@pytest.fixture
def memory() -> MutableStore:
    """A store whose own ways do not matter to the test."""
    store = mutable(open_store(f"memory://{uuid4().hex}"))
    for name in (A, B, C):
        put_header(store, name)
    return store


def point(store: MutableStore, hash_: str, **more: Any) -> None:
    set_channel(store, "prod", hash_, **{"by": "ada@laptop", **more})


def test_set_and_read(stocked: MutableStore) -> None:
    point(stocked, A, message="first", commit="9f31")
    point(stocked, B)

    channel = read_channel(stocked, "prod")

    assert (channel.name, channel.hash) == ("prod", B)
    assert [(c.number, c.hash, c.by) for c in channel.changes] == [
        (2, B, "ada@laptop"),
        (1, A, "ada@laptop"),
    ]
    assert (channel.changes[1].message, channel.changes[1].commit) == ("first", "9f31")
    assert [found.name for found in read_channels(stocked)] == ["prod"]


def test_pointing_it_where_it_points_changes_nothing(stocked: MutableStore) -> None:
    point(stocked, A)
    before = stocked.read_versioned(channel_key("prod"))

    point(stocked, A, message="again")

    assert before == stocked.read_versioned(channel_key("prod"))


def test_it_points_only_to_what_the_store_has(store: MutableStore) -> None:
    put_header(store, A)
    put_header(store, B, base=C)

    with pytest.raises(ArchiveMissing, match=f"archive {C}, the base of {B},"):
        point(store, B)
    with pytest.raises(ArchiveMissing, match=C):
        point(store, C)
    with pytest.raises(ChannelError, match="no channel 'prod'"):
        read_channel(store, "prod")


def test_rollback_is_a_change_of_its_own(stocked: MutableStore) -> None:
    for name in (A, B, B, C):
        point(stocked, name)

    assert roll_back(stocked, "prod", by="bo").hash == B
    assert roll_back(stocked, "prod", 1, by="bo").hash == A
    channel = roll_back(stocked, "prod", C, by="bo", message="was fine")

    assert [(c.number, c.hash, c.message) for c in channel.changes[:3]] == [
        (6, C, "was fine"),
        (5, A, "rollback to #1"),
        (4, B, "rollback to #2"),
    ]


def test_rollback_to_what_begins_with_some_digits(memory: MutableStore) -> None:
    other = put_header(memory, "0a0b" * 16)
    for name in (A, other, A, B):
        point(memory, name)

    with pytest.raises(ChannelError, match="no single archive that begins with 0a0"):
        roll_back(memory, "prod", "0a0", by="bo")
    assert roll_back(memory, "prod", "0a0a", by="bo").hash == A


@pytest.mark.parametrize("to", [None, 7, 1, "0d" * 32])
def test_nothing_to_roll_back_to(memory: MutableStore, to: int | str | None) -> None:
    stocked = memory
    point(stocked, A)

    with pytest.raises(ChannelError, match=r"history of 1 change.*channel log prod"):
        roll_back(stocked, "prod", to, by="bo")
    assert len(read_channel(stocked, "prod").changes) == 1


def test_rollback_to_what_is_no_longer_there(stocked: MutableStore) -> None:
    point(stocked, A)
    point(stocked, B)
    stocked.delete(archive_key(A))

    with pytest.raises(ArchiveMissing, match=A):
        roll_back(stocked, "prod", by="bo")


def test_removed_channel_keeps_its_numbers(stocked: MutableStore) -> None:
    """So that an old state of it can never be taken for a new one."""
    point(stocked, A)

    assert remove_channel(stocked, "prod", by="bo").hash is None
    assert remove_channel(stocked, "prod", by="bo").newest.number == 2
    settings = Settings(store=stocked.url)
    with pytest.raises(ChannelError, match=r"was removed \(#2, .* by bo\)"):
        resolve_channel(settings, "prod")
    assert roll_back(stocked, "prod", by="bo").newest.number == 3
    with pytest.raises(ChannelError, match="no channel 'other'"):
        remove_channel(stocked, "other", by="bo")


def test_history_is_bounded(memory: MutableStore) -> None:
    for number in range(HISTORY + 3):
        point(memory, (A, B)[number % 2])

    numbers = [change.number for change in read_channel(memory, "prod").changes]

    assert numbers == list(range(HISTORY + 3, 3, -1))


def test_a_change_is_bounded(memory: MutableStore) -> None:
    """Else the object of the channel becomes one that nobody reads."""
    point(memory, A, message="ä" * 9_000)
    with pytest.raises(ChannelError, match="20000 is the most; shorten its message"):
        point(memory, B, message="ä" * 10_000)
    for number in range(HISTORY):
        point(memory, (B, A)[number % 2], message="ä" * 9_000)

    assert HISTORY == len(read_channel(memory, "prod").changes)


class Rival:
    """A store where somebody else is always a moment faster."""

    def __init__(self, store: MutableStore, hash_: str) -> None:
        self._store = store
        self._hash = hash_

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        set_channel(self._store, "prod", self._hash, by="rival@ci", message="mine")
        return self._store.replace(key, data, version)


def test_slower_writer_is_told_where_it_points_now(stocked: MutableStore) -> None:
    point(stocked, A)
    late: Any = Rival(stocked, B)

    with pytest.raises(ChannelError) as caught:
        point(late, C)

    for text in (B, "#2", "rival@ci", "mine", "channel log prod"):
        assert text in str(caught.value)
    assert [change.hash for change in read_channel(stocked, "prod").changes] == [B, A]


def test_answer_that_got_lost_is_no_conflict(stocked: MutableStore) -> None:
    """A client that repeats its request is then refused by its own success."""

    class Forgetful(Rival):
        def replace(self, key: str, data: bytes, version: str | None) -> bool:
            assert self._store.replace(key, data, version)
            return self._store.replace(key, data, version)

    store: Any = Forgetful(stocked, A)
    point(store, A)

    assert [change.hash for change in read_channel(stocked, "prod").changes] == [A]


WRITER = """
import sys
from lazyimport.registry.channels import set_channel
from lazyimport.stores import mutable, open_store
from lazyimport.errors import ChannelError

url, me, *hashes = sys.argv[1:]
store = mutable(open_store(url))
sys.stdin.readline()
for hash_ in hashes:
    try:
        print(set_channel(store, "prod", hash_, by=me).newest.number, hash_)
    except ChannelError as error:
        assert "somebody else" in str(error), error
        print("lost", hash_)
"""


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Every change that was reported is in the history, once, and no other is."""
    store = mutable(open_store(f"file://{tmp_path}/store"))
    names = [f"{n:02x}" * 32 for n in range(40)]
    for name in names:
        put_header(store, name)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, store.url, f"writer-{n}", *names[n::2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [
        tuple(line.split()) for w in writers for line in w.communicate()[0].splitlines()
    ]

    channel = read_channel(store, "prod")

    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(said) == 40
    reported = sorted((int(n), h) for n, h in said if n != "lost")
    assert reported == sorted((c.number, c.hash) for c in channel.changes)
    assert [number for number, _ in reported] == list(range(1, len(reported) + 1))
    assert reported  # of two that meet, one always wins


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 1, "channel": "prod", "changes": []}',
        b'{"format": 2, "channel": "prod", "changes": [{"number": 1, "hash": null}]}',
        b'{"format": 1, "channel": "test", "changes": [{"number": 1, "hash": null}]}',
        b'{"format": 1, "channel": "prod", "changes": [{"number": "1", "hash": null}]}',
        b'{"format": 1, "channel": "prod", "changes": [{"number": 0, "hash": null}]}',
        b'{"format": 1, "channel": "prod", "changes": [{"number": 1, "hash": "x"}]}',
        b'{"format": 1, "channel": "prod", "changes": [{"number": 1, "hash": 7}]}',
        b'{"format": 1, "channel": "prod", "changes": 3}',
        b'{"format":1,"channel":"prod","changes":[{"number":1,"hash":null,"by":[]}]}',
        b"[" * 100_000,
        b'{"format": 1, "channel": "prod", "changes": "' + b"x" * (1 << 20) + b'"}',
    ],
    ids=lambda content: content[:48].decode(),
)
def test_object_that_is_no_channel(memory: MutableStore, content: bytes) -> None:
    store = memory
    store.put(channel_key("prod"), io.BytesIO(content))

    for call in (
        lambda: read_channel(store, "prod"),
        lambda: read_channels(store),
        lambda: resolve_channel(Settings(store=store.url), "prod"),
        lambda: point(store, A),
    ):
        with pytest.raises(ChannelError) as caught:
            call()
        assert f"{store.url}/channels/prod.json" in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_no_more_is_read_than_a_channel_may_have(memory: MutableStore) -> None:
    """Whoever may write to the store can make an object of any size."""
    memory.put(channel_key("prod"), io.BytesIO(bytes(9 * LARGEST)))
    counted, counts = counting(memory)

    with pytest.raises(ChannelError, match="more than"):
        point(counted, A)
    assert LARGEST < counts.received < 2 * LARGEST


@pytest.mark.parametrize("text", ["\ud800", "\udcff \x1b[2J", "\u2028"])
def test_what_is_no_text_is_written_again_as_it_is(
    memory: MutableStore, text: str
) -> None:
    """Planted there, or an argument that is not of the terminal's encoding."""
    point(memory, A, message=text, by=text, commit=text)
    point(memory, B)

    channel = read_channel(memory, "prod")
    assert [change.message for change in channel.changes] == ["", text]
    assert str(channel.changes[1]).isprintable()


def test_signatures_that_make_no_sense_are_not_kept(memory: MutableStore) -> None:
    """Such as what is nested so deeply that it can be read and not written."""
    point(memory, A)
    key = channel_key("prod")
    data, version = memory.read_versioned(key)
    facts = json.loads(data)
    deep: list[Any] = []
    facts["changes"][0]["signatures"] = [deep, {"key": "a", "signature": "b"}]
    for _ in range(500):
        deep.append(deep := [])
    compact = json.dumps(facts, separators=(",", ":"))
    assert memory.replace(key, compact.encode(), version)

    point(memory, B)

    (_, before) = read_channel(memory, "prod").changes
    assert before.signatures == [{"key": "a", "signature": "b"}]


def test_store_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        resolve_channel(Settings(store=f"file://{tmp_path}/none"), "prod")
    with pytest.raises(SettingsError, match="LAZYIMPORT_STORE"):
        resolve_channel(Settings(), "prod")
