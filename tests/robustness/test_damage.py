"""Flip each byte of a cached archive in turn: it is repaired, or refused cleanly."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import publish
from lazyimport.delivery.repair import give_up, repair
from lazyimport.errors import DamagedArchive
from lazyimport.format.archive import Archive
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.read_everything import read_everything
from tests.support.recorder import Recorder
from tests.support.scale import scaled
from tests.support.trees import make_archive

EVERY = scaled(41, 1)


class Process:
    """Everything that a process does with an archive, except for the imports."""

    def __init__(self, settings: Settings, hash_: str) -> None:
        self.reporter = Recorder()
        self.settings = settings
        self.hash = hash_

    def start(self) -> Archive:
        archive, _ = fetch(self.settings, self.hash, self.reporter)
        archive.repair = lambda error: repair(
            self.settings, self.hash, error, self.reporter
        )
        archive.index.report = lambda error: give_up(self.settings, self.hash, error)
        return archive

    def read(self) -> dict[str, tuple[bytes, ...]]:
        archive = self.start()
        return {
            entry.path: (
                bytes(archive.content(entry)),
                *(
                    bytes(archive.bytecode(entry, number) or b"")
                    for number, _ in entry.codes()
                ),
            )
            for entry in archive.index.entries()
        }


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize("mode", ["raw", "zstd"])
def test_every_byte_of_a_cached_archive(tmp_path: Path, mode: str) -> None:
    author = NodeCache(str(tmp_path / "author"))
    files = {"pkg/__init__.py": "x = 1\n", "pkg/words.txt": "word " * 60}
    data, name = make_archive(files, notes={"by": "me"})
    author.publish(name, lambda out: out.write(data))
    archive = author.open(name)
    assert archive is not None
    url = f"file://{tmp_path}/store"
    publish(archive, writable(open_store(url)), author)
    process = Process(
        Settings(store=url, cache_dir=str(tmp_path / "node"), cache_mode=mode), name
    )
    whole = process.read()
    path = tmp_path / "node/archives" / name
    sound = path.read_bytes()
    repaired = refused = unseen = 0
    for at in range(0, len(sound), EVERY):
        path.unlink()
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        process.reporter.warnings.clear()
        try:
            assert process.read() == whole
        except DamagedArchive:  # in the index: removed, so the next start fetches it
            assert process.read() == whole
            refused += 1
        else:
            repaired += len(process.reporter.warnings)
            unseen += not process.reporter.warnings
        if path.read_bytes() != sound:
            # Not verified, since nothing relies on it: notes, and the size of a start
            assert read_everything(path.read_bytes(), name)
            path.unlink()
            process.start()
    print(f"{mode}: {repaired} repaired, {refused} refused, {unseen} without effect")
    assert repaired > 0
    assert refused > 0
