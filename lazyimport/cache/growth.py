"""Growth: what a node cache takes at most, known without a walk.

The file ``<cache>/growth`` says what the last sweep left, and has a line for all that
came since. A line is there before what it stands for has its name, so a process that is
killed leaves the sum too large, which the next sweep corrects. While a sweep counts,
and after another boot (a power cut may have taken lines), nothing is known.
"""

from __future__ import annotations

import posix
from os import O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY

from lazyimport.cache import boot
from lazyimport.files import remove_file
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazyimport.format.entries import Entry

#: Its name in the cache.
NAME = "growth"
#: What a file or directory takes on a disk beside its bytes, at most.
BLOCK = 4096


class Growing:
    """``with Growing(folder, size):`` notes *size* bytes that come in the block.

    A sweep of the cache *folder* that begins meanwhile may count them too early, so
    they are noted again behind it. Nothing of this fails.
    """

    def __init__(self, folder: str, size: int) -> None:
        self._folder = folder
        self._size = size
        self._descriptor: int | None = None

    def __enter__(self) -> None:
        self._descriptor = _append(self._folder, b"%d\n" % self._size)

    def __exit__(self, *_: object) -> None:
        descriptor = self._descriptor
        if descriptor is None or not posix.fstat(descriptor).st_nlink:
            note(self._folder, self._size)
        if descriptor is not None:
            posix.close(descriptor)


def note(folder: str, size: int) -> None:
    """Note *size* bytes that are in the cache *folder*, and have no name there yet."""
    _say(folder, b"%d\n" % size)


def on_disk(entries: Iterable[Entry]) -> int:
    """Return the bytes that files of an archive take, with a directory for each."""
    return sum(entry.size + 2 * BLOCK for entry in entries)


def taken(folder: str) -> int | None:
    """Return the bytes that the cache *folder* takes at most; None if nobody knows."""
    try:
        with open(f"{folder}/{NAME}", "rb", opener=open_regular) as file:
            *lines, rest = file.read().split(b"\n")
        known = [line[1:].split(b" ") for line in lines if line[:1] == b"="]
        if rest or not known or any(of != _boot() for _, of in known):
            return None
        since = sum(int(line) for line in lines if line[:1] != b"=")
        return since + sum(int(left) for left, _ in known)
    except (OSError, ValueError):
        return None


def begin(folder: str) -> None:
    """Note that the cache *folder*, which is new, has nothing in it."""
    flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL
    try:
        descriptor = open_regular(f"{folder}/{NAME}", flags)
    except OSError:
        return  # another process was faster, or a sweep will count
    _write(folder, descriptor, b"=0 %s\n" % _boot())
    posix.close(descriptor)


def forget(folder: str) -> None:
    """Let nothing be known, as a sweep begins to count; `know` is for its end."""
    path = f"{folder}/{NAME}"
    try:
        remove_file(path)
        posix.close(open_regular(path, O_WRONLY | O_CREAT | O_EXCL))
    except OSError:
        pass  # nothing is known without the file either


def know(folder: str, left: int) -> None:
    """Note what a sweep left in the cache *folder*, in bytes."""
    _say(folder, b"=%d %s\n" % (left, _boot()))


def _boot() -> bytes:
    return boot.name().encode() or b"-"


def _say(folder: str, line: bytes) -> None:
    descriptor = _append(folder, line)
    if descriptor is not None:
        posix.close(descriptor)


def _append(folder: str, line: bytes) -> int | None:
    """Append *line*; return the descriptor of the file, or None if there is none."""
    flags = O_WRONLY | O_APPEND | O_NOFOLLOW
    try:
        descriptor = open_regular(f"{folder}/{NAME}", flags)
    except FileNotFoundError:
        return None
    except OSError:
        _lose(folder)
        return None
    _write(folder, descriptor, line)
    return descriptor


def _write(folder: str, descriptor: int, line: bytes) -> None:
    """Write a line as a whole, or let nothing be known."""
    try:
        if posix.write(descriptor, line) == len(line):
            return
    except OSError:
        pass  # a full disk
    _lose(folder)


def _lose(folder: str) -> None:
    try:
        remove_file(f"{folder}/{NAME}")
    except OSError:
        pass  # whoever may not write there adds nothing either
