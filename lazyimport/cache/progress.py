"""Progress: how far the process is that holds the lock of an archive, or how it ended.

The file of the lock holds it: a line of fixed size, which is overwritten, then text:
an error, or what the interpreter of a dying process prints.
"""

from __future__ import annotations

import os

from lazyimport.cache.layout import BLOBS, LOCKS
from lazyimport.files import is_abandoned
from lazyimport.regular import open_regular
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.layout import Layout

_LINE = 64
#: Bytes that are read of a text.
_MOST = 1 << 20
_STATES = ("fetching", "done", "failed")


class Progress:
    """How far a fetch is: ``done`` of ``total`` bytes; ``moved`` came from the store.

    ``state`` is ``fetching``, ``done`` or ``failed``, and ``text`` what was said of it.
    ``sign`` changes while the process that fetches lives, also if nothing comes.
    """

    __slots__ = ("done", "moved", "sign", "state", "text", "total")

    def __init__(
        self,
        state: str = "fetching",
        done: int = 0,
        total: int = 0,
        moved: int = 0,
        text: str = "",
        sign: int = 0,
    ) -> None:
        self.state = state
        self.done = done
        self.total = total
        self.moved = moved
        self.text = text
        self.sign = sign

    @property
    def ratio(self) -> float:
        """How much of it is there, from 0 to 1."""
        return min(self.done / max(self.total, 1), 1.0)

    @property
    def percent(self) -> str:
        """How much of it is there."""
        return f"{100 * self.done // max(self.total, 1)} %"

    def __str__(self) -> str:
        return f"fetching, {self.percent}"

    def write(self, descriptor: int) -> None:
        """Write it to the file of the lock. Raises OSError.

        A text for which a limit of the size of files leaves no room is left out.
        """
        line = f"{self.state} {self.done} {self.total} {self.moved}".ljust(_LINE - 1)
        text = self.text.encode("utf-8", "backslashreplace")
        written = os.pwrite(descriptor, line.encode() + b"\n" + text, 0)
        if text:
            is_whole = written == _LINE + len(text)
            os.ftruncate(descriptor, written if is_whole else _LINE)


def begin_progress(descriptor: int) -> None:
    """Let the file of a lock say that a fetch begins. Raises OSError.

    What is written to *descriptor* from now on becomes the text.
    """
    os.ftruncate(descriptor, 0)
    Progress().write(descriptor)
    os.lseek(descriptor, _LINE, os.SEEK_SET)


def give_sign(descriptor: int) -> None:
    """Say that the process lives that holds the lock. Raises OSError."""
    os.utime(descriptor)


def read_progress(cache: Layout, hash: str) -> Progress | None:
    """Return how far the fetch of an archive is, or was; None if that is unknown."""
    try:
        with open(cache.lock_path(hash), "rb", opener=open_regular) as file:
            line, text = file.read(_LINE), file.read(_MOST)
            sign = os.fstat(file.fileno()).st_mtime_ns
        state, done, total, moved = line.decode("ascii").split()
        said = text.decode("utf-8", "replace")
        if state in _STATES:
            return Progress(state, int(done), int(total), int(moved), said, sign)
    except (OSError, ValueError):
        pass
    return None


def running_fetch(cache: Layout, hash: str) -> Progress | None:
    """Return how far an archive is that is being fetched now; None if it is not."""
    progress = read_progress(cache, hash)
    if progress is None or progress.state != "fetching":
        return None
    return None if is_abandoned(cache.lock_path(hash)) else progress


def running_fetches(cache: Layout) -> dict[str, Progress]:
    """Return how far the archives are that are being fetched now, by hash."""
    try:
        names = filter(is_sha256, os.listdir(cache.folder(LOCKS)))
    except OSError:
        return {}  # nothing has ever been locked here
    arriving = cache.folder(BLOBS)  # large files, which have locks as well
    found = {
        hash: running_fetch(cache, hash)
        for hash in names
        if not os.path.lexists(f"{arriving}/.{hash}.part.tmp")
    }
    return {hash: progress for hash, progress in found.items() if progress}
