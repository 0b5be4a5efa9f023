"""Processes run from an archive while it comes, and what they need comes first."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest

from lazyimport.format.digest import sha256
from lazyimport.format.entries import HAS_DATA
from lazyimport.registry.layout import archive_key
from lazyimport.stores.file import FileStore
from tests.support.cold_node import ColdNode
from tests.support.shaped import Shaped
from tests.support.trees import Tree, compile_here, running_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("obstore", reason="needs the extra 'objects'")

CODE = {"shop/__init__.py": "", **{f"shop/m{n}.py": f"x = {n}\n" for n in range(20)}}
BULK = {f"shop/{n}.bin": random.Random(n).randbytes(1 << 18) for n in range(64)}
LATE: dict[str, str | bytes] = {
    **{f"late/m{n}.py": f"x = {n}\n" for n in range(20)},
    "late/__init__.py": "",
    "zoo/__init__.py": "from zoo.animals import x\n",
    "zoo/animals.py": "x = 7\n",
    **{f"zoo/{n}.txt": random.Random(-n).randbytes(2000) for n in range(100)},
}
FILES: dict[str, str | bytes] = {**CODE, **BULK, **LATE}
TREE = Tree(FILES, flags={"zoo": HAS_DATA})
FIRST = [
    *(sha256(compile_here(text.encode(), running_variant()) or b"") for text in CODE.values()),
    *(sha256(data) for data in BULK.values()),
]  # fmt: skip
DATA, HASH = TREE.archive(first=FIRST)
#: header, index, and what was asked for with them
BEGINNING = 4 << 20
#: of which none was whole, on four connections
UNDER_WAY = 4 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ColdNode]:
    store = FileStore(str(tmp_path / "store"))
    store.put(archive_key(HASH), BytesIO(DATA))
    server = Shaped(tmp_path / "store")
    with server.serving() as url:
        yield ColdNode(tmp_path, server, url, HASH, fetch="stream")


class Worker:
    """A process that does what it is told, line by line, and says what came of it."""

    def __init__(self, node: ColdNode, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            env={**os.environ, **node.settings().to_environ(), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return str(json.loads(self.process.stdout.readline()))

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)


_WORKER = """
import json, sys
for line in sys.stdin:
    try:
        try: result = eval(line)
        except SyntaxError: result = exec(line)
    except BaseException as error: result = f"{type(error).__name__}: {error}"
    print(json.dumps(str(result)), flush=True)
"""


def test_a_process_runs_from_what_has_come(node: ColdNode) -> None:
    node.server.most = BEGINNING
    with Worker(node) as worker:
        assert worker.ask("__import__('shop.m7').m7.x") == "7"
        said = worker.ask("__import__('lazyimport').stats().fetching")
        assert said == f"fetching, {100 * BEGINNING // len(DATA)} %"
        assert worker.ask("__import__('lazyimport').stats().cache_hit") == "False"
        assert node.server.moved == BEGINNING
        # looking for a name waits for nothing, whether it is there or not
        assert "No module named" in worker.ask("import shop.nothing")
        assert "late" in worker.ask(
            "__import__('importlib.util').util.find_spec('late')"
        )
        listed = subprocess.run(
            [sys.executable, "-m", "lazyimport", "cache", "ls"],
            env={**os.environ, "LAZYIMPORT_CACHE_DIR": node.cache.path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said in listed.stdout
        worker.tell("__import__('late.m3').m3.x")
        time.sleep(0.3)
        node.server.most = 1e12
        assert worker.answer() == "3"
        node.is_left_alone()
        assert worker.ask("__import__('lazyimport').stats().fetching") == "None"
        assert worker.ask("__import__('zoo').x") == "7"
    assert node.server.moved == len(DATA)


def test_what_somebody_waits_for_comes_first(node: ColdNode) -> None:
    """It lies at the end, and the rest does not come before it has."""
    node.server.rate = 8e6
    with Worker(node) as worker:
        assert worker.ask("__import__('late.m3').m3.x") == "3"
        assert node.server.moved < BEGINNING + 2 * UNDER_WAY
        assert worker.ask("__import__('zoo').x") == "7"
        place = worker.ask("__import__('os').path.dirname(__import__('zoo').__file__)")
        assert len([name for name in os.listdir(place) if name[-4:] == ".txt"]) == 100
        assert node.server.moved < BEGINNING + 3 * UNDER_WAY
        node.server.rate = 1e12
        node.is_left_alone()
    assert node.server.moved == len(DATA)
