"""Passwords and tokens stay out of all that is shown, and are sent to one host."""

from __future__ import annotations

import io
import logging
import pickle
from pathlib import Path
from urllib.parse import quote

import pytest

from lazyimport.delivery.artifact import deliver
from lazyimport.delivery.lookup import resolve
from lazyimport.errors import LazyImportError
from lazyimport.settings import Settings
from lazyimport.stores import open_store, retry
from lazyimport.stores.artifact import Artifact
from tests.fakes import services

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Each holds parts that would be known again.
PASSWORDS = [
    "zqzq",
    "zq/zq",
    "zq@zq",
    "zq?zq",
    "zq#zq",
    "zq%zq",
    "zq%2Fzq",
    "zq:zq",
    "zq://zq",
    "zq zq",
    "zq[zq",
    "zq'zq\"zq",
    "zq\u00e9zq",
    "zq\u2100zq",
    "zq&zq=zq",
]
URLS = [
    "https://me:{}@127.0.0.1:1/code",
    "https://{}@127.0.0.1:1/code",
    "https://me:{}@127.0.0.1:1",
    "http://me:{}@127.0.0.1:1/code/app.zip",
    "https://127.0.0.1:1/code?token={}",
    "https://127.0.0.1:1/app.zip?token={}",
    "s3://key:{}@bucket/code",
    "az://me:{}@container/code",
    "gs://me:{}@bucket/code",
    "file://me:{}@host/code",
    "memory://me:{}@name",
    "ftp://me:{}@host/code",
    "me:{}@host/code",
    "s3://bucket/code?secret={}",
    "s3://bucket/code?endpoint=http://me:{}@host",
    "s3://bucket/code?endpoint=http://host?{}",
]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_MOST", 1)


def shown(error: BaseException) -> str:
    """Return all that anybody may print of *error*, whatever it was raised from."""
    texts: list[str] = []
    seen: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one not in seen:
            seen.append(one)
            texts += [str(one), repr(one), repr(vars(one)), repr(one.args)]
            left += [one.__cause__, one.__context__]
    return "\n".join(texts)


def outcome(call: Callable[[], object]) -> str:
    """Return all that is said of what *call* returns or raises, here and elsewhere."""
    try:
        return str(call())
    except LazyImportError as error:
        return shown(error) + shown(pickle.loads(pickle.dumps(error)))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("password", PASSWORDS)
def test_of_a_url(url: str, password: str, caplog: pytest.LogCaptureFixture) -> None:
    """As it is, where it should have been escaped, and escaped."""
    caplog.set_level(logging.DEBUG)
    for spelled in (password, quote(password, safe="")):
        text = url.format(spelled)
        calls: list[Callable[[], object]] = [
            lambda text=text: open_store(text, timeout=1).read("k"),  # type: ignore[misc]
            lambda text=text: Artifact(text),  # type: ignore[misc]
            lambda text=text: repr(Settings(store=text)),  # type: ignore[misc]
            lambda text=text: resolve(
                "abcdef", Settings(store=text, cache_dir="/nowhere")
            ),  # type: ignore[misc]
            lambda text=text: deliver(
                Settings(
                    artifact=text, cache_dir="/nowhere", cache_mode="memory", timeout=1
                )
            ),  # type: ignore[misc]
        ]
        for call in calls:
            said = outcome(call)
            assert "zq" not in said
    assert "zq" not in caplog.text


@pytest.mark.parametrize("variable", ["STORAGE_EMULATOR_HOST", "HTTP_PROXY"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_of_an_address_that_google_s_client_is_given(
    variable: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.cloud.storage")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://10.255.255.1:9")
    for address in (f"http://me:{password}@127.0.0.1:1", f"me:{password}@127.0.0.1:1"):
        monkeypatch.setenv(variable, address)
        with pytest.raises(LazyImportError) as caught:
            open_store("gs://bucket/code", timeout=0.2).read("k")
        assert "zq" not in shown(caught.value)


class TestRedirect:
    """``Authorization`` stays with the host that it was meant for."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    @pytest.mark.parametrize("what", ["store", "artifact"])
    def test_to_another_host(
        self, tmp_path: Path, status: int, host: str, what: str
    ) -> None:
        pytest.importorskip("obstore")
        seen: list[tuple[str, str | None]] = []

        class Other(services.Quiet):
            def instead(self) -> bool:
                seen.append(("other", self.headers.get("Authorization")))
                self.send_error(403)
                return True

        with services.web_server(tmp_path, Other) as other:
            there = other.replace("127.0.0.1", host)

            class Redirecting(services.Quiet):
                def instead(self) -> bool:
                    seen.append(("first", self.headers.get("Authorization")))
                    self.send_response(status)
                    self.send_header("Location", f"{there}/k?sig=zqzq")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return True

            with services.web_server(tmp_path, Redirecting) as url:
                address = url.replace("//", "//me:zqzq@")
                artifact = Settings(
                    artifact=f"{address}/app.zip", cache_dir=str(tmp_path / "c")
                )
                said = outcome(
                    (lambda: open_store(address).download("k", io.BytesIO()))
                    if what == "store"
                    else (lambda: deliver(artifact))
                )
        assert seen == [("first", "Basic bWU6enF6cQ=="), ("other", None)]
        assert "403" in said
        assert "zq" not in said

    def test_within_the_host(self, tmp_path: Path) -> None:
        pytest.importorskip("obstore")
        seen = []

        class Redirecting(services.Quiet):
            def instead(self) -> bool:
                seen.append((self.path, self.headers.get("Authorization")))
                if self.path != "/k":
                    return False
                self.send_response(302)
                self.send_header("Location", "/other")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return True

        (tmp_path / "other").write_bytes(b"data")
        with services.web_server(tmp_path, Redirecting) as url:
            data = open_store(url.replace("//", "//me:zqzq@")).read("k")
        assert data == b"data"
        assert seen == [("/k", "Basic bWU6enF6cQ=="), ("/other", "Basic bWU6enF6cQ==")]
