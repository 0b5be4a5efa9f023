"""Opening: a store in a folder lies apart from the node cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazyimport.errors import SettingsError
from lazyimport.registry.layout import FOLDERS
from lazyimport.registry.opening import store_of
from lazyimport.settings import Settings


@pytest.mark.parametrize(
    ("store", "cache", "how"),
    [
        ("x", "x", "are one folder"),
        ("x/", "x", "are one folder"),
        ("x", "link", "are one folder"),
        ("link", "x", "are one folder"),
        ("link/../x", "x", "are one folder"),
        ("x/archives", "x", "the store is in the node cache"),
        ("link/store/code", "x", "the store is in the node cache"),
        ("x", "link/archives", "the node cache is among the objects"),
        *(("x", f"x/{name}c", "the node cache is among") for name in FOLDERS),
    ],
)
def test_one_place_is_refused(tmp_path: Path, store: str, cache: str, how: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    settings = Settings(store=f"file://{tmp_path}/{store}", cache_dir=tmp_path / cache)

    with pytest.raises(SettingsError, match=how) as caught:
        store_of(settings)

    for name in ("LAZYIMPORT_STORE", "LAZYIMPORT_CACHE_DIR", str(tmp_path / cache)):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("store", "cache"),
    [("x", "y"), ("x", "x-cache"), ("x-store", "x"), ("x", "x/cache"), ("x", "x/.c")],
)
def test_places_apart_are_fine(tmp_path: Path, store: str, cache: str) -> None:
    """Also a cache below the store: each touches only names of its own."""
    settings = Settings(store=f"file://{tmp_path}/{store}", cache_dir=tmp_path / cache)

    assert store_of(settings).url == settings.store


def test_the_root_holds_everything(tmp_path: Path) -> None:
    assert store_of(Settings(store="file:///", cache_dir=tmp_path)).url == "file:///"


def test_other_stores_have_no_folder() -> None:
    settings = Settings(store="memory://opening", cache_dir="/opening")
    assert store_of(settings).url == settings.store


def test_without_a_store_it_says_what_for() -> None:
    with pytest.raises(SettingsError, match="no store is named to push to; set LAZY"):
        store_of(Settings(), "to push to")
