"""Growth: what a node cache takes at most, known without a walk.

The file ``<cache>/growth`` says what the last sweep left, and has a line for all that
came since. A line is there before a byte of what it stands for, so a process that is
killed leaves the sum too large, which the next sweep corrects. Where it is not known
before how much comes, nothing is known until it has come. Nor is anything while a sweep
counts, and after another boot (a power cut may have taken lines).
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
#: Bytes of a file that sums up more than comes between two sweeps.
_MOST = 1 << 24


class Growing:
    """``with Growing(folder, size):`` notes *size* bytes that come in the block.

    Without a *size*, the block sets ``size`` when it is known. A sweep of the cache
    *folder* that begins meanwhile may count too early, so what comes is noted again
    behind it. Nothing of this fails.
    """

    def __init__(self, folder: str, size: int | None = None) -> None:
        self.size = max(size or 0, 0)
        self._folder = folder
        self._is_open = size is None
        self._descriptor: int | None = None

    def __enter__(self) -> Growing:
        line = b"?\n" if self._is_open else b"%d\n" % self.size
        self._descriptor = _append(self._folder, line)
        return self

    def __exit__(self, *_: object) -> None:
        descriptor = self._descriptor
        if descriptor is None or not posix.fstat(descriptor).st_nlink:
            _say(self._folder, b"%d\n" % self.size)
        elif self._is_open:
            _write(self._folder, descriptor, b"!%d\n" % self.size)
        if descriptor is not None:
            posix.close(descriptor)


def on_disk(entries: Iterable[Entry]) -> int:
    """Return the bytes that files of an archive take, with a directory for each."""
    return sum(entry.size + 2 * BLOCK for entry in entries)


def taken(folder: str) -> int | None:
    """Return the bytes that the cache *folder* takes at most; None if nobody knows."""
    try:
        with open(f"{folder}/{NAME}", "rb", opener=open_regular) as file:
            data = file.read(_MOST)
        *lines, rest = data.split(b"\n")
        known = [line[1:].split(b" ") for line in lines if line[:1] == b"="]
        if rest or not known or any(of != _boot() for _, of in known):
            return None
        if lines.count(b"?") != sum(line[:1] == b"!" for line in lines):
            return None
        sizes = [left for left, _ in known]
        sizes += [line.lstrip(b"!") for line in lines if line[:1] not in {b"=", b"?"}]
        is_sound = len(data) < _MOST and all(map(bytes.isdigit, sizes))
        return sum(map(int, sizes)) if is_sound else None
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
