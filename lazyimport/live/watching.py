"""Watching: which files were changed together."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any

from lazyimport.errors import PackError, SettingsError

#: seconds in which a change that follows may mend what was seen of one
MOMENT = 0.4
#: milliseconds: how long after a change others are waited for; how long to wait
_TOGETHER, _STEP, _PAUSE = 200, 20, 200
#: seconds after which a tree counts as saved that never comes to rest
_LONGEST = 3.0


def watch(*paths: str, never: Sequence[str] = (), end: Event | None = None) -> Changes:
    """Return what is changed from now on.

    *paths* are files and folders; what is in the folders *never* does not count. It
    stops when *end* is set. Raises SettingsError without watchfiles, and PackError for
    what cannot be watched.
    """
    try:
        from watchfiles import DefaultFilter, watch as changes_in
    except ModuleNotFoundError as error:
        raise SettingsError(
            "files are watched with watchfiles, which is not installed here; run: "
            "pip install watchfiles",
            name="watchfiles",
            value=None,
        ) from error
    for path in paths:
        if not os.path.exists(path):
            raise PackError(f"cannot watch {path}: no such file or folder")
    end = end or Event()
    ignored = DefaultFilter(ignore_paths=[os.path.realpath(path) for path in never])
    files = {os.path.abspath(one): _state(one) for one in paths if os.path.isfile(one)}
    changes = changes_in(
        *(path for path in paths if not os.path.isfile(path)),
        watch_filter=ignored,
        debounce=_TOGETHER,
        step=_STEP,
        rust_timeout=_PAUSE,
        yield_on_timeout=True,
        stop_event=end,
    )
    try:
        next(changes)  # from here on none is missed
    except (OSError, RuntimeError) as error:
        raise PackError(f"cannot watch {', '.join(paths)}: {error}") from error
    return Changes(_together(changes, files), end)


class Changes:
    """The sets of files of *found*, which is looked at in a thread until *end* is set.

    Iterating gives each set, and an empty one while there is none. A caller that has
    read the files asks `go_on` before it acts on what it has seen.
    """

    def __init__(self, found: Iterable[set[str]], end: Event) -> None:
        self._queue: SimpleQueue[set[str] | None] = SimpleQueue()
        self._next: set[str] | None = set()
        self._failure: Exception | None = None
        self._began: float | None = None
        self._rest = 0.0
        self._end = end
        self._thread = Thread(target=self._read, args=[found], daemon=True)
        self._thread.start()
        # Python would end the thread inside watchfiles, of which many releases abort.
        atexit.register(self._finish)

    def _finish(self) -> None:
        self._end.set()
        self._thread.join(_LONGEST)

    def _read(self, found: Iterable[set[str]]) -> None:
        try:
            for paths in found:
                if paths:
                    self._queue.put(paths)
        except Exception as error:  # noqa: BLE001 - raised in the other thread
            self._failure = error
        self._queue.put(None)
        atexit.unregister(self._finish)

    def __iter__(self) -> Iterator[set[str]]:
        self._look(_PAUSE / 1000)
        while self._next is not None:
            paths, self._next = self._next, set()
            if paths and self._began is None:
                self._began = monotonic()
            yield paths
            self._look(_PAUSE / 1000)
        if self._failure is not None:
            raise self._failure

    def go_on(
        self, seconds: float = 0.0, is_other: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether there are more changes already, or will be within *seconds*.

        Then the caller may have seen half of what an editor or git is writing; so it
        may if *is_other* says that the files were changed after they were read, which
        the next set will name. Where something is written all the time, it ends with
        False.
        """
        began = monotonic() if self._began is None else self._began
        is_half = monotonic() - began < _LONGEST and (
            self._look(max(seconds, self._rest)) or is_other()
        )
        # What was written in two parts may have a third one.
        self._rest = _TOGETHER / 1000 if is_half else 0.0
        self._began = began if is_half else None
        return is_half

    def _look(self, seconds: float) -> bool:
        """Wait for the next set, at most *seconds*; return whether there is one."""
        if self._next == set():
            try:
                self._next = self._queue.get(timeout=seconds)
            except Empty:
                return False
        return bool(self._next)


def _together(
    changes: Iterator[set[tuple[Any, str]]], files: dict[str, Any]
) -> Iterator[set[str]]:
    """Yield the paths of *changes*, and those of *files* that are in another state.

    A watch of a file ends when another one takes its place, so one looks at each.
    """
    for found in changes:
        now = {path: _state(path) for path in files}
        saved = {path for path in files if now[path] not in (None, files[path])}
        files.update((path, now[path]) for path in saved)
        yield {os.path.abspath(path) for _, path in found} - files.keys() | saved


def _state(path: str) -> tuple[int, ...] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
