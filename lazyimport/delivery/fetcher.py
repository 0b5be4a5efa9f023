"""The fetcher: a process that alone imports clients of stores.

The first process that misses an archive starts it (`lazyimport.delivery.starting`). It
holds the lock of the archive, and writes into its file how far it is. If it is killed,
a process that waits starts another one. For what does not go to the disk, for
artifacts, channels and signatures, a child answers through a pipe.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # loads no enum
import os
import time
from _thread import allocate_lock, start_new_thread
from mmap import MADV_DONTNEED, mmap

from lazyimport import errors
from lazyimport.cache.node import NodeCache
from lazyimport.cache.progress import Progress, begin_progress, give_sign
from lazyimport.cache.room import make_room
from lazyimport.delivery.blobs_beside import Beside
from lazyimport.delivery.obtaining import obtain_here
from lazyimport.files import unclaim
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.delivery.line import Share
    from lazyimport.format.blobs import Blob

#: Seconds between two notes of how far it is.
_PAUSE = 0.1
#: Seconds between two signs of life.
_PULSE = 0.5
_OUT, _LOCK = 1, 2
_SEND = "send "
_PIECE = 1 << 20
#: Nobody can change the first two; Python ignores the others, and reports an error.
_SIGNALS = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}


def main(asked: str) -> None:
    """Do what another process *asked* for, with the settings on standard input."""
    if asked.startswith(("archive", "blob ")):
        _fetch_detached(asked)
    try:
        settings = _prepare()
        if settings.artifact is None:  # to compile it may take any time
            _Patience.seconds = 2 * int(settings.timeout) + 1
        _Patience.begin()
        start_new_thread(_end_with_reader, ())
        if asked.startswith(_SEND):
            _send_blob(settings, asked.removeprefix(_SEND))
        else:
            _ANSWERS[asked](settings)
    except Exception as error:  # noqa: BLE001 - it goes to the process that asked
        _say(f"error {_encoded(error)}")
    os._exit(0)


class _Patience:
    """The time after which this process ends if it has said nothing: it hangs.

    The process that asked waits for no longer. No request to a store takes that long.
    """

    seconds = 0

    @classmethod
    def begin(cls) -> None:
        """Begin again."""
        signal.alarm(cls.seconds)


def _prepare() -> Settings:
    """Return the settings; take nothing else along from the process that asked."""
    for number in signal.valid_signals() - _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        last = max(map(int, os.listdir("/dev/fd")))
    except (OSError, ValueError):  # no /proc
        last = 1 << 16
    os.closerange(_LOCK + 1, last + 1)
    with open(0, "rb", closefd=False) as request:
        size = int.from_bytes(request.read(4), "big")
        said = request.read(size)
    if not size or len(said) < size:
        os._exit(1)  # the process that asked was killed before it had said all
    pairs = said.decode("utf-8", "surrogateescape").split("\0")
    try:
        null = os.open(os.devnull, os.O_RDWR)  # one of the first three if that is free
        os.dup2(null, 0)
        if null > _LOCK:
            os.close(null)
    except OSError:
        pass  # there is none
    return Settings.from_environ(dict(pair.split("=", 1) for pair in pairs))


def _fetch_detached(asked: str) -> None:
    """Bring what was *asked* for into the cache; its lock is open as standard error."""
    reporter = _Notes(_LOCK)
    settings = beside = None
    soon: list[Blob] = []
    with reporter:
        settings = _prepare()
        os.dup2(0, _OUT)
        reporter.progress.write(_LOCK)
        if asked == "archive":
            its = settings
            beside = Beside(
                its.connections, lambda *blob: _fetch_unless_coming(its, *blob)
            )
            soon = _fetch_archive(settings, reporter, beside)
        else:
            from lazyimport.delivery.blobs_wanted import decode

            _fetch_blob(settings, reporter, *decode(asked))
    # The lock goes explicitly, because something may have been forked.
    unclaim(_LOCK)
    os.dup2(0, _LOCK)
    moved = reporter.progress.moved
    if beside is not None:
        beside.want(*soon)
        beside.wait()
        moved += beside.moved
    if settings is not None and moved:
        make_room(NodeCache(settings.cache_dir), settings.cache_limit)
    os._exit(0)  # whatever connection waits for an answer is not waited for


def _fetch_archive(settings: Settings, reporter: _Notes, beside: Beside) -> list[Blob]:
    """Bring an archive; return its large files that are to come soon."""
    archive, reporter.progress.moved = obtain_here(
        settings, reporter, ahead=True, held=True, beside=beside
    )
    return [blob for blob in archive.blobs().values() if not blob.on_demand]


def _fetch_unless_coming(settings: Settings, blob: Blob, share: Share) -> int:
    """Bring a large file of an archive from which processes run already.

    What went wrong is noted in its lock, as by any fetcher of it. Returns the bytes
    that came: none if another process is bringing it.
    """
    moved = 0
    try:
        with NodeCache(settings.cache_dir).lock(blob.name, 0) as lock:
            begin_progress(lock.descriptor)
            with _Notes(lock.descriptor) as reporter:
                _fetch_blob(settings, reporter, str(settings.hash), blob, share)
            moved = reporter.progress.moved
    except (errors.CacheError, OSError):
        pass  # whoever needs it meets that as well
    return moved


def _fetch_blob(
    settings: Settings,
    reporter: _Notes,
    hash: str,
    blob: Blob,
    share: Share | None = None,
) -> None:
    from lazyimport.delivery.blobs_in import fetch_blob  # few archives have any

    try:
        archive = NodeCache(settings.cache_dir).open(hash)
    except errors.ArchiveError:
        archive = None
    if archive is not None:  # which knows more of it
        blob = archive.blobs().get(blob.digest, blob)
        del archive
    moved = fetch_blob(settings, hash, blob, reporter, held=True, share=share)
    reporter.progress.moved = moved


class _Notes(Reporter):
    """Writes how far the fetch is into the file of its lock, and that it lives."""

    def __init__(self, descriptor: int) -> None:
        self.progress = Progress()
        self._descriptor = descriptor
        self._next = 0.0
        self._ends = allocate_lock()

    def __enter__(self) -> _Notes:
        try:
            start_new_thread(self._live, ())
        except RuntimeError:
            pass  # no thread is left: what is small needs none, and ends soon
        return self

    def _live(self) -> None:
        """Give a sign again and again, whatever the store does, until the end."""
        while True:
            with self._ends:  # after that the descriptor is that of another file
                if self.progress.state != "fetching":
                    return
                try:
                    give_sign(self._descriptor)
                except OSError:
                    return  # what waits does without
            time.sleep(_PULSE)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Note how it has ended; an error goes to those that wait, and no further."""
        with self._ends:
            self.progress.state = "done"
        if isinstance(error, Exception):
            self.progress.state, self.progress.text = "failed", _encoded(error)
        self.progress.write(self._descriptor)
        return isinstance(error, Exception)

    def step(
        self, _text: str, done: Any = None, total: Any = None, _unit: Any = None
    ) -> None:
        is_new = self.progress.total != (total or 0)  # of another object
        self.progress.done, self.progress.total = done or 0, total or 0
        now = time.monotonic()
        if now >= self._next or done == total or is_new:
            self._next = now + _PAUSE
            self.progress.write(self._descriptor)


