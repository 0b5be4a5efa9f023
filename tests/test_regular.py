"""Opening files in folders that others may write to."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from functools import partial

import pytest

from lazyimport.regular import open_any, open_regular, replaceable, require_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _link_to_a_pipe(path: str) -> None:
    os.mkfifo(f"{path}.p")
    os.symlink("x.p", path)


#: What somebody can put into a folder; the name is in the folder.
OTHERS: dict[str, Callable[[str], object]] = {
    "pipe": os.mkfifo,
    "device": partial(os.symlink, "/dev/zero"),
    "directory": os.mkdir,
    "link to a pipe": _link_to_a_pipe,
}


@pytest.fixture(params=OTHERS, name="other")
def _other(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    OTHERS[request.param](f"{tmp_path}/x")
    return f"{tmp_path}/x"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT])
def test_what_is_no_file_is_refused_at_once(other: str, flags: int) -> None:
    before = set(os.listdir("/dev/fd"))

    with pytest.raises(OSError, match=r"no regular|director|No such device"):
        open_regular(other, flags)

    assert before == set(os.listdir("/dev/fd"))


def test_what_takes_no_descriptor_can_ask_before(other: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is no regular file; remove it"):
        require_regular(other)
    (tmp_path / "file").touch()
    require_regular(f"{tmp_path}/file")


def test_what_is_no_file_is_not_replaced(other: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"so it is not replaced|Is a directory"):
        replaceable(other)

    os.symlink("new", tmp_path / "link")
    assert replaceable(f"{tmp_path}/link") == f"{os.path.realpath(tmp_path)}/new"


def test_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # its name may have 108 bytes
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind("x")
        with pytest.raises(OSError, match="x"):
            open_regular("x")


def test_a_file_is_opened_as_by_open(tmp_path: Path) -> None:
    path = f"{tmp_path}/file"
    with open(path, "w", opener=open_regular) as file:
        assert not os.get_inheritable(file.fileno())
        file.write("text")
    with open(path, opener=open_regular) as file:
        assert file.read() == "text"
    with pytest.raises(FileNotFoundError):
        open_regular(f"{tmp_path}/none")


def test_anything_can_be_locked(other: str) -> None:
    os.close(open_any(other))
