"""Overlays in a node cache: each needs another archive, which stays as long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.evict import clear, prune
from lazyimport.cache.node import NodeCache
from lazyimport.cache.removal import remove_unless_used
from lazyimport.cache.usage import archives_by_use, usage
from lazyimport.cache.verify import prove, verify
from lazyimport.errors import ArchiveError, MalformedArchive
from lazyimport.format.delta import Revision
from lazyimport.format.overlay import write_overlay
from tests.support.node_cache import DAY, SIZE, hashes_by_use
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.trees import Files

FILES: Files = {
    "pkg/__init__.py": "",
    "pkg/data.bin": os.urandom(SIZE),
    **{f"pkg/m{n}.py": f"x = {n}\n" for n in range(50)},
}
HOLD = """
import sys
from lazyimport.cache.node import NodeCache
archive = NodeCache(sys.argv[1]).open(sys.argv[2])
print(archive.base.hash, flush=True)
sys.stdin.read()
"""


def put_overlay(cache: NodeCache, *, used: float = 0.0) -> tuple[str, str]:
    """Put an archive and an overlay to it into *cache*; return their hashes."""
    data, base = Tree(FILES).archive()
    archive = cache.publish(base, lambda out: out.write(data))
    target = Tree({**FILES, "pkg/m7.py": "changed = True\n"})
    made = target.delta(archive.index)
    assert made is not None
    revision = Revision(archive, *made)
    cache.publish(made[1], lambda out: write_overlay(out, revision, raw=True))
    for name in (base, made[1]):
        path = cache.archive_path(name)
        now = os.stat(path).st_mtime_ns  # with the seal
        os.utime(path, ns=(now - int(used * 1e9), now))
    return base, made[1]


def test_takes_little_and_reads_as_the_whole(cache: NodeCache) -> None:
    base, overlay = put_overlay(cache)
    archive = cache.open(overlay)

    assert archive is not None
    assert archive.sealed
    prove(archive)
    assert os.stat(cache.archive_path(overlay)).st_size < SIZE
    bases = {each.hash: each.base for each in archives_by_use(cache)}
    assert bases == {base: None, overlay: base}


def test_without_its_base_it_is_not_opened(cache: NodeCache) -> None:
    base, overlay = put_overlay(cache)
    cache.remove(base)

    with pytest.raises(MalformedArchive) as caught:
        cache.open(overlay)

    for text in (overlay, base, "is missing", cache.path):
        assert text in str(caught.value)
    assert caught.value.hash == overlay


def test_two_that_need_each_other(cache: NodeCache) -> None:
    """Forged, since one of them is there before the other."""
    base, overlay = put_overlay(cache)
    data = Path(cache.archive_path(overlay)).read_bytes()
    target = Tree({**FILES, "pkg/m7.py": "changed = True\n"}).archive()
    whole = cache.publish(overlay, lambda out: out.write(target[0]))
    made = Tree(FILES).delta(whole.index)
    assert made is not None
    back = Revision(whole, *made)
    cache.publish(base, lambda out: write_overlay(out, back, raw=True))
    cache.remove(overlay)
    Path(cache.archive_path(overlay)).write_bytes(data)

    with pytest.raises(ArchiveError, match="is missing"):
        cache.open(overlay)


def test_using_an_overlay_is_using_its_base(cache: NodeCache) -> None:
    """The base leaves after it, whenever it was used by itself."""
    base, overlay = put_overlay(cache, used=3 * DAY)
    os.utime(cache.archive_path(base), (0, os.stat(cache.archive_path(base)).st_mtime))

    assert hashes_by_use(cache) == [overlay, base]
    pruned = prune(cache, limit=usage(cache) - 1)

    assert [each.hash for each in pruned.removed] == [overlay]
    prune(cache, older_than=DAY)
    assert hashes_by_use(cache) == []


def test_a_base_goes_with_its_overlays(cache: NodeCache) -> None:
    base, overlay = put_overlay(cache, used=3 * DAY)

    said = prune(cache, older_than=DAY, dry_run=True)
    assert not remove_unless_used(cache, base), "an overlay needs it"
    done = prune(cache, older_than=DAY)

    for each in (said, done):
        assert {archive.hash for archive in each.removed} == {base, overlay}


def test_removing_many_archives_reads_each_once(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, overlay = put_overlay(cache, used=3 * DAY)
    read: list[str] = []

    def noting(hash: str) -> str | None:
        read.append(hash)
        return NodeCache.base_of(cache, hash)

    monkeypatch.setattr(cache, "base_of", noting)
    prune(cache, older_than=DAY)

    assert sorted(read) == sorted([base, overlay])
    assert cache.bases() == {}


def test_a_process_with_an_overlay_has_its_base(cache: NodeCache) -> None:
    base, overlay = put_overlay(cache, used=3 * DAY)
    command = [sys.executable, "-c", HOLD, cache.path, overlay]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{base}\n"
        for name in (base, overlay):
            os.utime(cache.archive_path(name), (0, 0))
        pruned = clear(cache)
        assert process.stdin is not None
        process.stdin.close()

    assert {each.hash for each in pruned.in_use} == {base, overlay}
    assert sorted(cache.archives()) == sorted([base, overlay])
    assert not clear(cache).in_use
    assert not cache.archives()


def test_verifying_is_no_use(cache: NodeCache) -> None:
    put_overlay(cache, used=3 * DAY)
    before = [each.used for each in archives_by_use(cache)]

    found = verify(cache, remove=True)

    assert (found.archives, found.damages) == (2, [])
    assert [each.used for each in archives_by_use(cache)] == before


@pytest.mark.parametrize("how", ["damaged", "removed"])
def test_an_overlay_goes_with_a_base_that_is_not_sound(
    cache: NodeCache, how: str
) -> None:
    base, overlay = put_overlay(cache)
    path = Path(cache.archive_path(base))
    if how == "damaged":
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"x = 30\n", b"x = 31\n"))
    else:
        path.unlink()

    found = verify(cache, remove=True)

    *others, last = found.damages
    assert len(others) == (how == "damaged")
    assert (last.path, base in last.why) == (cache.archive_path(overlay), True)
    assert not cache.archives()
