"""The layout of a store: keys of archives, of records beside them, of channels."""

from __future__ import annotations

import pytest

from lazyimport.errors import SettingsError
from lazyimport.registry.layout import (
    PROOFS,
    PUSHED,
    archive_key,
    channel_key,
    channel_of,
    provenance_key,
    recorded_hash,
    signature_key,
)

A = "0a" * 32


@pytest.mark.parametrize(
    "key",
    [
        provenance_key(A),
        signature_key(A, "0a" * 16),
        f"{PUSHED}{A}/0123456789abcdef",
        f"{PROOFS}{A}-{'0b' * 16}",
        f"{PROOFS}{A}-{'0b' * 16}-{A}",
    ],
)
def test_record_says_beside_which_archive_it_lies(key: str) -> None:
    assert recorded_hash(key) == A
    assert not key.startswith(archive_key(""))


@pytest.mark.parametrize(
    "key", [f"{PROOFS}{A}", f"{provenance_key(A)}.bak", f"{PUSHED}{A}", "notes", ""]
)
def test_what_is_no_record_lies_beside_nothing(key: str) -> None:
    assert recorded_hash(key) is None


def test_channel_and_its_key() -> None:
    assert channel_of(channel_key("prod")) == "prod"
    assert channel_of("channels/README") is None
    assert channel_of("channels/old/prod.json") is None
    assert channel_of(archive_key(A)) is None


def test_what_is_no_channel_has_no_key() -> None:
    with pytest.raises(SettingsError):
        channel_key("../prod")
