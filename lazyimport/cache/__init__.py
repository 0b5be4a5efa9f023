"""The node cache: everything that knows a path in it.

A process runs code only from directories that no stranger can change: `is_trusted`.
"""

from __future__ import annotations

import os
import stat

from lazyimport.lazy import Later, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport import files
    from lazyimport.cache import refusal
else:
    files = Later("files")  # to write
    refusal = Later("cache.refusal")  # where one cannot


def make_trusted(path: str) -> bool:
    """Make the directory *path*, open to this user only; return False if it is there.

    Makes its parents too, where they are missing. Raises CacheError if that fails,
    and as `is_trusted` does.
    """
    if is_trusted(path):
        return False
    try:
        files.make_directories(path)
    except OSError as error:
        raise refusal.unusable("create", path, error) from error
    is_trusted(path)
    return True


def is_trusted(path: str) -> bool:
    """Return whether the directory *path* exists; if it does, it may be trusted.

    As for the files of sshd, it and all directories above it must belong to this
    user or to root, and nobody else may be able to write to them. Above it, a
    sticky directory such as ``/tmp`` may be open to all: what is in it is its
    owner's. A group that this process is in may write: Kubernetes mounts volumes
    that way (fsGroup).

    Raises CacheError if it cannot be reached, is no directory, or if somebody else
    could put code there: it will run.
    """
    try:
        place = "/"
        for place, status in _way(path):
            _refuse_strangers(path, place, status)
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refusal.unusable("use", path, error) from error
    if not stat.S_ISDIR(status.st_mode):
        raise errors.CacheError(
            f"the node cache {path} is not a directory; remove what is there, or "
            "set LAZYIMPORT_CACHE_DIR to another",
            path=path,
        )
    if status.st_mode & stat.S_ISVTX:  # which protects what is there, and no more
        _refuse_strangers(path, place, status, sticky=False)
    return True


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all that leads to *path*, directories and links, and *path* at last.

    Raises OSError, such as FileNotFoundError for the first that is missing.
    """
    place = ""
    yield "/", os.lstat("/")
    names = path.split("/")[::-1]
    while names:
        name = names.pop()
        if name == "..":
            place = place.rpartition("/")[0]
        elif name not in {"", "."}:
            status = os.lstat(f"{place}/{name}")
            yield f"{place}/{name}", status
            if stat.S_ISLNK(status.st_mode):
                os.stat(f"{place}/{name}")  # not if it leads in a circle
                target = os.readlink(f"{place}/{name}")
                names += target.split("/")[::-1]
                place = "" if target[:1] == "/" else place
            else:
                place = f"{place}/{name}"


def _refuse_strangers(
    path: str, place: str, status: os.stat_result, *, sticky: bool = True
) -> None:
    """Raise CacheError if somebody else could change what *place* holds.

    It leads to the cache *path*. With *sticky* others may make files of their own.
    """
    mode = status.st_mode
    if status.st_uid not in {os.geteuid(), 0}:
        _refuse(path, place, f"belongs to user {status.st_uid}")
    if stat.S_ISLNK(mode) or (sticky and mode & stat.S_ISVTX):
        return
    if mode & stat.S_IWOTH:
        _refuse(path, place, "can be written by everybody", "o-w")
    group = status.st_gid
    if mode & stat.S_IWGRP and group not in {os.getegid(), *os.getgroups()}:
        _refuse(path, place, f"can be written by group {group}", "g-w")


def _refuse(path: str, place: str, why: str, chmod: str = "") -> None:
    what = "it" if place == path else place
    advice = f"take that right away (chmod {chmod} {place}), or " if chmod else ""
    raise errors.CacheError(
        f"refusing the node cache {path}: {what} {why}, who could put code there "
        f"that this process would run; {advice}set LAZYIMPORT_CACHE_DIR to a directory "
        "that, like all above it, only this user and root can change, such as "
        "~/.cache/lazyimport",
        path=path,
    )
