"""Watching: which files were changed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

from lazyimport.errors import PackError, SettingsError

#: milliseconds: how long after a change others are waited for; how long to wait
_TOGETHER, _STEP, _PAUSE = 200, 20, 200


def watch(
    *paths: str, never: Sequence[str] = (), end: Event | None = None
) -> Iterator[set[str]]:
    """Return an iterator of the files that were changed together, maybe none.

    *paths* are files and folders; what is in the folders *never* does not count. It
    stops when *end* is set. Raises SettingsError without watchfiles, and PackError for
    what cannot be watched.
    """
    try:
        from watchfiles import DefaultFilter, watch as changes_in
    except ModuleNotFoundError as error:
        raise SettingsError(
            "files are watched with watchfiles, which is not installed here; run: "
            "pip install 'ray-lazyimport[dev]'",
            name="watchfiles",
            value=None,
        ) from error
    ignored = DefaultFilter(ignore_paths=[os.path.realpath(path) for path in never])
    files = {os.path.abspath(one): _state(one) for one in paths if os.path.isfile(one)}
    changes = changes_in(
        *(path for path in paths if not os.path.isfile(path)),
        watch_filter=ignored,
        debounce=_TOGETHER,
        step=_STEP,
        rust_timeout=_PAUSE,
        yield_on_timeout=True,
        raise_interrupt=True,
        stop_event=end,
    )
    try:
        next(changes)  # from here on none is missed
    except (OSError, RuntimeError) as error:
        missing = [path for path in paths if not os.path.exists(path)]
        why = f"{missing[0]} does not exist" if missing else str(error)
        raise PackError(f"cannot watch {', '.join(paths)}: {why}") from error
    return _together(changes, files)


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
