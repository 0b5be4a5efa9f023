"""Resolution: a process tree of one version, and a node that knows what it saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import lazyimport
from lazyimport.errors import InstallError, SettingsError, SignatureError, StoreError
from lazyimport.registry import resolution
from lazyimport.registry.channels import set_channel
from lazyimport.settings import Settings
from lazyimport.stores import mutable, open_store, writable
from tests.delivery.test_fetch import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Two pushed versions of a tree, and a node that knows its store."""
    for name in [name for name in os.environ if name.startswith("LAZYIMPORT_")]:
        monkeypatch.delenv(name)
    site = Site(tmp_path)
    monkeypatch.setenv("LAZYIMPORT_STORE", site.url)
    monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", str(site.node))
    yield site
    lazyimport.uninstall()


def push(site: Site, text: str) -> str:
    (site.tree / "version.py").write_text(f"text = {text!r}\n")
    return site.push().hash


def aim(site: Site, hash_: str, name: str = "prod") -> None:
    set_channel(mutable(open_store(site.url)), name, hash_, by="ada")


def test_install_looks_it_up_and_says_what_it_got(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = push(site, "one")
    aim(site, wanted)
    monkeypatch.setenv("LAZYIMPORT_CHANNEL", "prod")
    caplog.set_level("INFO", logger="lazyimport")

    with lazyimport.install() as handle:
        assert (handle.hash, handle.channel) == (wanted, "prod")
        assert wanted in caplog.text
        assert "prod" in caplog.text
        assert os.environ["LAZYIMPORT_HASH"] == wanted
        assert "LAZYIMPORT_CHANNEL" not in os.environ
        assert lazyimport.install() is handle

    assert os.environ["LAZYIMPORT_CHANNEL"] == "prod"
    assert "LAZYIMPORT_HASH" not in os.environ


def test_children_are_of_the_same_version(site: Site) -> None:
    """Though the channel has moved on, and though they name it themselves."""
    first, second = push(site, "one"), push(site, "two")
    aim(site, first)
    program = (
        "import lazyimport; print(lazyimport.install(channel='prod').hash); "
        "import version; print(version.text)"
    )

    with lazyimport.install(channel="prod"):
        aim(site, second)
        child = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    alone = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert child.stdout == f"{first}\none\n"
    assert alone.stdout == f"{second}\ntwo\n"


def test_pinned_by_hash_no_channel_is_read(site: Site) -> None:
    """Not even if the store is gone, or there is no such channel."""
    wanted = push(site, "one")
    site.fetch(wanted)
    (site.base / "store").rename(site.base / "gone")

    with lazyimport.install(wanted) as handle:
        assert handle.channel is None
        assert lazyimport.install(channel="never-heard-of").hash == wanted


def test_one_process_does_not_follow_two_channels(site: Site) -> None:
    aim(site, push(site, "one"))

    with lazyimport.install(channel="prod") as handle:
        with pytest.raises(InstallError, match=r"of channel 'prod'.*channel 'test'"):
            lazyimport.install(channel="test")
        assert lazyimport.install(channel="prod") is handle
    with pytest.raises(SettingsError, match="pass one of hash, channel= and artifact="):
        lazyimport.install(handle.hash, channel="prod")


def test_offline_is_an_error_that_names_what_was_seen_last(site: Site) -> None:
    """Only the store knows where a channel points: there is no guess."""
    wanted = push(site, "one")
    aim(site, wanted)
    with lazyimport.install(channel="prod"):
        pass
    (site.base / "store").rename(site.base / "gone")

    with pytest.raises(StoreError) as caught:
        lazyimport.install(channel="prod")

    assert f"(#1), set LAZYIMPORT_HASH={wanted}" in str(caught.value)
    assert lazyimport.install(wanted).hash == wanted


def test_what_was_seen_is_recorded_for_this_user_only(site: Site) -> None:
    aim(site, push(site, "one"))
    with lazyimport.install(channel="prod") as handle:
        (seen,) = (site.node / "channels").iterdir()

    assert json.loads(seen.read_text()) == {"number": 1, "hash": handle.hash}
    assert seen.stat().st_mode & 0o777 == 0o600


def test_of_two_that_look_at_once_the_newer_change_is_recorded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has read the older one and is about to write it down is first."""
    first, second = push(site, "one"), push(site, "two")
    aim(site, first)
    program = (
        "import os; from lazyimport.settings import Settings; "
        "from lazyimport.registry.resolution import resolve_channel; "
        "print(resolve_channel(Settings.from_environ(os.environ), 'prod').hash)"
    )
    others = []

    def write(*arguments: Any, durable: bool) -> None:
        aim(site, second)
        other = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        others.append(other)
        # It waits for the lock, or has written already.
        with suppress(subprocess.TimeoutExpired):
            other.wait(timeout=3)
        kept_write(*arguments, durable=durable)

    kept_write = resolution._write
    monkeypatch.setattr(resolution, "_write", write)
    settings = Settings.from_environ(os.environ)
    assert first == resolution.resolve_channel(settings, "prod").hash
    (other,) = others

    assert f"{second}\n" == other.communicate()[0]
    (seen,) = (site.node / "channels").iterdir()
    assert json.loads(seen.read_text()) == {"number": 2, "hash": second}


def test_a_channel_is_one_however_its_store_is_spelled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    aim(site, push(site, "one"))
    folder = site.url.removeprefix("file://")
    for url in (site.url, f"{site.url}/", f"FILE://localhost/.{folder}//"):
        settings = Settings.from_environ(os.environ, store=url)
        resolution.resolve_channel(settings, "prod")

    assert 1 == len(list((site.node / "channels").iterdir()))


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_unsigned_hash_does_not_run_where_signatures_are_required(
    site: Site, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Also if the node has the archive already; and the children ask as well."""
    pytest.importorskip("cryptography", reason="needs the extra 'sign'")
    from lazyimport.registry.signer import make_key, sign_archive

    key = make_key(str(site.base / "key"))
    wanted = push(site, "one")
    monkeypatch.setenv("LAZYIMPORT_CACHE_MODE", mode)
    with lazyimport.install(wanted):
        pass
    monkeypatch.setenv("LAZYIMPORT_REQUIRE_SIGNATURE", "yes")
    with pytest.raises(SettingsError, match="LAZYIMPORT_TRUSTED_KEYS"):
        lazyimport.install(wanted)
    monkeypatch.setenv("LAZYIMPORT_TRUSTED_KEYS", key.public)
    with pytest.raises(SignatureError, match=f"archive {wanted}"):
        lazyimport.install(wanted)
    program = "import version; print(version.text)"
    child = [sys.executable, "-c", program]
    monkeypatch.setenv("LAZYIMPORT_HASH", wanted)

    failed = subprocess.run(child, capture_output=True, text=True, check=False)
    sign_archive(writable(open_store(site.url)), wanted, key)
    monkeypatch.delenv("LAZYIMPORT_HASH")
    with lazyimport.install(wanted):
        ran = subprocess.run(child, capture_output=True, text=True, check=True)

    assert "SignatureError" in failed.stderr
    assert f"archive {wanted}" in failed.stderr
    assert ran.stdout == "one\n"
    if mode != "memory":
        (site.base / "store").rename(site.base / "gone")
        with lazyimport.install(wanted):
            pass


def test_artifact_that_its_store_may_exchange(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under trusted keys it has to be named by its digest."""
    pytest.importorskip("cryptography", reason="needs the extra 'sign'")
    from lazyimport.registry.signer import make_key

    path = site.base / "app.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("app.py", "x = 1\n")
    digest = sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("LAZYIMPORT_TRUSTED_KEYS", make_key(str(site.base / "k")).public)

    with pytest.raises(SignatureError, match="#sha256="):
        lazyimport.install(artifact=f"file://{path}")
    with lazyimport.install(artifact=f"file://{path}#sha256={digest}"):
        pass
