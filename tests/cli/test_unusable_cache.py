"""Commands that only read do without a node cache that cannot be used."""

from __future__ import annotations

import os

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.cache.progress import begin_progress
from tests.support.disks import LIMITED, NOBODY, need_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

READING = [
    ("ls", "HASH"),
    ("ls", "HASH", "--shadowed"),
    ("show", "HASH"),
    ("cat", "HASH", "shop/main.py"),
    ("diff", "HASH", "HASH"),
    ("diff", "HASH", "PROJECT"),
    ("diff", "prod", "PROJECT"),
    ("report", "HASH", "-o", "OUT"),
    ("pull", "HASH", "OUT"),
    ("verify",),
    ("channel", "set", "prod", "HASH"),
]


@pytest.fixture(name="hash")
def _hash(cli: CommandLine, project: Path) -> str:
    """The archive in the store; the cache has it too."""
    name = cli.push(project, LAZYIMPORT_STORE=cli.url)
    cli.run("channel", "set", "prod", name, "--store", cli.url)
    return name


def unusable(cache: Path, how: str) -> None:
    for path in [cache, *cache.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222 | 0o055)
        if how != "read-only":
            need_root()
            os.chown(path, NOBODY, NOBODY)
    if how == "hidden":
        cache.chmod(0o700)


@pytest.mark.parametrize("how", ["read-only", "foreign", "hidden"])
def test_commands_that_read_need_no_cache(
    cli: CommandLine, project: Path, tmp_path: Path, hash: str, how: str
) -> None:
    unusable(cli.cache, how)
    for words in READING:
        out = tmp_path / f"out-{len(words)}-{words[0]}"
        names = {"HASH": hash[:8], "PROJECT": project, "OUT": out}
        done = cli.run(
            *[names.get(word, word) for word in words],
            *("--store", cli.url),
            before=LIMITED,
        )
        assert "cache" not in done.stderr, words
    assert (tmp_path / "out-3-pull/shop/main.py").exists()


@pytest.mark.parametrize("action", ["clear", "prune"])
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("read-only", "this user may not write there"),
        ("hidden", f"it belongs to user {NOBODY}; run this as that user"),
    ],
)
def test_what_may_not_be_changed_is_not_cleared(
    cli: CommandLine, hash: str, how: str, why: str, action: str
) -> None:
    assert hash
    unusable(cli.cache, how)
    said = cli.fail("cache", action, before=LIMITED)

    assert f"cannot remove anything from the node cache {cli.cache}: {why}\n" in said


@pytest.mark.parametrize("action", ["clear", "prune", "ls", "verify"])
def test_a_cache_that_does_not_exist_is_empty_and_stays_so(
    cli: CommandLine, action: str
) -> None:
    assert "0 B" in cli.run("cache", action).stderr
    assert not cli.cache.exists()


def test_an_archive_is_listed_once_while_its_large_files_come(
    cli: CommandLine, hash: str
) -> None:
    with NodeCache(str(cli.cache)).lock(hash, 1) as lock:
        begin_progress(lock.descriptor)
        listed = cli.run("cache", "ls").stdout

    assert 1 == listed.count(hash)
    assert "fetching, 0 %" in listed


def test_the_doctor_says_what_it_can_without_a_cache(cli: CommandLine) -> None:
    done = cli.run("doctor", "--cache-dir", "/dev/null/cache", code=1)

    assert "Errno" not in done.stdout
    assert "GB free" in done.stdout


@pytest.mark.parametrize(
    "words", [["diff", "prod"], ["dev", "-m", "shop.main"], ["init", "-y"], ["pack"]]
)
def test_a_store_does_not_become_a_node_cache(
    cli: CommandLine, project: Path, words: list[str]
) -> None:
    """Nor does an empty folder that is to be one."""
    cli.store.mkdir()
    said = cli.fail(
        *words,
        cwd=project,
        LAZYIMPORT_STORE=cli.url,
        LAZYIMPORT_CACHE_DIR=str(cli.store),
    )

    assert "are one folder" in said
    assert [] == list(cli.store.iterdir())


def test_what_is_in_the_way_is_named(cli: CommandLine) -> None:
    """The cache itself is a directory, so that it is none says nothing."""
    cli.cache.mkdir(mode=0o700)
    (cli.cache / "archives").write_text("mine")

    text = cli.fail("cache", "ls")

    assert f"{cli.cache / 'archives'}: Not a directory" in text
    assert "remove what is in the way" in text
    assert (cli.cache / "archives").read_text() == "mine"
