"""Watching: which files were changed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from threading import Event

from lazyimport.errors import SettingsError

#: milliseconds: how long after a change others are waited for; how long to wait
_TOGETHER, _STEP, _PAUSE = 200, 20, 200


def watch(
    *paths: str, never: Sequence[str] = (), end: Event | None = None
) -> Iterator[set[str]]:
    """Return an iterator of the files that were changed together, maybe none.

    *paths* are files and folders; what is in the folders *never* does not count. It
    stops when *end* is set. Raises SettingsError without watchfiles.
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
    changes = changes_in(
        *paths,
        watch_filter=ignored,
        debounce=_TOGETHER,
        step=_STEP,
        rust_timeout=_PAUSE,
        yield_on_timeout=True,
        raise_interrupt=True,
        stop_event=end,
    )
    next(changes)  # from here on none is missed
    return ({os.path.abspath(path) for _, path in found} for found in changes)
