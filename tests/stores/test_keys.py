"""Keys: which names every store can hold."""

from __future__ import annotations

import pytest

from lazyimport.errors import SettingsError
from lazyimport.stores import check_key
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
