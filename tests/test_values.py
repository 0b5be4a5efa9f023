"""Values as people write them: hashes, channels, sizes, URLs."""

from __future__ import annotations

import pytest

from lazyimport.errors import SettingsError
from lazyimport.units import byte_count, utc
from lazyimport.values import (
    artifact_suffix,
    check_channel,
    check_hash,
    file_url,
    redact,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize("given", [HASH, HASH.upper(), f" {HASH}\n"])
def test_hash_as_people_paste_it(given: str) -> None:
    assert check_hash(given) == HASH


@pytest.mark.parametrize("value", [None, 7, b"0" * 64, ["0"], "", "main", HASH[1:]])
def test_what_is_no_hash(value: Any) -> None:
    with pytest.raises(SettingsError, match="64 hex digits") as caught:
        check_hash(value)
    assert (caught.value.name, caught.value.value) == ("hash", value)


@pytest.mark.parametrize("name", ["prod", "2026-11", "a.b_c-d", "abcde", "x" * 64])
def test_channel(name: str) -> None:
    assert check_channel(name) == name


@pytest.mark.parametrize("name", ["", ".prod", "a/b", "pr\u00f6d", "x" * 65, "4be8d1"])
def test_what_is_no_channel(name: str) -> None:
    with pytest.raises(SettingsError, match="LAZYIMPORT_CHANNEL"):
        check_channel(name)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("512", 512),
        ("500MB", 500 * 10**6),
        ("1.5 k", 1500),
        ("20GiB", 20 << 30),
        ("1ti", 1 << 40),
        ("off", None),
    ],
)
def test_size(text: str, count: int | None) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1", "1i", "1iB", "nan", "inf", "1PB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SettingsError, match="LAZYIMPORT_CACHE_LIMIT") as caught:
        byte_count(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("app.ZIP", ".zip"), ("app-1.tar.gz", ".tar.gz"), ("app.tar", ""), ("zip", "")],
)
def test_suffix_of_an_artifact(name: str, suffix: str) -> None:
    assert artifact_suffix(name) == suffix


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-(2.0**62), "1000-01-01T00:00:00Z"),
        (2.0**62, "9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_one_whatever_a_file_system_says(seconds: float, text: str) -> None:
    assert text == utc(seconds)


def test_url_of_a_path() -> None:
    assert file_url("/a/100% b") == "file:///a/100%25 b"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("gs://bucket/prefix", "gs://bucket/prefix"),
        ("gs://bucket/a@b", "gs://bucket/a@b"),
        ("file:///a@b", "file:///a@b"),
        ("https://me:secret@host/a?sig=secret", "https://host/a"),
        ("https://me:secret@host/a@b?sig=secret", "https://***@b"),
        ("https://secret@host", "https://host"),
        ("https://me:sec/ret@host/a", "https://***@host/a"),
        ("https://sec/ret@host/a", "https://***@host/a"),
        ("https://me:sec?ret@host/a", "https://***"),
        ("https://host/a?sig=sec@ret", "https://***"),
        ("https://me:sec#ret@host/a", "https://host/a"),
        ("https://me:sec%ret@host/a", "https://host/a"),
        ("https://me:s\u00e9cret@host/a", "https://host/a"),
        ("https://me:sec://ret@host/a", "https://***@host/a"),
        ("s3://key:sec@ret@bucket", "s3://bucket"),
        ("s3://key:sec/ret@bucket", "s3://***@bucket"),
        ("s3://bucket/a?endpoint=http://me:secret@host", "s3://bucket/a"),
        ("me:secret@host/a", "host/a"),
        ("plain", "plain"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown
