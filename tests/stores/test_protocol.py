"""Items, URLs, and what importing stores costs."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import pytest

from lazyimport.errors import SettingsError
from lazyimport.stores import Item, ReadStore, Store, mutable, open_store, writable
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

#: Modules that nothing of ours may load before it needs them.
HEAVY = {
    "dataclasses",
    "google",
    "http.client",
    "json",
    "logging",
    "obstore",
    "pathlib",
    "shutil",
    "tempfile",
    "typing",
    "urllib.parse",
}


def test_an_item_is_a_value() -> None:
    item = Item("k", 3, 1.5)
    assert item == Item("k", 3, 1.5)
    assert item != Item("k", 4, 1.5)
    assert item != ("k", 3, 1.5)
    assert hash(item) == hash(Item("k", 3, 1.5))
    assert pickle.loads(pickle.dumps(item)) == item
    assert repr(item) == "Item(key='k', size=3, modified=1.5, version='')"
    with pytest.raises(AttributeError, match="immutable"):
        item.size = 4
    with pytest.raises(AttributeError, match="immutable"):
        del item.size
    assert item.size == 3


@pytest.mark.parametrize(
    "url",
    ["", "bucket", "/folder", "ftp://a/b", "gs:bucket", "://x", "zz://u:secret@h/p"],
)
def test_no_store(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(url)
    assert "file:///folder" in str(caught.value)
    assert "gs://bucket/prefix" in str(caught.value)
    assert "memory://name" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert (caught.value.name, caught.value.value) == ("store", redact(url))


class ReadOnly:
    """As little as a `ReadStore` has."""

    url = "https://example.org/store"
    ranges = True

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return b""

    def download(
        self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
    ) -> int:
        return 0


class Lasting(ReadOnly):
    """A `Store`, whose objects stay as they are."""

    def put(self, key: str, data: BinaryIO) -> bool:
        return True

    def list(self, prefix: str = "") -> Iterator[Item]:
        return iter(())

    def delete(self, key: str) -> None:
        pass


def test_what_a_store_can_do_is_its_type() -> None:
    reading: ReadStore = ReadOnly()
    lasting: Store = Lasting()
    changing = open_store("memory://any")
    for store in (lasting, changing):
        assert writable(store) is store
    assert mutable(changing) is changing
    for ask, store in ((writable, reading), (mutable, reading), (mutable, lasting)):
        with pytest.raises(SettingsError, match=re.escape(store.url)) as caught:
            ask(store)
        assert "LAZYIMPORT_STORE" in str(caught.value)
        assert (caught.value.name, caught.value.value) == ("store", store.url)


@pytest.mark.parametrize("url", ["gs://", "gs:///prefix", "gs://Bucket", "gs://a b/c"])
def test_no_bucket(url: str) -> None:
    with pytest.raises(SettingsError, match="a name has lower-case letters"):
        open_store(url)


def test_a_password_in_a_bucket_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        open_store("gs://me:secret@bucket/prefix")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "program",
    [
        "import lazyimport.stores",
        "from lazyimport.stores import open_store; open_store('gs://b/c')",
        """import io
from lazyimport.stores import open_store
store = open_store('file://{folder}')
store.put('k', io.BytesIO(b'1'))
store.read('k')
list(store.list())""",
    ],
)
def test_what_importing_costs(program: str, tmp_path: object) -> None:
    """Of what the program loads, beyond what Python had, nothing is heavy."""
    program = program.format(folder=tmp_path)
    script = (
        f"import sys; before = set(sys.modules)\n{program}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = set(answer.stdout.split())
    assert "lazyimport.stores.protocol" in loaded
    assert not loaded & HEAVY