class _Lines(Reporter):
    """Tells the process that asked, a line for each."""

    def warn(self, text: str) -> None:
        _say(f"warn {text}")

    def step(
        self, text: str, done: Any = None, total: Any = None, _unit: Any = None
    ) -> None:
        if done is not None:
            _say(f"step {done} {total or 0} {text}")


def _look_up(settings: Settings) -> None:
    from lazyimport.registry.resolution import resolve_channel

    assert settings.channel is not None
    change = resolve_channel(settings, settings.channel)
    _say(f"result {change.hash} {change.number}")


def _require_signed(settings: Settings) -> None:
    from lazyimport.registry.resolution import require_signature

    assert settings.hash is not None
    require_signature(settings, settings.hash)
    _say("result signed")


def _obtain(settings: Settings, *, ahead: bool = False) -> None:
    archive, moved = obtain_here(settings, _Lines(), ahead=ahead)
    here = archive.what == NodeCache(settings.cache_dir).archive_path(archive.hash)
    size = 0 if here else len(archive.buffer)
    _say(f"result {archive.hash} {moved} {size}")
    if size:
        _send_all(archive.buffer)


def _send_blob(settings: Settings, asked: str) -> None:
    from lazyimport.delivery.blobs_in import obtain_blob_here
    from lazyimport.delivery.blobs_wanted import decode

    content = obtain_blob_here(settings, *decode(asked), _Lines())
    _say("result blob")
    _send_all(content)


def _send_all(data: bytes | mmap) -> None:
    view = memoryview(data)
    for start in range(0, len(view), _PIECE):
        _send(view[start : start + _PIECE])
        if isinstance(data, mmap):  # the other process has its own by now
            data.madvise(MADV_DONTNEED, start, min(_PIECE, len(data) - start))


_ANSWERS = {
    "obtain": _obtain,
    "obtain ahead": lambda settings: _obtain(settings, ahead=True),
    "look up": _look_up,
    "require signed": _require_signed,
}


def _end_with_reader() -> None:
    """End this process when nobody reads any more what it says."""
    from select import poll

    watched = poll()
    watched.register(_OUT, 0)  # what is told all the same: the other end was closed
    watched.poll()
    os._exit(1)


def _say(line: str) -> None:
    text = line.replace("\n", " ") + "\n"
    _send(memoryview(text.encode("utf-8", "surrogateescape")))


def _send(data: memoryview) -> None:
    try:
        while data:
            data = data[os.write(_OUT, data) :]
            _Patience.begin()
    except BrokenPipeError:  # the process that asked has ended
        os._exit(1)


def _encoded(error: Exception) -> str:
    """Return *error* as a line of text, for `lazyimport.delivery.starting`."""
    import json

    if not isinstance(error, errors.LazyImportError):
        error = errors.DeliveryError(
            f"the fetcher has failed: {type(error).__name__}: {error}"
        )
    facts = {
        name: value
        for name, value in error.__reduce__()[2].items()
        if isinstance(value, (str, int, type(None))) and name != "__notes__"
    }
    return json.dumps([type(error).__name__, str(error), facts])
