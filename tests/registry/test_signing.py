"""Signatures: which archives and changes of channels they make trusted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="needs the extra 'sign'")

from lazyimport.errors import ChannelError, SignatureError
from lazyimport.registry.channels import (
    read_channel,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.layout import channel_key
from lazyimport.registry.resolution import resolve_channel
from lazyimport.registry.signing import Signer, Trusted, archive_signer, sign_archive
from lazyimport.settings import Settings
from lazyimport.stores import MutableStore, mutable, open_store
from tests.support.headers import put_header

A, B = "0a" * 32, "0b" * 32


@pytest.fixture
def store(tmp_path: Path) -> MutableStore:
    store = mutable(open_store(f"memory://{tmp_path.name}"))
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

    with pytest.raises(SignatureError, match=r"it is not signed.*--sign KEYFILE"):
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
    assert archive_signer(store, A, Trusted.parse(ours.public)) == ours.public
    with pytest.raises(SignatureError, match=f"archive {A}.*it is not signed"):
        archive_signer(store, A, Trusted.parse(theirs.public))


def test_signature_of_one_archive_is_none_of_another(
    store: MutableStore, ours: Signer
) -> None:
    sign_archive(store, A, ours)
    (item,) = store.list(f"signatures/{A}/")
    moved = item.key.replace(A, B)
    store.put(moved, io.BytesIO(store.read(item.key)))

    with pytest.raises(SignatureError, match="its signature does not hold"):
        archive_signer(store, B, Trusted.parse(ours.public))


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
        archive_signer(store, A, Trusted.parse(ours.public))


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
