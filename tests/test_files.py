"""Files that processes share: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path

import pytest

from lazyimport.files import (
    AtomicFile,
    is_unfinished,
    make_directories,
    remove_leftovers,
    unfinished_path,
)


class TestAtomicFile:
    def test_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with AtomicFile(str(path), 0o640) as file:
            file.write(b"whole")
            assert not path.exists()
        assert path.read_bytes() == b"whole"
        assert path.stat().st_mode & 0o777 == 0o640

        def give_up() -> None:
            with AtomicFile(str(path)) as file:
                file.write(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            give_up()
        assert path.read_bytes() == b"whole"
        assert os.listdir(tmp_path) == ["file"]

    def test_name_as_long_as_a_name_may_be(self, tmp_path: Path) -> None:
        path = tmp_path / ("ü" * 127 + "x")
        with AtomicFile(str(path)) as file:
            file.write(b"whole")
        Path(unfinished_path(str(path))).write_bytes(b"half")

        remove_leftovers(str(path))

        assert os.listdir(tmp_path) == [path.name]

    def test_where_it_cannot_be_put(self, tmp_path: Path) -> None:
        path = tmp_path / "folder"
        path.mkdir()

        with pytest.raises(IsADirectoryError), AtomicFile(str(path)) as file:
            file.write(b"x")

        assert os.listdir(tmp_path) == ["folder"]

    # from 3.12 on Python warns of a fork in a process that has threads
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_its_lock_ends_whatever_was_forked_meanwhile(self, tmp_path: Path) -> None:
        """Who opens what was published waits for no child."""
        path = str(tmp_path / "file")
        with AtomicFile(path) as file:
            file.write(b"whole")
            child = os.fork()
            if not child:
                signal.pause()
                os._exit(0)
        try:
            with open(path, "rb") as published:
                flock(published.fileno(), LOCK_SH | LOCK_NB)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_leftovers_of_what_is_unfinished_itself_are_its_own(tmp_path: Path) -> None:
    """Such as that of a file in which an archive comes to be."""
    hidden = unfinished_path(f"{tmp_path}/.archive.raw.tmp")
    assert os.path.basename(hidden).startswith(".archive.raw.")
    assert is_unfinished(os.path.basename(hidden))
    Path(hidden).touch()
    Path(f"{tmp_path}/.archive2.raw.tmp").touch()

    remove_leftovers(f"{tmp_path}/archive")

    assert os.listdir(tmp_path) == [".archive2.raw.tmp"]


class TestDirectories:
    def test_a_deep_one(self, tmp_path: Path) -> None:
        """Deeper than Python's own calls may be."""
        path = f"{tmp_path}/" + "d/" * 1500 + "e"
        make_directories(path)
        make_directories(path)
        assert os.path.isdir(path)
        subprocess.run(["rm", "-r", f"{tmp_path}/d"], check=True)  # pytest cannot

    def test_one_whose_name_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="too long"):
            make_directories(f"{tmp_path}/" + "d/" * 5000)
        assert not list(tmp_path.iterdir())

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in ("file", "file/a", "file/a/b"):
            with pytest.raises((FileExistsError, NotADirectoryError)):
                make_directories(f"{tmp_path}/{path}")
