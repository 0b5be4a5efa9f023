"""Walks over the files of the cache, which others may remove meanwhile."""

from __future__ import annotations

import os
import stat

from lazyimport.files import is_unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def everything(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield *path*, and all that is below it, each with its status.

    What is removed meanwhile is left out. Raises OSError.
    """
    try:
        yield path, os.lstat(path)
    except FileNotFoundError:
        return
    folders = [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as items:
                for item in items:
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if item.is_dir(follow_symlinks=False):
                        folders.append(item.path)
                    yield item.path, status
        except (FileNotFoundError, NotADirectoryError):
            continue


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what `everything` does, but only files that are not unfinished."""
    for path, status in everything(folder):
        if not stat.S_ISDIR(status.st_mode) and not is_unfinished(
            path[path.rfind("/") + 1 :]
        ):
            yield path, status
