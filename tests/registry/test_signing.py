"""Signatures: which archives and changes of channels they make trusted."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("cryptography", reason="needs the extra 'sign'")

from lazyimport.errors import ChannelError, SettingsError, SignatureError
from lazyimport.registry.channels import (
    read_channel,
    refresh_channel,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.layout import channel_key
from lazyimport.registry.resolution import require_signature, resolve_channel
from lazyimport.registry.signer import Signer, sign_archive
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.stores import MutableStore, mutable, open_store
from tests.support.headers import put_header

A, B, C = "0a" * 32, "0b" * 32, "0c" * 32


@pytest.fixture
def store() -> MutableStore:
    store = mutable(open_store(f"memory://{uuid4().hex}"))
    put_header(store, A)
    put_header(store, B)
    return store


def settings(
    store: MutableStore, tmp_path: Path, trusted: str | None, cache_mode: str = "raw"
) -> Settings:
    return Settings(
        store=store.url,
        cache_dir=str(tmp_path / "cache"),
        cache_mode=cache_mode,
        trusted_keys=trusted,
    )


def rewrite(store: MutableStore, key: str, facts: object) -> None:
    """Do what anybody can who may write to the store."""
    _, version = store.read_versioned(key)
    assert store.replace(key, json.dumps(facts).encode(), version)


def facts_of(store: MutableStore, name: str = "prod") -> Any:
    return json.loads(store.read(channel_key(name)))


def test_signed_channel_is_followed(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    asks = settings(store, tmp_path, ours.public)

    set_channel(store, "prod", A, by="ada", signer=ours)
    assert resolve_channel(asks, "prod").hash == A
    set_channel(store, "prod", B, by="ada", message="größer", signer=ours)
    assert resolve_channel(asks, "prod").hash == B
    roll_back(store, "prod", by="ada", signer=ours)
    assert resolve_channel(asks, "prod").hash == A


def test_unsigned_channel_is_refused_where_keys_are_set(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="ada")

    with pytest.raises(SignatureError, match=r"it is not signed.*--sign KEY"):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")
    assert resolve_channel(Settings(store=store.url), "prod").hash == A

    set_channel(store, "prod", A, by="ada", signer=ours)
    assert read_channel(store, "prod").newest.number == 2
    asks = settings(store, tmp_path, ours.public)
    assert resolve_channel(asks, "prod").hash == A


def test_another_key_does_not_count(
    store: MutableStore, ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="eve", signer=theirs)

    with pytest.raises(SignatureError, match=r"it is signed with SHA256:\S+ only"):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")
    both = f"{ours.public}\n{theirs.public}"
    assert resolve_channel(settings(store, tmp_path, both), "prod").hash == A


def test_not_all_keys_are_named_that_somebody_added(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="eve")
    facts = facts_of(store)
    added = [{"key": f"key {number}\n", "signature": ""} for number in range(9999)]
    facts["changes"][0]["signatures"] = added
    rewrite(store, channel_key("prod"), facts)

    with pytest.raises(SignatureError, match="and 9996 more only") as caught:
        resolve_channel(settings(store, tmp_path, ours.public), "prod")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["hash", "number", "by", "message", "at", "extra"])
def test_no_fact_of_a_change_can_be_altered(
    store: MutableStore, ours: Signer, tmp_path: Path, name: str
) -> None:
    set_channel(store, "prod", A, by="ada", message="why", signer=ours)
    facts = facts_of(store)
    facts["changes"][0][name] = {"hash": B, "number": 2}.get(name, "altered")
    rewrite(store, channel_key("prod"), facts)

    with pytest.raises(SignatureError, match="its signature does not hold"):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")


def test_state_of_one_channel_is_none_of_another(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    """Somebody copies what is signed for `test` to `prod`."""
    set_channel(store, "test", A, by="ada", signer=ours)
    facts = {**facts_of(store, "test"), "channel": "prod"}
    store.put(channel_key("prod"), io.BytesIO(json.dumps(facts).encode()))

    with pytest.raises(SignatureError, match="its signature does not hold"):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")


def test_older_state_is_refused_by_a_node_that_saw_a_newer_one(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    old = facts_of(store)
    set_channel(store, "prod", B, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public)
    resolve_channel(asks, "prod")
    rewrite(store, channel_key("prod"), old)

    with pytest.raises(SignatureError, match=rf"at #1 \({A}\).*seen #2 \({B}\)"):
        resolve_channel(asks, "prod")


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_older_state_is_refused_in_every_cache_mode(
    store: MutableStore, ours: Signer, tmp_path: Path, mode: str
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    old = facts_of(store)
    set_channel(store, "prod", B, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public, cache_mode=mode)
    resolve_channel(asks, "prod")
    rewrite(store, channel_key("prod"), old)

    with pytest.raises(SignatureError, match="somebody put an older state back"):
        resolve_channel(asks, "prod")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "{}",
            "[" * 99999,
            '{"number": 2}',
            '{"number": 2, "hash": 2}',
        ),
        *('{"number": "2", "hash": null}', '{"number": 0, "hash": null}'),
    ],
    ids=range(9),
)
@pytest.mark.parametrize("minimum", [0, 1])
def test_a_damaged_memory_is_refused_before_it_is_forgotten(
    store: MutableStore, ours: Signer, tmp_path: Path, text: str, minimum: int
) -> None:
    """Who may write to the store waits for that; an operator decides."""
    set_channel(store, "prod", A, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public).replaced(channel_minimum=minimum)
    resolve_channel(asks, "prod")
    (memory,) = tmp_path.glob("cache/channels/*.signed.json")
    memory.write_text(text)

    with pytest.raises(SignatureError, match="older state back unnoticed") as caught:
        resolve_channel(asks, "prod")
    assert f"{memory}, where this node records" in str(caught.value)
    assert str(caught.value).endswith("and delete the file")
    assert memory.read_text() == text
    memory.unlink()
    memory.mkdir()
    with pytest.raises(SignatureError, match="cannot be read"):
        resolve_channel(asks, "prod")
    memory.rmdir()
    assert resolve_channel(asks, "prod").hash == A


def test_damage_where_no_key_is_trusted_is_no_error(
    store: MutableStore, tmp_path: Path
) -> None:
    """It is a help there, and no more."""
    set_channel(store, "prod", A, by="ada")
    asks = settings(store, tmp_path, None)
    resolve_channel(asks, "prod")
    (memory,) = tmp_path.glob("cache/channels/*.json")
    memory.write_text("{")

    assert resolve_channel(asks, "prod").hash == A
    assert json.loads(memory.read_text()) == {"number": 1, "hash": A}


@pytest.mark.parametrize("mode", ["raw", "memory"])
def test_a_memory_that_cannot_be_written_is_refused(
    store: MutableStore, ours: Signer, tmp_path: Path, mode: str
) -> None:
    """Unless somebody says what the channel must not fall below."""
    set_channel(store, "prod", A, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public, cache_mode=mode)
    nowhere = asks.replaced(cache_dir="/proc/none/cache")

    with pytest.raises(SignatureError, match=r"cannot be written.*CHANNEL_MINIMUM=1"):
        resolve_channel(nowhere, "prod")
    known = nowhere.replaced(channel_minimum=1)
    assert resolve_channel(known, "prod").hash == A
    assert resolve_channel(nowhere.replaced(trusted_keys=None), "prod").hash == A


@pytest.mark.parametrize("minimum", [0, 1])
def test_a_memory_that_others_could_change_counts_no_more(
    store: MutableStore, ours: Signer, tmp_path: Path, minimum: int
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public).replaced(channel_minimum=minimum)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)

    if minimum:
        assert resolve_channel(asks, "prod").hash == A
    else:
        with pytest.raises(SignatureError, match=r"cannot be looked up \(.*/cache"):
            resolve_channel(asks, "prod")


def test_what_is_known_already_needs_no_writing(
    store: MutableStore,
    ours: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cache in an image, on a read-only file system."""
    set_channel(store, "prod", A, by="ada", signer=ours)
    asks = settings(store, tmp_path, ours.public)
    resolve_channel(asks, "prod")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("lazyimport.registry.resolution.AtomicFile", refuse)
    assert resolve_channel(asks, "prod").hash == A
    set_channel(store, "prod", B, by="ada", signer=ours)
    with pytest.raises(SignatureError, match=r"cannot be written \(Read-only"):
        resolve_channel(asks, "prod")


