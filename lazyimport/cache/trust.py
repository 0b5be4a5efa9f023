"""Trust: a process runs code only from directories that no stranger may write to."""

from __future__ import annotations

import os
import stat

from lazyimport.files import make_directories
from lazyimport.lazy import errors


def make_trusted(path: str) -> str:
    """Return *path*, a directory of this user's (or root's), closed to others.

    Makes it and its parents where they are missing, open to this user only.
    Raises CacheError if that fails, and as `is_trusted` does.
    """
    if not is_trusted(path):
        try:
            make_directories(path)
        except OSError as error:
            raise _unusable("create", path, error) from error
        is_trusted(path)
    return path


def is_trusted(path: str) -> bool:
    """Return whether the directory *path* exists; if it does, it may be trusted.

    Its group may write to it: Kubernetes mounts volumes that way (fsGroup). Raises
    CacheError if it cannot be reached, is no directory, belongs to another user or
    can be written by everybody: the code in it will run.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable("use", path, error) from error
    if not stat.S_ISDIR(status.st_mode):
        raise errors.CacheError(
            f"the cache directory {path} is not a directory; remove what is there, or "
            "set LAZYIMPORT_CACHE_DIR to another",
            path=path,
        )
    if status.st_uid not in {os.geteuid(), 0}:
        raise _refused(path, f"belongs to user {status.st_uid}", "another")
    if status.st_mode & stat.S_IWOTH:
        other = f"a folder in it, such as {path}/cache, or to another"
        raise _refused(path, "can be written by everybody", other)
    return True


def _unusable(verb: str, path: str, error: OSError) -> errors.CacheError:
    return errors.CacheError(
        f"cannot {verb} the cache directory {path}: {error.strerror}; set "
        "LAZYIMPORT_CACHE_DIR to a directory this user may write",
        path=path,
        errno=error.errno,
    )


def _refused(path: str, why: str, other: str) -> errors.CacheError:
    return errors.CacheError(
        f"refusing the cache directory {path}: it {why}, who could put code there "
        f"that this process would run; set LAZYIMPORT_CACHE_DIR to {other}",
        path=path,
    )
