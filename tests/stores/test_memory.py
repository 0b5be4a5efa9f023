"""The store in the memory of one process."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid

import pytest
from hypothesis import settings

from lazyimport.errors import SettingsError
from lazyimport.stores import mutable, open_store, writable
from lazyimport.stores.keys import is_key
from lazyimport.stores.memory import MemoryStore
from tests.stores.suite import MutableStoreTests, Place, StoreMachine

#: What a fresh process says of a store that its parent has filled.
ELSEWHERE = """
import sys
from lazyimport.stores import mutable, open_store, writable
print(list(open_store(sys.argv[1]).list()))
"""


#: Reads in a child of a fork, which deletes, and then in the parent.
FORKING = """
import os
from lazyimport.stores.memory import MemoryStore
store = MemoryStore("name")
store.replace("k", b"1", None)
if not os.fork():
    print(store.read("k"), end=" ", flush=True)
    store.delete("k")
    os._exit(0)
os.wait()
print(store.read("k"))
"""


class MemoryPlace(Place):
    one_process = True

    def __init__(self) -> None:
        self.store = MemoryStore(uuid.uuid4().hex)
        self.behind = self.store._objects

    def plant(self, key: str, data: bytes) -> None:
        if is_key(key):  # nothing else can get there
            self.behind[key] = data, -1 - len(self.behind), time.time()

    def peek(self, key: str) -> bytes | None:
        return self.behind[key][0] if key in self.behind else None

    def everything(self) -> set[str]:
        return set(self.behind)


class TestMemoryStore(MutableStoreTests):
    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()


class MemoryMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(uuid.uuid4().hex)


MemoryMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None
)


TestMemoryModel = MemoryMachine.TestCase


def test_stores_of_one_name_are_one() -> None:
    name = uuid.uuid4().hex
    assert mutable(open_store(f"memory://{name}")).replace("k", b"1", None)
    assert open_store(f"MEMORY://{name}/").read("k") == b"1"
    assert list(writable(open_store(f"memory://{name}-2")).list()) == []


def test_a_fork_takes_a_copy_along() -> None:
    assert said(FORKING) == "b'1' b'1'\n"


def test_another_process_has_nothing() -> None:
    store = MemoryStore(uuid.uuid4().hex)
    assert store.replace("k", b"1", None)
    assert said(ELSEWHERE, store.url) == "[]\n"


def said(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "url", ["memory://", "memory:///a", "memory://a/b", "memory://a?b"]
)
def test_no_name(url: str) -> None:
    with pytest.raises(SettingsError, match="memory://name; a name has letters"):
        open_store(url)
