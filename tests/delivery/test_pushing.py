"""`push`: one call from roots to an archive in a store, without a word printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazyimport.delivery import push
from lazyimport.errors import ChannelError, DamagedArchive, SettingsError, StoreError
from lazyimport.packing import PackOptions, pack
from lazyimport.registry.channels import read_channel
from lazyimport.registry.provenance import read_provenance
from lazyimport.settings import Settings
from lazyimport.stores import open_store
from tests.support.compare_importers import write_tree
from tests.support.containers import make_container
from tests.support.recorder import Recorder

FILES = {"shop/__init__.py": "", "shop/prices.py": "price = 3\n"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=f"file://{tmp_path}/store", cache_dir=tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(FILES, tmp_path / "tree")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Where the store has its archives."""
    return tmp_path / "store/archives"


def test_returns_what_it_did_and_prints_nothing(
    tree: Path, settings: Settings, stored: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reporter = Recorder()

    pushed = push([tree], settings, PackOptions(jobs=1), reporter=reporter)
    again = push([tree], settings)

    assert [path.name for path in stored.iterdir()] == [pushed.hash]
    assert pushed.store == settings.store
    assert pushed.packed is not None
    assert pushed.packed.hash == pushed.published.hash == pushed.hash
    assert (pushed.published.kind, again.published.kind) == ("full", "present")
    assert pushed.channel is None
    assert any(text.startswith("sending ") for text, *_ in reporter.steps)
    assert capfd.readouterr() == ("", "")


def test_the_next_push_sends_the_difference(tree: Path, settings: Settings) -> None:
    (tree / "shop/table.py").write_text("".join(f"n{n} = {n}\n" for n in range(9000)))
    first = push([tree], settings)
    (tree / "shop/prices.py").write_text("price = 4\n")

    second = push([tree], settings)

    assert (second.published.kind, second.published.base) == ("delta", first.hash)


def test_a_store_that_is_open_already_is_the_one(
    tree: Path, settings: Settings, tmp_path: Path, stored: Path
) -> None:
    other = open_store(f"file://{tmp_path}/other")

    pushed = push([tree], settings, store=other)

    assert (pushed.store, stored.exists()) == (other.url, False)
    assert (tmp_path / "other/archives" / pushed.hash).exists()


class TestCheck:
    def test_comes_before_anything_is_sent(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        seen = []

        def check(hash: str) -> None:
            seen.append((hash, (tmp_path / "cache/archives" / hash).exists()))
            assert not (tmp_path / "store").exists()

        pushed = push([tree], settings, check=check)

        assert seen == [(pushed.hash, True)]

    def test_stops_the_push(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        def check(hash: str) -> None:
            raise ZeroDivisionError(hash)

        with pytest.raises(ZeroDivisionError):
            push([tree], settings, check=check)
        assert not (tmp_path / "store").exists()


class TestFileOfAnArchive:
    def test_is_pushed_as_it_is(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        packed = pack([tree], settings)
        packed.save(str(tmp_path / "code.lza"))
        elsewhere = Settings(store=settings.store, cache_dir=tmp_path / "elsewhere")

        pushed = push([tmp_path / "code.lza"], elsewhere)

        assert (pushed.hash, pushed.packed) == (packed.hash, None)

    def test_is_pushed_alone(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        pack([tree], settings).save(str(tmp_path / "code.lza"))

        with pytest.raises(SettingsError, match="push it alone") as caught:
            push([tree, tmp_path / "code.lza"], settings)
        assert caught.value.name == "roots"

    def test_that_is_damaged(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        path = tmp_path / "code.lza"
        pack([tree], settings).save(str(path))
        data = bytearray(path.read_bytes())
        data[300] ^= 0xFF
        path.write_bytes(data)

        with pytest.raises(DamagedArchive, match="copy the file again"):
            push([path], settings)


def test_an_artifact(settings: Settings, tmp_path: Path, stored: Path) -> None:
    pushed = push([make_container(FILES, tmp_path / "app.zip")], settings)

    assert (stored / pushed.hash).exists()


def test_provenance_needs_the_environment(tree: Path, settings: Settings) -> None:
    store = open_store(str(settings.store))
    pushed = push([tree], settings)
    before = read_provenance(store, pushed.hash)
    push([tree], settings, environ={"CI_JOB_URL": "https://ci.example/1"})
    after = read_provenance(store, pushed.hash)

    assert before == {}
    assert (after["builder"], after["roots"]) == ("https://ci.example/1", [str(tree)])


def test_provenance_that_cannot_be_kept_is_a_warning(
    tree: Path, settings: Settings, tmp_path: Path, stored: Path
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/provenance").write_text("a file in the way")
    reporter = Recorder()

    pushed = push([tree], settings, environ={}, reporter=reporter)

    assert (stored / pushed.hash).exists()
    (warning,) = reporter.warnings
    assert warning.startswith("the archive is there, its provenance is not: ")


class TestChannel:
    def test_points_to_the_archive(self, tree: Path, settings: Settings) -> None:
        environ = {"CI_JOB_URL": "https://ci.example/1"}
        pushed = push([tree], settings, channel="prod", message="why", environ=environ)

        change = read_channel(open_store(str(settings.store)), "prod").newest
        assert pushed.channel is not None
        assert pushed.channel.newest.facts == change.facts
        assert (change.hash, change.message) == (pushed.hash, "why")
        assert change.by == "https://ci.example/1"

    def test_with_a_bad_name_nothing_is_sent(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        with pytest.raises(SettingsError, match="not the name of a channel"):
            push([tree], settings, channel="a b")
        assert not (tmp_path / "store").exists()

    def test_that_cannot_be_read_is_an_error(
        self, tree: Path, settings: Settings, tmp_path: Path
    ) -> None:
        (tmp_path / "store/channels").mkdir(parents=True)
        (tmp_path / "store/channels/prod.json").write_text("{}")

        with pytest.raises(ChannelError, match="delete it there"):
            push([tree], settings, channel="prod")


def test_signature(tree: Path, settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="needs the extra 'sign'")
    from lazyimport.registry.signer import make_key
    from lazyimport.registry.signing import Trusted

    signer = make_key(str(tmp_path / "key"))
    pushed = push([tree], settings, signer=signer, channel="prod")

    trusted = Trusted.parse(signer.public)
    store = open_store(str(settings.store))
    assert trusted.check_archive(store, pushed.hash)["key"] == signer.public
    assert pushed.channel is not None
    assert [one["key"] for one in pushed.channel.newest.signatures] == [signer.public]


def test_no_store(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pass store=") as caught:
        push([tree], Settings(cache_dir=tmp_path / "cache"))
    assert caught.value.name == "store"
    assert not (tmp_path / "cache").exists()


def test_a_store_that_refuses(tree: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file in the way")

    with pytest.raises(StoreError):
        push([tree], settings)