def test_removal_is_remembered(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    """The archive was bad: who can write to the store cannot bring it back."""
    set_channel(store, "prod", A, by="ada", signer=ours)
    old = facts_of(store)
    asks = settings(store, tmp_path, ours.public)
    remove_channel(store, "prod", by="ada", signer=ours)
    with pytest.raises(ChannelError, match="was removed"):
        resolve_channel(asks, "prod")
    rewrite(store, channel_key("prod"), old)

    with pytest.raises(SignatureError, match="its removal"):
        resolve_channel(asks, "prod")


def test_what_an_unsigned_process_was_told_does_not_count(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    """Else one forged number would keep signed processes from the true state."""
    set_channel(store, "prod", A, by="ada", signer=ours)
    true = facts_of(store)
    forged = {**true, "changes": [{**true["changes"][0], "number": 10**6}]}
    rewrite(store, channel_key("prod"), forged)
    resolve_channel(settings(store, tmp_path, None), "prod")
    rewrite(store, channel_key("prod"), true)

    change = resolve_channel(settings(store, tmp_path, ours.public), "prod")

    assert change.hash == A


def test_removal_counts_only_if_signed(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    remove_channel(store, "prod", by="eve")

    with pytest.raises(SignatureError, match="not signed"):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")


@pytest.mark.parametrize(
    "signatures",
    [[{}], [{"key": 7, "signature": 7}], [None], "text", {"key": "x"}, 7],
    ids=repr,
)
def test_signatures_that_cannot_be_read(
    store: MutableStore, ours: Signer, tmp_path: Path, signatures: object
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    facts = facts_of(store)
    facts["changes"][0]["signatures"] = signatures
    rewrite(store, channel_key("prod"), facts)

    with pytest.raises(SignatureError):
        resolve_channel(settings(store, tmp_path, ours.public), "prod")


def test_archive_is_signed_beside_itself(
    store: MutableStore, ours: Signer, theirs: Signer
) -> None:
    assert sign_archive(store, A, ours)
    assert not sign_archive(store, A, ours)

    keys = [item.key for item in store.list("signatures/")]
    assert [key.startswith(f"signatures/{A}/") for key in keys] == [True]
    assert Trusted.parse(ours.public).check_archive(store, A)["key"] == ours.public
    with pytest.raises(SignatureError, match=f"archive {A}.*it is not signed"):
        Trusted.parse(theirs.public).check_archive(store, A)


def test_signature_of_one_archive_is_none_of_another(
    store: MutableStore, ours: Signer
) -> None:
    sign_archive(store, A, ours)
    (item,) = store.list(f"signatures/{A}/")
    moved = item.key.replace(A, B)
    store.put(moved, io.BytesIO(store.read(item.key)))

    with pytest.raises(SignatureError, match="its signature does not hold"):
        Trusted.parse(ours.public).check_archive(store, B)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"7", b'{"signature": "?"}', b"[" * 60_000],
    ids=["empty", "object", "number", "text", "deep"],
)
def test_damaged_signature_counts_for_nothing(
    store: MutableStore, ours: Signer, content: bytes
) -> None:
    sign_archive(store, A, ours)
    (item,) = store.list(f"signatures/{A}/")
    store.delete(item.key)
    store.put(item.key, io.BytesIO(content))

    with pytest.raises(SignatureError):
        Trusted.parse(ours.public).check_archive(store, A)


def test_with_trusted_keys_only_signed_archives_get_a_channel(
    store: MutableStore, ours: Signer
) -> None:
    trusted = Trusted.parse(ours.public)

    with pytest.raises(SignatureError, match=f"archive {A}"):
        set_channel(store, "prod", A, by="ada", signer=ours, trusted=trusted)
    sign_archive(store, A, ours)
    set_channel(store, "prod", A, by="ada", signer=ours, trusted=trusted)
    sign_archive(store, B, ours)
    set_channel(store, "prod", B, by="ada", signer=ours, trusted=trusted)
    store.delete(next(iter(store.list(f"signatures/{A}/"))).key)

    with pytest.raises(SignatureError, match=f"archive {A}"):
        roll_back(store, "prod", by="ada", signer=ours, trusted=trusted)


@pytest.mark.parametrize("who", [None, "theirs"])
def test_no_change_is_written_that_no_trusted_key_signs(
    store: MutableStore, ours: Signer, theirs: Signer, who: str | None
) -> None:
    """Else nobody could use the channel, and rolling back again would go forward."""
    trusted = Trusted.parse(ours.public)
    for name in (A, B):
        sign_archive(store, name, ours)
        set_channel(store, "prod", name, by="ada", valid_for=60, signer=ours)
    before = facts_of(store)
    wrong: Any = {"signer": theirs if who else None, "trusted": trusted}

    changes: list[Any] = [
        lambda: roll_back(store, "prod", by="ada", **wrong),
        lambda: set_channel(store, "prod", A, by="ada", **wrong),
        lambda: refresh_channel(store, "prod", **wrong),
        lambda: remove_channel(store, "prod", by="ada", **wrong),
        lambda: set_channel(store, "new", A, by="ada", **wrong),
    ]
    for change in changes:
        with pytest.raises(SignatureError, match=r"nothing was changed: .*--sign KEY"):
            change()
    assert facts_of(store) == before
    assert roll_back(store, "prod", by="ada", signer=ours, trusted=trusted).hash == A


# -- what stands in a history ------------------------------------------------


def plant(store: MutableStore, number: int, place: int, **facts: Any) -> None:
    """Put a change into the history of `prod`, as whoever may write to the store."""
    object_ = facts_of(store)
    change = {"number": number, "hash": B, "at": "2026-11-22T20:07:31Z", **facts}
    object_["changes"].insert(place, change)
    rewrite(store, channel_key("prod"), object_)


def test_rollback_signs_nothing_that_was_planted(
    store: MutableStore, ours: Signer
) -> None:
    """Two versions of ours, and the attacker's between and above them."""
    put_header(store, C)
    set_channel(store, "prod", A, by="ada", message="first", signer=ours)
    remove_channel(store, "prod", by="ada", signer=ours)
    set_channel(store, "prod", C, by="ada", signer=ours)
    plant(store, 2, 1, by="ada", signatures=facts_of(store)["changes"][1]["signatures"])
    facts = facts_of(store)
    del facts["changes"][2]  # the true #2
    rewrite(store, channel_key("prod"), facts)

    for to in (2, B):
        with pytest.raises(
            SignatureError, match=r"#2 of channel 'prod'.*does not hold"
        ):
            roll_back(store, "prod", to, by="ada", signer=ours)
    channel = roll_back(store, "prod", by="ada", signer=ours)

    assert (channel.hash, channel.newest.message) == (A, "rollback to #1")


def test_rollback_from_what_was_planted_goes_to_what_was_true(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    plant(store, 7, 0, commit="1111", message="x", signatures=[{"key": ours.public}])

    channel = roll_back(store, "prod", by="ada", signer=ours)

    assert (channel.hash, channel.newest.commit, channel.newest.number) == (A, "", 8)
    resolved = resolve_channel(settings(store, tmp_path, ours.public), "prod")
    assert resolved.hash == A


@pytest.mark.parametrize("planted", [(A,), (A, B)])
def test_what_was_planted_does_not_say_where_a_rollback_goes(
    store: MutableStore, ours: Signer, planted: tuple[str, ...]
) -> None:
    """It goes back to what nodes took last, whichever archive was planted."""
    for hash in (A, B):
        sign_archive(store, hash, ours)
        set_channel(store, "prod", hash, by="ada", signer=ours)
    for hash in planted:
        set_channel(store, "prod", hash, by="eve")

    trusted = Trusted.parse(ours.public)
    channel = roll_back(store, "prod", by="ada", signer=ours, trusted=trusted)
    assert channel.hash == B


def test_rollback_under_trusted_keys_heeds_them_and_not_the_signer(
    store: MutableStore, ours: Signer, theirs: Signer
) -> None:
    """Who signs with a key that is not trusted makes nothing trusted of it."""
    trusted = Trusted.parse(ours.public)
    sign_archive(store, A, ours)
    set_channel(store, "prod", A, by="eve", signer=theirs)
    set_channel(store, "prod", B, by="eve", signer=theirs)

    with pytest.raises(SignatureError, match="#1 of channel"):
        roll_back(store, "prod", by="ada", signer=theirs, trusted=trusted)
    with pytest.raises(SignatureError, match="#1 of channel"):
        roll_back(store, "prod", by="ada", trusted=trusted)


def test_unsigned_rollback_is_as_free_as_ever(store: MutableStore) -> None:
    set_channel(store, "prod", A, by="ada")
    plant(store, 2, 0)

    assert roll_back(store, "prod", by="ada").hash == A


def test_what_only_looks_signed_is_signed_when_it_is_set(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    set_channel(store, "prod", A, by="ada", signer=ours)
    plant(store, 2, 0, hash=A, signatures=[{"key": ours.public, "signature": "AAAA"}])

    assert set_channel(store, "prod", A, by="ada", signer=ours).newest.number == 3
    asks = settings(store, tmp_path, ours.public)
    assert resolve_channel(asks, "prod").hash == A
    plant(store, 4, 0, hash=None, signatures=[{"key": ours.public}])
    removed = remove_channel(store, "prod", by="ada", signer=ours)
    assert removed.newest.number == 5


def test_numbers_that_no_change_reaches(store: MutableStore) -> None:
    set_channel(store, "prod", A, by="ada")
    plant(store, 2**60, 0)

    with pytest.raises(ChannelError, match="not in order"):
        set_channel(store, "prod", A, by="ada")


def test_numbers_of_planted_changes_take_none_away(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    """Else the next number, that of what is signed, is one that nobody can read."""
    trusted, asks = Trusted.parse(ours.public), settings(store, tmp_path, ours.public)
    for name in (A, B):
        sign_archive(store, name, ours)
    set_channel(store, "prod", A, by="ada", signer=ours, trusted=trusted)
    facts = facts_of(store)
    facts["changes"].insert(0, {**facts["changes"][0], "number": 2**53 - 1, "hash": B})
    rewrite(store, channel_key("prod"), facts)

    set_channel(store, "prod", B, by="ada", signer=ours, trusted=trusted)

    assert [change.number for change in read_channel(store, "prod").changes] == [2, 1]
    assert resolve_channel(asks, "prod").hash == B


def test_no_number_is_left(store: MutableStore) -> None:
    set_channel(store, "prod", A, by="ada")
    facts = facts_of(store)
    facts["changes"][0]["number"] = 2**53 - 1
    rewrite(store, channel_key("prod"), facts)

    with pytest.raises(
        ChannelError, match=r"nothing was changed: .*delete channels/prod"
    ):
        set_channel(store, "prod", B, by="ada")
    assert read_channel(store, "prod").hash == A


def test_something_else_in_the_place_of_a_signature(
    store: MutableStore, ours: Signer
) -> None:
    """A push must not believe that it has signed."""
    sign_archive(store, A, ours)
    (item,) = store.list(f"signatures/{A}/")
    store.delete(item.key)
    store.put(item.key, io.BytesIO(b'{"signature": "AAAA"}'))

    with pytest.raises(SignatureError, match=f"{item.key} is not the signature"):
        sign_archive(store, A, ours)


# -- expiry ------------------------------------------------------------------


def expire(monkeypatch: pytest.MonkeyPatch, later: float) -> None:
    """Let it be so many seconds later."""
    now = time.time() + later
    monkeypatch.setattr("lazyimport.registry.channel.time.time", lambda: now)


def test_channel_that_nobody_refreshes_expires(
    store: MutableStore, ours: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = settings(store, tmp_path, ours.public)
    set_channel(store, "prod", A, by="ada", message="m", valid_for=60, signer=ours)
    frozen = facts_of(store)
    assert resolve_channel(asks, "prod").hash == A

    expire(monkeypatch, 61)
    with pytest.raises(ChannelError, match=r"expired at 20.*channel refresh prod"):
        resolve_channel(asks, "prod")
    refreshed = refresh_channel(store, "prod", signer=ours)

    assert resolve_channel(asks, "prod").hash == A
    newest = refreshed.newest
    assert (newest.number, newest.valid_for, newest.message) == (2, 60, "m")
    assert newest.at == frozen["changes"][0]["at"]
    assert len(refreshed.changes) == 1  # a history is for what was deployed
    rewrite(store, channel_key("prod"), frozen)
    with pytest.raises(SignatureError, match="an older state back"):
        resolve_channel(asks, "prod")


def test_setting_what_has_expired_refreshes_it(
    store: MutableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a push that gives the expiry each time: a history is of other archives."""
    set_channel(store, "prod", A, by="ada", message="m", valid_for=60)
    assert not set_channel(store, "prod", A, by="ada").changed
    expire(monkeypatch, 61)

    channel = set_channel(store, "prod", A, by="ada", message="again")
    assert (channel.changed, channel.newest.number) == (True, 2)
    assert resolve_channel(Settings(store=store.url), "prod").hash == A
    channel = set_channel(store, "prod", A, by="ci", valid_for=90)
    assert [(c.number, c.valid_for, c.message) for c in channel.changes] == [
        (3, 90, "m")
    ]


def test_expiry_is_checked_without_keys_too(
    store: MutableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_channel(store, "prod", A, by="ada", valid_for=60)
    expire(monkeypatch, 61)

    with pytest.raises(ChannelError, match="expired"):
        resolve_channel(Settings(store=store.url), "prod")


def test_later_changes_expire_as_the_one_before(
    store: MutableStore, ours: Signer
) -> None:
    """Else a push that does not say so ends what an operator has set up."""
    set_channel(store, "prod", A, by="ada", valid_for=60, signer=ours)
    plant(store, 2, 0)  # unsigned, and does not expire

    assert set_channel(store, "prod", B, by="ci", signer=ours).newest.valid_for == 60
    assert roll_back(store, "prod", by="ci", signer=ours).newest.expires
    assert not remove_channel(store, "prod", by="ci", signer=ours).newest.expires
    set_channel(store, "prod", B, by="ci", valid_for=90, signer=ours)
    never = set_channel(store, "prod", B, by="ci", valid_for=0, signer=ours)
    assert (never.newest.valid_for, never.newest.expires) == (0, "")
    assert set_channel(store, "prod", A, by="ci", signer=ours).newest.expires == ""


def test_refresh_signs_nothing_that_was_planted(
    store: MutableStore, ours: Signer
) -> None:
    set_channel(store, "prod", A, by="ada", valid_for=60, signer=ours)
    plant(store, 2, 0, valid_for=60, expires="2090-01-01T00:00:00Z")

    with pytest.raises(SignatureError, match="#2 of channel 'prod'"):
        refresh_channel(store, "prod", signer=ours)
    assert facts_of(store)["changes"][0]["number"] == 2


def test_nothing_to_refresh(store: MutableStore) -> None:
    with pytest.raises(ChannelError, match="no channel"):
        refresh_channel(store, "prod")
    set_channel(store, "prod", A, by="ada")
    with pytest.raises(ChannelError, match="does not expire"):
        refresh_channel(store, "prod")
    assert refresh_channel(store, "prod", 60).newest.valid_for == 60
    remove_channel(store, "prod", by="ada")
    with pytest.raises(ChannelError, match="was removed"):
        refresh_channel(store, "prod", 60)


@pytest.mark.parametrize(
    "facts",
    [
        {"expires": "2026-12-22T20:07:31Z"},
        {"valid_for": 60},
        {"valid_for": 60, "expires": "soon"},
        {"valid_for": 60, "expires": "2026-1-2T20:07:31Z"},
        {"valid_for": -1, "expires": "2026-12-22T20:07:31Z"},
        {"valid_for": 10**12, "expires": "2026-12-22T20:07:31Z"},
        {"valid_for": [], "expires": 7},
        {"valid_for": 1.5, "expires": "2026-12-22T20:07:31Z"},
        {"valid_for": float("inf"), "expires": "2026-12-22T20:07:31Z"},
    ],
    ids=str,
)
def test_expiry_that_makes_no_sense(
    store: MutableStore, facts: dict[str, object]
) -> None:
    set_channel(store, "prod", A, by="ada")
    plant(store, 2, 0, **facts)

    with pytest.raises(ChannelError, match="no channel that lazyimport wrote"):
        read_channel(store, "prod")


@pytest.mark.parametrize("signed", [False, True])
def test_fresh_node_can_be_told_the_lowest_number(
    store: MutableStore, ours: Signer, tmp_path: Path, signed: bool
) -> None:
    signer = ours if signed else None
    set_channel(store, "prod", A, by="ada", signer=signer)
    old = facts_of(store)
    set_channel(store, "prod", B, by="ada", signer=signer)
    keys = ours.public if signed else None
    asks = settings(store, tmp_path, keys).replaced(channel_minimum=2)
    rewrite(store, channel_key("prod"), old)

    with pytest.raises(SignatureError, match=r"at #1.*nothing below #2"):
        resolve_channel(asks, "prod")
    assert resolve_channel(asks.replaced(channel_minimum=1), "prod").hash == A


# -- signatures for plain hashes ---------------------------------------------


def test_required_signature_is_asked_for_once(
    store: MutableStore, ours: Signer, theirs: Signer, tmp_path: Path
) -> None:
    asks = settings(store, tmp_path, ours.public)
    with pytest.raises(SignatureError, match=f"archive {A}.*it is not signed"):
        require_signature(asks, A)
    sign_archive(store, A, ours)
    require_signature(asks, A)
    for item in list(store.list("signatures/")):
        store.delete(item.key)

    require_signature(asks, A)  # from the node cache
    with pytest.raises(SignatureError):
        require_signature(asks, B)
    (kept,) = (tmp_path / "cache/signatures").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    (tmp_path / f"cache/signatures/{B}.json").write_text(kept.read_text())
    with pytest.raises(SignatureError, match=f"archive {B}"):
        require_signature(asks, B)
    with pytest.raises(SignatureError, match=f"archive {A}"):
        require_signature(asks.replaced(trusted_keys=theirs.public), A)
    kept.write_text("[")
    with pytest.raises(SignatureError, match=f"archive {A}"):
        require_signature(asks, A)


def test_memory_mode_keeps_no_signature(
    store: MutableStore, ours: Signer, tmp_path: Path
) -> None:
    sign_archive(store, A, ours)
    require_signature(settings(store, tmp_path, ours.public, "memory"), A)

    assert not (tmp_path / "cache").exists()


def test_required_signature_and_nobody_who_is_trusted(
    store: MutableStore, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="set LAZYIMPORT_TRUSTED_KEYS"):
        require_signature(settings(store, tmp_path, None), A)
