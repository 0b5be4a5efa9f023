"""Garbage collection: what stays, what goes, and nobody who is hurt by it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from lazyimport.cli.commands.gc import in_words
from lazyimport.delivery.publish import publish
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    ChannelError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.registry.channels import (
    read_channel,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.gc import collect
from lazyimport.registry.gc_lock import Announcement, claim, renew
from lazyimport.registry.history import History
from lazyimport.registry.layout import (
    PUSHED,
    RUNNING,
    archive_key,
    channel_key,
    signature_key,
)
from lazyimport.registry.past import RECORDED
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.registry.survey import Rules, StoredArchive, Survey, survey
from lazyimport.stores import MutableStore, Store, mutable, open_store
from tests.delivery.test_fetch import Site, everything
from tests.support.headers import put_header
from tests.support.scale import scaled

HOUR, DAY = 3600.0, 86400.0
NOW = time.time()
NAMES = [f"{n:02x}" * 32 for n in range(16)]
A, B, C, D = NAMES[10:14]
OLD = Rules(older_than=30 * DAY)


@pytest.fixture
def store(tmp_path: Path) -> MutableStore:
    (tmp_path / "store").mkdir()
    return mutable(open_store(f"file://{tmp_path}/store"))


def age(store: Store, days: float, key: str | None = None) -> None:
    """Let *key*, or all there is in *store*, have come so many days ago."""
    root = store.url.removeprefix("file://")
    for item in list(store.list(key or "")):
        if key in (None, item.key):
            when = NOW - days * DAY
            os.utime(f"{root}/{item.key}", (when, when))


def put_aged(store: Store, hash_: str, days: float, base: str | None = None) -> str:
    put_header(store, hash_, base)
    age(store, days, archive_key(hash_))
    return hash_


def reasons(found: Survey) -> dict[str, list[str]]:
    return {each.hash: list(map(in_words, each.reasons)) for each in found.archives}


def archives(store: Store) -> set[str]:
    return {item.key.partition("/")[2] for item in store.list("archives/")}


# -- what stays --------------------------------------------------------------


def test_old_goes_and_young_stays(store: MutableStore) -> None:
    put_aged(store, A, 31)
    put_aged(store, B, 29)

    assert reasons(survey(store, OLD, NOW)) == {B: ["pushed lately"], A: []}
    assert [f.hash for f in collect(store, OLD, "ada").deleted] == [A]
    assert archives(store) == {B}


def test_newest_stay_whatever_their_age(store: MutableStore) -> None:
    for number, name in enumerate(NAMES[:5]):
        put_aged(store, name, 100 + number)

    done = collect(store, Rules(older_than=DAY, keep_last=2), "ada")

    assert archives(store) == set(NAMES[:2])
    assert {each.hash for each in done.deleted} == set(NAMES[2:5])


def test_base_of_what_stays_stays(store: MutableStore) -> None:
    put_aged(store, A, 90)
    put_aged(store, B, 1, base=A)
    put_aged(store, C, 80, base=A)

    found = survey(store, OLD, NOW)

    assert reasons(found) == {B: ["pushed lately"], C: [], A: [f"base of {B[:12]}"]}
    collect(store, OLD, "ada")
    assert archives(store) == {A, B}


def test_base_goes_after_its_deltas(store: MutableStore) -> None:
    put_aged(store, A, 90)
    for name in NAMES[:4]:
        put_aged(store, name, 60, base=A)

    goes = survey(store, OLD, NOW).goes

    assert [each.hash for each in goes][-1] == A
    collect(store, OLD, "ada")
    assert archives(store) == set()


def test_base_of_a_newer_base_stays(store: MutableStore) -> None:
    """One that was deleted by hand may have come back as a delta."""
    put_aged(store, A, 90)
    put_aged(store, B, 30, base=A)
    put_aged(store, C, 60, base=B)
    put_aged(store, D, 50)

    collect(store, Rules(older_than=DAY, hashes=[C]), "ada")

    assert archives(store) == {A, B, C}
    collect(store, Rules(older_than=DAY), "ada")
    assert not archives(store)


@pytest.mark.parametrize("bases", [[B, A], [A], [B, C, A], [B, B, B, A]])
def test_archives_that_are_bases_of_each_other_go(
    store: MutableStore, bases: list[str]
) -> None:
    """Nobody can read them, and whoever may write to the store can put them there."""
    for number, (name, base) in enumerate(zip(NAMES[10:], bases, strict=False)):
        put_aged(store, name, 100 + number, base)

    done = collect(store, OLD, "ada")

    assert not archives(store)
    assert len(done.deleted) == len(bases)
    assert not done.spared


def test_long_chains_and_popular_bases_take_no_longer(store: MutableStore) -> None:
    names = [f"{number:064x}" for number in range(1, 3001)]
    archives = [
        StoredArchive(n, 1, 0.0, base)
        for n, base in zip(names, [*names[1:], None], strict=True)
    ]
    found = Survey(archives, [], [], [], {}, 0.0)

    assert [each.hash for each in found.goes] == names


def test_what_a_channel_means_or_meant_stays(store: MutableStore) -> None:
    for name in NAMES:
        put_aged(store, name, 60)
    for name in NAMES[:8]:
        set_channel(store, "prod", name, by="ada")
    set_channel(store, "test", NAMES[8], by="ada")
    set_channel(store, "test", NAMES[9], by="ada")
    set_channel(store, "gone", NAMES[10], by="ada")
    remove_channel(store, "gone", by="ada")
    age(store, 60)

    everyones = reasons(survey(store, OLD, NOW))
    of_one = reasons(
        survey(store, Rules(older_than=DAY, history=2, channels=["test"]), NOW)
    )

    assert everyones[NAMES[7]] == ["channel prod"]
    assert everyones[NAMES[3]] == ["channel prod #4"]
    kept = {name for name, why in everyones.items() if why}
    assert kept == {*NAMES[3:11]}
    assert everyones[NAMES[10]] == ["channel gone #1"]
    kept = {name for name, why in of_one.items() if why}
    assert kept == {NAMES[7], NAMES[8], NAMES[9]}


def test_a_channel_that_goes_back_and_forth_keeps_its_other_archives(
    store: MutableStore,
) -> None:
    for name in (A, B, C):
        put_aged(store, name, 60)
    for name in (A, B, C, B, C, B, C):
        set_channel(store, "prod", name, by="ada")
    age(store, 60)

    assert set(kept(store)) == {A, B, C}
    assert set(kept(store, history=2)) == {B, C}
    assert set(kept(store, history=0)) == {C}


@pytest.mark.parametrize("planted", ["removal", "changes"])
def test_unsigned_changes_push_out_no_signed_ones(
    store: MutableStore, ours: Signer, planted: str
) -> None:
    for name in (*NAMES[:6], A, B):
        put_aged(store, name, 60)
    for name in (A, B):
        set_channel(store, "prod", name, by="ada", signer=ours)
    if planted == "removal":
        remove_channel(store, "prod", by="eve")
    else:
        for name in NAMES[:6]:
            set_channel(store, "prod", name, by="eve")
    age(store, 60)
    trusted = Trusted.parse(ours.public)

    assert {A, B} <= set(kept(store, trusted=trusted))
    assert "channel prod" in kept(store, trusted=trusted, history=1)[B]
    assert set(kept(store, trusted=trusted)) == {A, B, *kept(store)}


def test_what_is_named_stays_with_its_base(store: MutableStore) -> None:
    put_aged(store, A, 60)
    put_aged(store, B, 60, base=A)
    put_aged(store, C, 60)

    collect(store, Rules(older_than=DAY, hashes=[B]), "ada")

    assert archives(store) == {A, B}


def test_nothing_of_the_last_hour_goes(store: MutableStore) -> None:
    put_aged(store, A, 0.5 / 24)

    assert reasons(survey(store, Rules(older_than=0), NOW)) == {A: ["pushed lately"]}


def test_pushed_again_is_young_again(store: MutableStore) -> None:
    put_aged(store, A, 60)
    renew(store, A)
    renew(store, A)

    assert reasons(survey(store, OLD, time.time())) == {A: ["pushed lately"]}


@pytest.mark.parametrize("skew", [-400 * DAY, 400 * DAY])
def test_only_the_clock_of_the_store_counts(
    store: MutableStore, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """Whatever the machine that collects believes, what is old goes and no more."""
    put_aged(store, A, 60)
    put_aged(store, B, 0)

    monkeypatch.setattr(time, "time", lambda: NOW + skew)
    done = collect(store, OLD, "ada")

    assert archives(store) == {B}
    assert done.spared == []


def test_a_time_in_the_future_counts_as_now(store: MutableStore) -> None:
    """A wrong clock, cp -a, touch: one such object makes no other one old."""
    put_aged(store, A, -40)
    put_aged(store, B, 1)
    put_aged(store, C, 31)

    assert [each.hash for each in survey(store, OLD, NOW).goes] == [C]


def test_what_is_deployed_again_is_young_again(store: MutableStore) -> None:
    """Also for a collection whose list of manifests is older than the deployment."""
    put_aged(store, A, 60)
    put_aged(store, B, 60)

    claim(store, A)

    assert [each.hash for each in survey(store, OLD, time.time()).goes] == [B]
    with pytest.raises(ArchiveMissing):
        claim(store, C)


def test_who_may_only_read_claims_by_looking(store: MutableStore) -> None:
    put_aged(store, A, 60)

    def denied(*_: object) -> None:
        raise StoreDenied("no", url=store.url)

    claim(Through(store, "put", denied), A)


def test_a_channel_that_is_not_there_is_an_error(store: MutableStore) -> None:
    """It would keep nothing, and somebody meant it to."""
    put_aged(store, A, 60)
    set_channel(store, "prod", A, by="ada")

    rules = Rules(older_than=DAY, channels=["prod", "prdo"])
    with pytest.raises(ChannelError, match=r"no channel 'prdo' in .* keep anything"):
        collect(store, rules, "ada")


# -- deployments -------------------------------------------------------------


def deploy(
    store: Store,
    hash: str,
    outcome: str = "running",
    before: str | None = None,
    **facts: Any,
) -> None:
    """Record a deployment, an old one."""
    signer = facts.pop("signer", None)
    history = History("/nowhere", store, by="ada@x", signer=signer)
    history._places = history._places[1:]  # not on this machine
    begun = history.begin("shop", before, hash, manifest="f.yaml")
    history.add(begun._replace(outcome=outcome, **facts))


def kept(store: Store, **rules: Any) -> dict[str, list[str]]:
    found = reasons(survey(store, Rules(older_than=30 * DAY, **rules), NOW))
    return {name: why for name, why in found.items() if why}


def test_what_rollback_would_go_to_stays(store: MutableStore) -> None:
    for name in NAMES:
        put_aged(store, name, 60)
    for number, name in enumerate(NAMES[:8]):
        deploy(store, name, before=NAMES[number - 1] if number else None)
    deploy(store, A, "failed", before=NAMES[7])
    deploy(store, B, "written", before=A)
    deploy(store, C, manifest="staging.yaml")
    deploy(store, D, app="till", outcome="applied")
    age(store, 60)

    assert kept(store) == {
        B: ["application shop"],
        A: ["application shop"],
        **{name: ["rollback of shop"] for name in NAMES[4:7]},
        NAMES[7]: ["application shop", "rollback of shop"],
        C: ["application shop"],
        D: ["application till"],
    }
    least = {A, B, NAMES[7], C, D}
    assert set(kept(store, history=0)) == set(kept(store, history=1)) == least
    collect(store, Rules(older_than=DAY, history=2), "ada")
    assert archives(store) == least


@pytest.mark.parametrize(
    ("outcome", "newer"),
    [("timed out", "written"), ("applied", "failed"), ("superseded", "applied")],
)
def test_what_may_run_stays_until_a_newer_one_was_seen_running(
    store: MutableStore, outcome: str, newer: str
) -> None:
    """Nobody looked when it came up late, and what came after it may never have."""
    for name in NAMES:
        put_aged(store, name, 60)
    for name in NAMES[:5]:
        deploy(store, name)
    deploy(store, A, outcome, before=D)
    deploy(store, B, newer, before=A)
    age(store, 60)

    assert {A, B, D, *NAMES[1:5]} == set(kept(store))
    assert {A, B, D, NAMES[4]} == set(kept(store, history=0))
    deploy(store, C, before=B)
    age(store, 60)
    assert not {A, D} & set(kept(store, history=0))


def test_what_was_rolled_back_from_goes(store: MutableStore) -> None:
    for name in (A, B, C):
        put_aged(store, name, 60)
    deploy(store, A)
    deploy(store, B, before=A)
    deploy(store, C, before=B)
    deploy(store, B, before=C, back=True)
    age(store, 60)

    assert kept(store) == {B: ["application shop"], A: ["rollback of shop"]}


def test_old_records_go_but_the_last_ones(store: MutableStore) -> None:
    """And those that say when what is kept ran."""
    put_aged(store, A, 60)
    deploy(store, A, "applied")
    deploy(store, A)
    for number in range(RECORDED + 3):
        deploy(store, f"{number:064x}", "failed", before=A)
    age(store, 60)
    deploy(store, B, "failed", before=A)
    theirs = "deployments/shop/notes/why.json"
    store.put(theirs, io.BytesIO(b"x"))
    age(store, 90, theirs)

    done = collect(store, OLD, "ada")

    left = [item.key for item in store.list("deployments/")]
    assert done.leftovers == 5
    assert len(left) == 1 + RECORDED + 1
    assert theirs in left
    assert kept(store) == {A: ["application shop", "rollback of shop"]}


def test_nothing_goes_if_a_record_cannot_be_read(store: MutableStore) -> None:
    """It may be of a newer release."""
    put_aged(store, A, 60)
    deploy(store, A)
    (item,) = store.list("deployments/")
    Path(store.url.removeprefix("file://"), item.key).write_text("{")

    with pytest.raises(StoreError, match=r"running.json is no record of a deployment"):
        collect(store, OLD, "ada")
    assert archives(store) == {A}


def test_unsigned_records_push_out_nothing(store: MutableStore, ours: Signer) -> None:
    """Where keys are trusted they keep more, whatever they say, and never less."""
    for name in (A, B, C, D):
        put_aged(store, name, 60)
    deploy(store, A, signer=ours)
    deploy(store, B, before=A, signer=ours)
    age(store, 60)
    signed = {item.key for item in store.list("deployments/")}
    for number in range(RECORDED + 3):
        deploy(store, f"{number:064x}", id=f"2999-01-01T000000.000000Z-{number:08x}")
    deploy(store, C, "failed", before=A)
    deploy(store, D, before=B, back=True)
    (first, *_) = sorted(signed)
    forged = store.read(first).replace(b"running", b"failed")
    store.put(first.replace("running", "failed"), io.BytesIO(forged))
    age(store, 60)
    trusted = Trusted.parse(ours.public)

    assert {A, B} <= set(kept(store, trusted=trusted))
    assert not {A, B} <= set(kept(store))
    collect(store, Rules(older_than=DAY, trusted=trusted), "ada")
    assert {A, B} <= archives(store)
    assert signed <= {item.key for item in store.list("deployments/")}


# -- what goes with it -------------------------------------------------------


def test_records_go_with_their_archive(store: MutableStore) -> None:
    put_aged(store, A, 60)
    put_aged(store, B, 1)
    for name in (A, B, C):
        store.put(f"provenance/{name}.json", io.BytesIO(b"{}"))
        store.put(signature_key(name, "0a" * 16), io.BytesIO(b"{}"))
    renew(store, A)
    age(store, 60)
    age(store, 1, archive_key(B))

    found = survey(store, OLD, NOW)
    done = collect(store, OLD, "ada")

    assert len(found.leftovers) == done.leftovers == 2  # those of C
    left = {item.key for item in store.list()}
    records = {f"provenance/{B}.json", signature_key(B, "0a" * 16)}
    assert left == {archive_key(B), *records}


def test_deleting_lists_no_more_for_more_archives(store: MutableStore) -> None:
    """Of a bucket with thousands, each listing would be a request for each archive."""
    listed: list[int] = []
    for number in (1, 8):
        for name in NAMES[:number]:
            put_aged(store, name, 60)
            store.put(f"provenance/{name}.json", io.BytesIO(b"{}"))
        asked: list[str] = []
        acting: Any = Through(
            store, "list", lambda prefix, asked=asked: asked.append(prefix)
        )
        assert len(collect(acting, OLD, "ada").deleted) == number
        assert not list(store.list())
        listed.append(len(asked))
    assert listed[0] == listed[1]


def test_record_that_came_before_its_archive_stays(store: MutableStore) -> None:
    """A push that is under way."""
    store.put(f"provenance/{A}.json", io.BytesIO(b"{}"))

    assert survey(store, OLD, time.time()).leftovers == []


def test_what_is_not_ours_stays(store: MutableStore) -> None:
    """Also beside an archive that goes, and in folders of ours."""
    put_aged(store, A, 600)
    theirs = {
        "notes.txt",
        "archives/readme",
        "code-0a0b.zip",
        "gc/other",
        "gc/clock-work",
        "gc/pushed/readme",
        f"gc/pushed/{A}/why",
        "provenance/readme.md",
        f"provenance/{A}.json.bak",
        f"provenance/{A}-notes.txt",
        f"signatures/{A}/cosign.bundle",
        f"signatures/{A}.asc",
        "signatures/keys.txt",
        "proofs/of/concept",
        f"proofs/{A}",
    }
    for key in theirs:
        store.put(key, io.BytesIO(b"x"))
    age(store, 600)
    root = Path(store.url.removeprefix("file://"))
    hidden = [root / "archives/.gitkeep", root / "archives/.notes.tmp"]
    hidden += [root / "other/.x.0a1b2c3d.tmp"]
    for path in hidden:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))

    done = collect(store, OLD, "ada")

    assert [each.hash for each in done.deleted] == [A]
    assert {item.key for item in store.list()} == theirs
    assert all(path.exists() for path in hidden)


def test_what_collections_and_killed_writers_left_goes(store: MutableStore) -> None:
    put_aged(store, A, 1)
    root = Path(store.url.removeprefix("file://"))
    left = [
        root / "gc/clock-0123456789abcdef",
        root / f"archives/.{B}.0a1b2c3d.tmp",
        root / "channels/.prod.json.00000000.tmp",
        root / f"signatures/{A}/.claim-{'0a' * 16}.json",
    ]
    fresh = root / f"archives/.{C}.0a1b2c3d.tmp"
    for path in [*left, fresh]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for path in left:
        os.utime(path, (NOW - 2 * HOUR,) * 2)

    found = survey(store, OLD, NOW)
    done = collect(store, OLD, "ada")

    assert len(found.leftovers) + len(found.unfinished) == done.leftovers == 4
    assert [path for path in [*left, fresh] if path.exists()] == [fresh]


def test_a_folder_that_is_a_link_is_not_swept(
    store: MutableStore, tmp_path: Path
) -> None:
    """Whoever may write to the store could have files removed elsewhere."""
    other = tmp_path / "other"
    other.mkdir()
    theirs = other / ".notes.0a1b2c3d.tmp"
    theirs.touch()
    os.utime(theirs, (1, 1))
    Path(store.url.removeprefix("file://"), "changes").symlink_to(other)

    assert collect(store, OLD, "ada").leftovers == 0
    assert theirs.exists()


def test_names_in_upper_case_are_none_of_ours(store: MutableStore) -> None:
    """On a disk that tells them apart, push gives no such name, nor mends it."""
    put_aged(store, A, 600)
    name = archive_key(A.upper())
    store.put(name, io.BytesIO(store.read(archive_key(A))))
    store.put(f"blobs/{'AB' * 32}", io.BytesIO(b""))
    age(store, 600)

    assert [each.hash for each in collect(store, OLD, "ada").deleted] == [A]
    assert {item.key for item in store.list()} == {name, f"blobs/{'AB' * 32}"}


def test_folder_with_the_name_of_an_unfinished_file(store: MutableStore) -> None:
    path = Path(store.url.removeprefix("file://")) / "archives/.x.0a1b2c3d.tmp"
    path.parent.mkdir()
    path.mkdir()
    os.utime(path, (1, 1))

    assert collect(store, OLD, "ada").leftovers == 0
    assert path.exists()


# -- what cannot be read -----------------------------------------------------


def test_nothing_goes_if_a_channel_cannot_be_read(store: MutableStore) -> None:
    put_aged(store, A, 60)
    store.put(channel_key("prod"), io.BytesIO(b"{"))

    with pytest.raises(ChannelError, match=r"prod.json.*nothing had been deleted"):
        collect(store, OLD, "ada")
    assert archives(store) == {A}


def test_nothing_goes_if_an_archive_cannot_be_read(store: MutableStore) -> None:
    """It may be a delta to anything."""
    put_aged(store, A, 60)
    store.put(archive_key(B), io.BytesIO(b"x" * 500))

    with pytest.raises(ArchiveError, match=f"archives/{B}.*nothing had been deleted"):
        collect(store, OLD, "ada")
    assert archives(store) == {A, B}


class Through:
    """A store that runs *before* ahead of a call of the method *name*."""

    def __init__(self, store: Store, name: str, before: Any) -> None:
        self._store = store
        self._name = name
        self._before = before

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._name:
            return method

        def call(*arguments: Any) -> Any:
            self._before(*arguments)
            return method(*arguments)

        return call


def test_records_that_the_store_keeps_stay(store: MutableStore) -> None:
    """A retention policy on provenance/ makes an audit log of it."""
    for name in NAMES[:3]:
        put_aged(store, name, 60)
        store.put(f"provenance/{name}.json", io.BytesIO(b"{}"))

    def refuse(key: str) -> None:
        if key.startswith("provenance/"):
            raise StoreDenied("kept", url=store.url, key=key)

    acting: Any = Through(store, "delete", refuse)
    assert 3 == len(collect(acting, OLD, "ada").deleted)
    age(store, 60)
    done = collect(acting, OLD, "ada")
    assert (0, 3) == (done.leftovers, len(list(store.list("provenance/"))))


def test_refused_half_way_says_how_far_it_came(store: MutableStore) -> None:
    for name in NAMES[:3]:
        put_aged(store, name, 60)
    deleted: list[str] = []

    def refuse(key: str) -> None:
        deleted.append(key)
        if len([key for key in deleted if key.startswith("archives/")]) == 2:
            raise StoreDenied("not yours", url=store.url, key=key)

    acting: Any = Through(store, "delete", refuse)
    with pytest.raises(StoreDenied, match=r"not yours \(1 had been deleted by then\)"):
        collect(acting, OLD, "ada")
    assert len(archives(store)) == 2


# -- together with others ----------------------------------------------------


def announcing(store: Store, action: Any) -> Any:
    """Return *store*, in which *action* happens right after gc announced a batch."""
    announced = []

    def before(key: str) -> None:
        # by listing its announcement gc knows the time; it plans after the first
        if key == RUNNING:
            announced.append(key)
            if len(announced) == 2:
                action()

    return Through(store, "list", before)


def test_channel_set_after_the_plan_is_heeded(store: MutableStore) -> None:
    put_aged(store, A, 60)

    def rival() -> None:
        # as somebody does who looked for announcements a moment before
        change = b'{"format":1,"channel":"prod","changes":[{"number":1,"hash":"%s"}]}'
        store.put(channel_key("prod"), io.BytesIO(change % A.encode()))

    done = collect(announcing(store, rival), OLD, "ada")

    assert (done.deleted, done.spared) == ([], [A])


def test_delta_that_comes_after_the_plan_keeps_its_base(store: MutableStore) -> None:
    put_aged(store, A, 60)

    done = collect(announcing(store, lambda: put_header(store, B, A)), OLD, "ada")

    assert (done.deleted, done.spared) == ([], [A])


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    """A share that is not mounted would look like an empty store from then on."""
    gone = mutable(open_store(f"file://{tmp_path}/gone"))
    with pytest.raises(StoreMissing):
        collect(gone, OLD, "me")
    assert not (tmp_path / "gone").exists()


def test_two_collections_at_once(store: MutableStore) -> None:
    put_aged(store, A, 60)
    other = Announcement("theirs", "bo@laptop", frozenset([A]))
    store.put(RUNNING, io.BytesIO(other.encode()))

    with pytest.raises(StoreError, match=r"by bo@laptop is running.*gc/running\.json"):
        collect(store, OLD, "ada")
    assert archives(store) == {A}
    assert [item.key for item in store.list("gc/")] == [RUNNING]


def test_collection_that_died_is_taken_over(store: MutableStore) -> None:
    put_aged(store, A, 60)
    other = Announcement("theirs", "bo@laptop", frozenset([A]))
    store.put(RUNNING, io.BytesIO(other.encode()))
    age(store, 2 / 24, RUNNING)

    collect(store, OLD, "ada")

    assert [item.key for item in store.list()] == []


def test_one_of_two_takes_over_from_a_collection_that_died(store: MutableStore) -> None:
    """The other does not remove what the first has just announced."""
    put_aged(store, A, 60)
    other = Announcement("theirs", "bo@laptop", frozenset([A]))
    store.put(RUNNING, io.BytesIO(other.encode()))
    age(store, 2 / 24, RUNNING)
    faster = Announcement("faster", "eve@ci", frozenset([A]))

    def take_over(key: str) -> None:
        if key.startswith("gc/") and key != RUNNING:  # it has looked how old it is
            store.delete(RUNNING)
            store.put(RUNNING, io.BytesIO(faster.encode()))

    acting: Any = Through(store, "delete", take_over)
    with pytest.raises(StoreError, match="by eve@ci is running"):
        collect(acting, OLD, "ada")
    running = Announcement.read(store)
    assert running is not None
    assert ("faster", {A}) == (running.token, archives(store))


def test_collection_that_was_taken_over_stops(store: MutableStore) -> None:
    for name in NAMES[:3]:
        put_aged(store, name, 60)

    def take_over(key: str) -> None:
        if key.startswith("archives/") and RUNNING in {i.key for i in store.list()}:
            store.delete(RUNNING)

    acting: Any = Through(store, "delete", take_over)
    with pytest.raises(StoreError, match=r"somebody removed gc/running\.json"):
        collect(acting, OLD, "ada")
    assert len(archives(store)) == 2


def test_channel_is_never_pointed_to_what_is_being_deleted(
    store: MutableStore,
) -> None:
    """The collection ends while the change is made; nothing has to be put back."""
    put_aged(store, A, 60)
    put_aged(store, B, 60)
    set_channel(store, "prod", A, by="ada")

    def collected(key: str, *_: object) -> None:
        if key.startswith(f"{PUSHED}{B}/"):
            store.delete(archive_key(B))

    acting: Any = Through(store, "put", collected)
    with pytest.raises(ArchiveMissing, match=B):
        set_channel(acting, "prod", B, by="ada")
    assert [change.hash for change in read_channel(store, "prod").changes] == [A]


@pytest.mark.parametrize("back", [False, True])
def test_what_a_channel_is_pointed_to_is_young_again(
    store: MutableStore, back: bool
) -> None:
    for name in (A, B):
        put_aged(store, name, 60)
        set_channel(store, "prod", name, by="ada")
    age(store, 60)

    if back:
        roll_back(store, "prod", by="ada")
    else:
        set_channel(store, "prod", A, by="ada")
    remove_channel(store, "prod", by="ada")

    rules = Rules(older_than=DAY, history=0)
    assert reasons(survey(store, rules, time.time())) == {A: ["pushed lately"], B: []}


def test_announcement_whose_answer_was_lost(store: MutableStore) -> None:
    """The request was repeated, and found what the first one had put there."""
    put_aged(store, A, 60)

    class Lost(Through):
        def put(self, key: str, data: BinaryIO) -> bool:
            return store.put(key, data) and key != RUNNING

    acting: Any = Lost(store, "", None)
    assert [each.hash for each in collect(acting, OLD, "ada").deleted] == [A]
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"[" * 900_000], ids=["", "list", "deep"]
)
def test_announcement_that_makes_no_sense(store: MutableStore, data: bytes) -> None:
    store.put(RUNNING, io.BytesIO(data))

    with pytest.raises(StoreUnavailable, match=r"running\.json makes no sense.*delete"):
        Announcement.read(store)


def test_who_announced_it_is_told_on_one_line(store: MutableStore) -> None:
    facts = {"token": "x", "by": "bo\nlazyimport: all is well\x1b[2J", "hashes": []}
    store.put(RUNNING, io.BytesIO(json.dumps(facts).encode()))

    with pytest.raises(StoreError, match="running") as caught:
        collect(store, OLD, "ada")
    assert str(caught.value).isprintable()


def test_who_needs_what_is_announced_waits(store: MutableStore) -> None:
    """And gives up when it takes too long, and says who and what."""
    from lazyimport.registry.gc_lock import wait_until_decided

    put_aged(store, A, 60)
    other = Announcement("theirs", "bo@laptop", frozenset([A]))
    store.put(RUNNING, io.BytesIO(other.encode()))

    assert not wait_until_decided(store, [B])
    with pytest.raises(StoreUnavailable, match=f"bo@laptop is about to delete .*{A}"):
        wait_until_decided(store, [A, B], timeout=0.1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_push_of_what_is_there_renews_it(site: Site) -> None:
    first = site.push()
    store = mutable(open_store(site.url))
    age(store, 60)

    assert site.push().kind == "present"

    assert reasons(survey(store, OLD, time.time())) == {first.hash: ["pushed lately"]}
    (renewal,) = store.list("gc/")
    assert renewal.key.startswith(f"{PUSHED}{first.hash}/")


def test_who_may_not_delete_may_push_again_and_again(site: Site) -> None:
    """The newest push counts; those before it are removed by who may."""
    name = site.push().hash
    archive = site.author.open(name)
    assert archive is not None
    store = mutable(open_store(site.url))
    age(store, 90)

    def refuse(key: str) -> None:
        raise StoreDenied("not yours", url=store.url, key=key)

    pushing: Any = Through(store, "delete", refuse)
    renewals: list[str] = []
    for days in (60, 40, 20):
        assert publish(archive, pushing, site.author).kind == "present"
        new = {item.key for item in store.list("gc/")} - {*renewals}
        renewals += new
        assert len(new) == 1
        age(store, days, renewals[-1])

    found = survey(store, OLD, NOW)
    done = collect(store, OLD, "ada")

    assert reasons(found) == {name: ["pushed lately"]}
    assert sorted(found.leftovers) == sorted(renewals[:2])
    assert (done.deleted, done.leftovers) == ([], 2)
    assert [item.key for item in store.list("gc/")] == renewals[2:]

    age(store, 50)
    assert [each.hash for each in collect(store, OLD, "ada").deleted] == [name]
    assert list(store.list("gc/")) == []


def test_push_of_a_delta_that_lost_its_base(site: Site) -> None:
    """What nobody can use is replaced by a whole archive."""
    base = site.push()
    (site.tree / "pkg/m3.py").write_text("x = 'changed'\n")
    delta = site.push()
    assert delta.kind == "delta"
    site.object(base.hash).unlink()

    assert site.push().kind == "full"

    archive, _ = site.fetch(delta.hash)
    everything(archive)


PUSHER = """
import os, sys, time
from lazyimport.cache.node import NodeCache
from lazyimport.registry.channels import remove_channel, set_channel
from lazyimport.delivery.publish import publish
from lazyimport.registry.archives import require_archive
from lazyimport.stores import mutable, open_store
from lazyimport.errors import ArchiveMissing

