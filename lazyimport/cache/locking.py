"""The locks of a node cache."""

from __future__ import annotations

from lazyimport.cache.refusal import FULL, refused
from lazyimport.errors import CacheError
from lazyimport.locks import FileLock, LockTimeout


class CacheLock(FileLock):
    """A lock of a node cache: its failures are CacheErrors."""

    def __enter__(self) -> FileLock:
        try:
            return super().__enter__()
        except LockTimeout as error:
            raise CacheError(
                f"another process has held {self.path} for more than "
                f"{self.timeout:g} s; it is probably still downloading (raise "
                "LAZYIMPORT_TIMEOUT), or it hangs (find it with "
                f"'fuser {self.path}')",
                path=self.path,
            ) from error

    def take(self) -> bool:
        """Take the lock if it is free. Raises CacheError."""
        try:
            return super().take()
        except OSError as error:
            if error.errno in FULL:
                folder, _, name = self.path.rpartition("/")
                raise refused(f"the lock {name}", folder, error) from error
            raise CacheError(
                f"cannot lock {self.path}: {error.strerror}; set LAZYIMPORT_CACHE_DIR "
                "to a directory that this user may write, on a file system with locks",
                path=self.path,
                errno=error.errno,
            ) from error
