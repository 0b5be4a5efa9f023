"""Keys: which names every store can hold."""

from __future__ import annotations

import pytest

from lazyimport.errors import SettingsError
from lazyimport.stores import check_key, open_store
from lazyimport.stores.keys import place_of
from tests.stores.suite import KEYS, NO_KEYS


@pytest.mark.parametrize("key", KEYS)
def test_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", NO_KEYS)
def test_no_keys(key: str) -> None:
    with pytest.raises(SettingsError, match="not a key") as caught:
        check_key(key)
    assert (caught.value.name, caught.value.value) == ("key", key)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("/a", "begins with a slash"),
        ("a/../b", "'..' would leave"),
        ("a\\b", "backslash"),
        ("a\0", "control character"),
        ("a//b", "between two slashes"),
        (".git", "begins with a dot"),
        ("\udc80", "UTF-8"),
        ("ä" * 121, "242 bytes long; at most 240"),
    ],
)
def test_why_it_is_no_key(key: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        check_key(key)


@pytest.mark.parametrize(
    "urls",
    [
        ("file:///a/b", "file:///a/b/", "FILE://localhost//a/./b", "file:///a/%62"),
        ("gs://a/b", "gs://a/b/", "GS://a/b//"),
        (
            "s3://a/b?endpoint=https://h.test",
            "s3://a/b/?region=x&endpoint=HTTPS://H.test:443/",
        ),
        ("s3://a", "S3://a/?region=eu-west-1&skip_signature=true"),
        ("az://a?account_name=x", "az://a/?use_emulator=false&account_name=x"),
        (
            "https://h.test/a",
            "HTTPS://H.test.:443/a/",
            "https://ada:secret@h.test/a",
        ),
    ],
)
def test_a_place_is_one_however_it_is_spelled(urls: tuple[str, ...]) -> None:
    if urls[0][:2] in {"s3", "az", "ht"}:
        pytest.importorskip("obstore", reason="needs the extra 'objects'")
    assert 1 == len({place_of(open_store(url).url) for url in urls})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///a", "file:///A"),
        ("s3://a", "s3://a?endpoint=https://h.test"),
        ("s3://a?endpoint=https://h.test", "s3://a?endpoint=http://h.test"),
        ("az://a?account_name=x", "az://a?account_name=y"),
        ("https://h.test", "https://h.test:8443"),
    ],
)
def test_other_places(one: str, other: str) -> None:
    assert place_of(one) != place_of(other)