url, cache, stop, *hashes = sys.argv[1:]
store, node = mutable(open_store(url)), NodeCache(cache)
root = url.removeprefix("file://")
resent = put_back = 0


def two_months_go_by():
    for item in list(store.list()):
        if item.key.startswith(("archives/", "gc/pushed/")):
            try:
                os.utime(f"{root}/{item.key}", (time.time() - 5e6,) * 2)
            except FileNotFoundError:
                pass


while not os.path.exists(stop):
    for name in hashes:
        resent += publish(node.open(name), store, node).kind != "present"
        require_archive(store, name)          # what push said is true
    two_months_go_by()
    try:
        set_channel(store, "prod", hashes[-1], by="pusher")
        require_archive(store, hashes[-1])    # and so is what the channel says
        remove_channel(store, "prod", by="pusher")
    except ArchiveMissing:
        put_back += 1
    two_months_go_by()
print(resent, put_back)
"""


def test_push_and_channel_set_during_collections(site: Site) -> None:
    """Real processes: one collects all the time, one pushes what just became old."""
    base = site.push().hash
    (site.tree / "pkg/m3.py").write_text("x = 'changed'\n")
    delta = site.push()
    assert delta.kind == "delta"
    stop = site.base / "stop"
    pusher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PUSHER,
            site.url,
            site.author.path,
            str(stop),
            base,
            delta.hash,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    store = mutable(open_store(site.url))
    deleted = 0
    try:
        while pusher.poll() is None and deleted < scaled(15, 150):
            deleted += len(collect(store, OLD._replace(history=0), "ada").deleted)
    finally:
        stop.touch()
        out = pusher.communicate()[0]

    assert pusher.returncode == 0
    assert int(out.split()[0]) > 1, "nothing that was deleted was pushed again"
    assert [item.key for item in store.list(RUNNING)] == []
