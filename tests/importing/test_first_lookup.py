"""What happens between the start of a process and the first lookup in its archive.

The start holds the archive, and the lookup opens it: whatever comes between.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.format.delta import Revision
from lazyimport.format.overlay import write_overlay
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)
from tests.support.trees import Tree

FILES: Files = {
    "alone.py": "VALUE = 1\n",
    "pkg/__init__.py": "VALUE = 2\n",
    "data/__init__.py": """
import os
with open(os.path.join(os.path.dirname(__file__), "text.txt")) as file:
    TEXT = file.read()
""",
    "data/text.txt": "some text",
    **{f"many/m{number}.py": f"VALUE = {number}\n" for number in range(8)},
}
#: The start has opened nothing: else these would be tests of something else.
LATE = "import sys; assert 'lazyimport.format.archive' not in sys.modules\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def packed(tmp_path: Path, cache: Path) -> str:
    return pack_tree(write_tree(FILES, tmp_path / "tree"), cache)


@pytest.mark.parametrize("at", [20, 128 + 20])  # in the header; in the root
def test_an_archive_that_is_damaged_meanwhile(
    cache: Path, packed: str, at: int
) -> None:
    path = NodeCache(str(cache)).archive_path(packed)
    os.chmod(path, 0o600)
    program = f"""{LATE}
with open({path!r}, "r+b") as file:
    file.seek({at})
    byte = file.read(1)[0]
    file.seek({at})
    file.write(bytes([byte ^ 1]))
import decimal
for name in "alone", "pkg", "alone":
    try:
        __import__(name)
    except ImportError as error:
        print(type(error).__name__, error.name, error.hash, str(error).count(name))
"""
    done = from_archive(packed, cache, program)

    said = [
        f"ArchiveImportError {name} {packed} 1" for name in ("alone", "pkg", "alone")
    ]
    assert done.stdout.splitlines() == said, done.stderr
    assert done.status == 0


def test_an_archive_that_is_evicted_meanwhile(cache: Path, packed: str) -> None:
    """What is mapped stays, and its files come to the disk again."""
    program = f"""{LATE}
import shutil
shutil.rmtree({str(cache)!r})
import alone, data, many.m3
print(alone.VALUE, data.TEXT, many.m3.VALUE)
"""
    assert from_archive(packed, cache, program) == ("1 some text 3\n", "", 0)


def test_a_fork_before_the_first_lookup(cache: Path, packed: str) -> None:
    program = f"""{LATE}
import os
for _ in range(3):
    if not (child := os.fork()):
        import alone, data
        assert (alone.VALUE, data.TEXT) == (1, "some text")
        os._exit(7)
    assert "lazyimport.format.archive" not in sys.modules
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
import pkg
print(pkg.VALUE)
"""
    assert from_archive(packed, cache, program) == ("7\n7\n7\n2\n", "", 0)


def test_first_lookups_of_many_threads_at_once(cache: Path, packed: str) -> None:
    """All of them find modules of one tree."""
    program = f"""{LATE}
import threading
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)
seen = []
def find(number):
    barrier.wait()
    spec = FINDER.find_spec(f"many.m{{number}}", [FOLDER])
    seen.append((number, id(spec.loader._tree)))
FINDER = next(f for f in sys.meta_path if type(f).__name__ == "ArchiveFinder")
FOLDER = sys.modules["lazyimport"].current().root + "/many"
threads = [threading.Thread(target=find, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
import many.m5
print(len({{number for number, _ in seen}}), len({{tree for _, tree in seen}}))
print(id(many.m5.__loader__._tree) == seen[0][1])
"""
    for _ in range(3):
        assert from_archive(packed, cache, program) == ("8 1\nTrue\n", "", 0)


IN_A_HOOK = """
import sys
class Finder:
    busy = False
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if not cls.busy and name == "alone":
            cls.busy = True
            import pkg
            print(name, pkg.VALUE)
sys.meta_path.insert(0, Finder)
import alone
print(alone.VALUE)
"""
AT_THE_END = """
import atexit, sys
@atexit.register
def leave():
    import alone
    print(alone.VALUE)
"""
AFTER_THE_END = """
class Last:
    def __del__(self):
        try:
            import pkg
            print(pkg.VALUE)
        except BaseException as error:
            print(type(error).__name__, error)
last = Last()
"""
IN_A_THREAD_AT_THE_END = """
import threading
def run():
    threading.main_thread().join()
    import alone, data
    print(alone.VALUE, data.TEXT)
threading.Thread(target=run).start()
"""


@pytest.mark.parametrize(
    "program", [IN_A_HOOK, AT_THE_END, AFTER_THE_END, IN_A_THREAD_AT_THE_END]
)
def test_a_first_lookup_at_an_odd_moment(
    tmp_path: Path, cache: Path, packed: str, program: str
) -> None:
    stock = from_directory(tmp_path / "tree", program)

    assert from_archive(packed, cache, program) == stock
    assert stock.status == 0


def test_an_overlay(cache: Path) -> None:
    """It and its base are held from the start on, and opened by the lookup."""
    node = NodeCache(str(cache))
    data, base = Tree(FILES).archive()
    archive = node.publish(base, lambda out: out.write(data))
    made = Tree({**FILES, "many/m7.py": "VALUE = 'changed'\n"}).delta(archive.index)
    assert made is not None
    revision = Revision(archive, *made)
    node.publish(made[1], lambda out: write_overlay(out, revision, raw=True))
    program = f"""{LATE}
import os
os.unlink({node.archive_path(base)!r})
import many.m3, many.m7
print(many.m3.VALUE, many.m7.VALUE)
"""
    assert from_archive(made[1], cache, program) == ("3 changed\n", "", 0)
