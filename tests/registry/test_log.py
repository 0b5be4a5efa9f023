"""The log of a store: what was pushed, pointed to and deployed."""

from __future__ import annotations

import io
from pathlib import Path
from uuid import uuid4

import pytest

from lazyimport.registry import channels
from lazyimport.registry.channel import HISTORY
from lazyimport.registry.channels import refresh_channel, remove_channel, set_channel
from lazyimport.registry.history import History
from lazyimport.registry.layout import CHANGES, change_key, change_of
from lazyimport.registry.log import Event, read_log
from lazyimport.registry.provenance import write_provenance
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.stores import MutableStore, mutable, open_store
from lazyimport.stores.file import FileStore
from tests.support.headers import put_header

A, B = "0a" * 32, "0b" * 32


@pytest.fixture(name="store")
def _store() -> MutableStore:
    store = mutable(open_store(f"memory://{uuid4().hex}"))
    for hash, minute in ((A, 1), (B, 2)):
        put_header(store, hash)
        facts = {
            "builder": "ada",
            "commit": "12ab",
            "branch": "main",
            "dirty": hash == B,
        }
        at = {"time": f"2026-11-29T06:0{minute}:00Z"}
        write_provenance(store, hash, {**facts, **at})
    return store


def told(events: list[Event]) -> list[tuple[str, str, str | None, str]]:
    return [(e.kind, e.subject, e.hash, e.outcome) for e in events]


def test_a_change_that_somebody_deletes_meanwhile(tmp_path: Path) -> None:
    class Losing(FileStore):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if key.startswith(CHANGES):
                self.delete(key)
            return super().read(key, start, end)

    store = Losing(str(tmp_path))
    put_header(store, A)
    set_channel(store, "prod", A, by="ada")

    assert [("push", "", A, "")] == told(read_log(store, 10))


def test_everything_that_was_done(store: MutableStore, tmp_path: Path) -> None:
    set_channel(store, "prod", B, by="bob", message="why")
    history = History(str(tmp_path), store, by="eve")
    begun = history.begin("shop", A, B, manifest="f.yaml", back=True)
    history.add(begun)
    history.add(begun._replace(outcome="failed", reason="KeyError"))

    events = read_log(store, 10)

    assert {
        ("channel", "prod", B, ""),
        ("rollback", "shop", B, "failed"),
        ("push", "", B, ""),
        ("push", "", A, ""),
    } == set(told(events))
    assert [e.at for e in events] == sorted((e.at for e in events), reverse=True)
    by = {e.kind: (e.by, e.commit, e.message) for e in events}
    assert ("bob", "", "why") == by["channel"]
    assert ("eve", "", "KeyError") == by["rollback"]
    pushes = [(e.at, e.commit) for e in events if e.kind == "push"]
    assert [("2026-11-29T06:02:00Z", "12ab and changes")] == pushes[:1]
    assert events[:2] == read_log(store, 2)


def test_in_which_applications_an_archive_runs(
    store: MutableStore, tmp_path: Path
) -> None:
    """As the last deployment of each says that came up, however many others follow."""
    history = History(str(tmp_path), store)
    ran = [("shop", A, "running"), ("till", A, "running"), ("till", B, "running")]
    other = [("shop", B, "failed"), *([("shop", B, "written")] * 7)]
    for minute, (app, hash, outcome) in enumerate([*ran, *other]):
        begun = f"2026-11-28T06{minute:02}00.000000Z-00000000"
        deployment = history.begin(app, None, hash)
        history.add(deployment._replace(id=begun, outcome=outcome))

    events = read_log(store, 2)

    assert ["push", "push"] == [e.kind for e in events]
    assert {A: ("shop",), B: ("till",)} == {e.hash: e.applications for e in events}
    assert {"main"} == {e.branch for e in events}
    assert all(e.size for e in events)


def test_no_change_of_a_channel_is_forgotten(store: MutableStore) -> None:
    """The channel itself keeps the newest alone."""
    for number in range(HISTORY + 3):
        set_channel(store, "prod", (A, B)[number % 2], by="bob")
    remove_channel(store, "prod", by="bob")

    changes = [e for e in read_log(store, 100) if e.kind == "channel"]
    assert HISTORY + 4 == len(changes)
    assert 1 == sum(e.hash is None for e in changes)


def test_changes_of_one_second_are_in_the_order_of_their_numbers(
    store: MutableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As texts, 10 comes before 9."""
    monkeypatch.setattr(channels, "utc", lambda _: "2026-11-29T06:03:00Z")
    for number in range(12):
        set_channel(store, "prod", (A, B)[number % 2], by=f"by-{number}")

    for limit in (100, 3):
        found = [e.by for e in read_log(store, limit) if e.kind == "channel"]
        assert [f"by-{number}" for number in range(11, -1, -1)][:limit] == found


def test_what_nobody_signed_is_marked(store: MutableStore, ours: Signer) -> None:
    trusted = Trusted.parse(ours.public)
    set_channel(store, "prod", A, by="bob")
    set_channel(store, "prod", B, by="ada", signer=ours)

    by = {e.by: e.trusted for e in read_log(store, 9, trusted) if e.kind == "channel"}
    assert {"bob": False, "ada": True} == by
    assert {None} == {e.trusted for e in read_log(store, 9)}


def test_what_others_put_there_is_left_out(store: MutableStore) -> None:
    for key, text in (
        (f"{CHANGES}notes.txt", b"x"),
        (change_key("prod", 1, "2026-11-29T06:00:00Z"), b"{"),
        (change_key("prod", 1, "2026-11-29T06:00:01Z"), b"[" * 60_000),
        (change_key("prod", 2, "2026-11-29T06:00:00Z"), b'{"number": 1, "hash": null}'),
    ):
        store.put(key, io.BytesIO(text))

    assert {"push"} == {event.kind for event in read_log(store, 9)}


def test_change_and_its_key() -> None:
    key = change_key("a-b.c", 12, "2026-11-29T06:00:00Z")

    assert "changes/2026-11-29T060000Z-12-a-b.c.json" == key
    assert ("a-b.c", 12) == change_of(key)
    assert change_of("changes/README") is None


def test_a_channel_that_is_refreshed_each_day_is_one_event(store: MutableStore) -> None:
    """Whoever refreshes it changes nothing that the log tells, and hides nothing."""
    set_channel(store, "main", B, by="bob")
    set_channel(store, "prod", A, by="ada", valid_for=60)
    for _ in range(5):
        refresh_channel(store, "prod")

    for limit in (2, 3, 100):
        changes = [e for e in read_log(store, limit) if e.kind == "channel"]
        assert [("prod", A), ("main", B)] == [(e.subject, e.hash) for e in changes]
