"""The fetcher: a process that alone imports clients of stores.

The first process that misses an archive starts it (`lazyimport.delivery.starting`). It
holds the lock of the archive, and writes into its file how far it is. If it is killed,
a process that waits starts another one. For what does not go to the disk, and for
channels, a child answers through a pipe.
"""

from __future__ import annotations

import os
import signal
import time

from lazyimport.cache.node import NodeCache
from lazyimport.cache.progress import Progress
from lazyimport.cache.room import make_room
from lazyimport.delivery.answers import encode_error
from lazyimport.files import unclaim
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.format.archive import Archive

#: Seconds between two notes of how far it is.
_PAUSE = 0.1
_OUT, _LOCK = 1, 2
#: Nobody can change the first two; Python ignores the others, and reports an error.
_SIGNALS = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}


def main(asked: str) -> None:
    """Do what another process *asked* for, with the settings on standard input."""
    settings = _prepare()
    if asked == "archive":
        _fetch_detached(settings)
    elif asked == "look up":
        _answer(_look_up, settings)
    elif asked == "require signed":
        _answer(_require_signed, settings)
    else:
        _answer(_fetch_for_one, settings)


def _prepare() -> Settings:
    """Return the settings; take nothing else along from the process that asked."""
    for number in set(signal.Signals) - _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in os.listdir("/dev/fd"):
        if int(name) > _LOCK:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of this listing
    with open(0, "rb") as request:
        pairs = request.read().decode("utf-8", "surrogateescape").split("\0")
    null = os.open(os.devnull, os.O_RDWR)
    if null:
        os.dup2(null, 0)
    return Settings.from_environ(dict(pair.split("=", 1) for pair in pairs))


def _fetch_detached(settings: Settings) -> None:
    """Bring an archive into the cache; its lock is open as standard error."""
    os.dup2(0, _OUT)
    reporter = _Notes()
    reporter.progress.write(_LOCK)
    try:
        from lazyimport.delivery.fetch import fetch

        assert settings.hash is not None
        result = fetch(settings, settings.hash, reporter, ahead=True, held=True)
        reporter.progress.moved = result[1]
        reporter.progress.state = "done"
        del result  # with the archive, which is not in use here any more
    except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
        reporter.progress.state, reporter.progress.text = "failed", encode_error(error)
    reporter.progress.write(_LOCK)
    # The lock goes explicitly, because something may have been forked.
    unclaim(_LOCK)
    os.dup2(0, _LOCK)
    if reporter.progress.moved:
        make_room(NodeCache(settings.cache_dir), settings.cache_limit)
    os._exit(0)  # whatever connection waits for an answer is not waited for


class _Notes(Reporter):
    """Writes how far the fetch is into the file of its lock."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._next = 0.0

    def step(self, _text: str, *numbers: Any) -> None:
        done, total, *_ = numbers
        self.progress.done, self.progress.total = done or 0, total or 0
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _PAUSE
            self.progress.write(_LOCK)


class _Lines(Reporter):
    """Tells the process that asked, a line for each."""

    def warn(self, text: str) -> None:
        _say(f"warn {text}")

    def step(self, text: str, *numbers: Any) -> None:
        done, total = numbers[:2]
        if total:
            _say(f"step {done} {total} {text}")


def _answer(work: Any, settings: Settings) -> None:
    try:
        work(settings)
    except Exception as error:  # noqa: BLE001 - as above
        _say(f"error {encode_error(error)}")
    os._exit(0)


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


def _fetch_for_one(settings: Settings) -> None:
    from lazyimport.delivery.fetch import fetch

    assert settings.hash is not None
    archive, moved = fetch(settings, settings.hash, _Lines())
    if archive.what == NodeCache(settings.cache_dir).archive_path(archive.hash):
        _say(f"result cache {moved}")
    else:
        _say(f"result memory {moved}")
        _send(archive)


def _send(archive: Archive) -> None:
    view = memoryview(archive.buffer)
    _say(str(len(view)))
    while view:
        view = view[os.write(_OUT, view[: 1 << 20]) :]


def _say(line: str) -> None:
    text = line.replace("\n", " ") + "\n"
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    try:
        while data:
            data = data[os.write(_OUT, data) :]
    except BrokenPipeError:  # the process that asked has ended
        os._exit(1)
