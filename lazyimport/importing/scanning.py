"""Scanning a directory of a tree: a link that stands for a file on demand is a file.

`lazyimport.importing.wrappers` wraps ``os.scandir``, whose entries ask the system.
"""

from __future__ import annotations

import os

from lazyimport.importing.looking import is_awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.importing.looks import Looks


class Entries:
    """What ``os.scandir`` has *found*, of which *looks* knows more."""

    def __init__(self, found: Any, looks: Looks) -> None:
        self._found = found
        self._looks = looks

    def __iter__(self) -> Entries:
        return self

    def __next__(self) -> Any:
        entry = next(self._found)
        if entry.is_symlink() and is_awaited(self._looks, entry.path):
            return _Awaited(entry)
        return entry

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        self._found.close()


class _Awaited:
    """An ``os.DirEntry`` of a file on demand, which may be a link by now."""

    def __init__(self, entry: Any) -> None:
        self._entry = entry
        self.name = entry.name
        self.path = entry.path

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return os.DirEntry

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        return True

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        return False

    def is_symlink(self) -> bool:
        return False

    def is_junction(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def inode(self) -> int:
        return self.stat().st_ino

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return repr(self._entry)
