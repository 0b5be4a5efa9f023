"""Waiting: for an archive that another process, the fetcher, brings to the node.

For all of it, or for members of one that this process already runs from.
"""

from __future__ import annotations

import os
import time
from errno import EFBIG, ETIMEDOUT

from lazyimport.cache.node import KINDS, NO_DISK, NodeCache
from lazyimport.cache.partial import open_partial, wish
from lazyimport.cache.progress import begin_progress, read_progress
from lazyimport.delivery.starting import decode_error, fetch_alone, start_fetcher
from lazyimport.files import tries
from lazyimport.lazy import errors
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lazyimport.cache.progress import Progress
    from lazyimport.format.archive import Archive
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings

#: Fetchers that may die without a word, one after the other, before that is an error.
_DEATHS = 3
#: Seconds between two looks at how far a fetcher is: at first, and at most.
_FIRST = 0.001
_PAUSE = 0.025
#: So much longer is each pause than the last one: a thirtieth of the wait.
_GROWTH = 1.03
#: Seconds after which a fetcher without a sign of life may be stopped, and after which
#: it is, or its container, or it waits for a disk that does not answer.
_STILL, _SILENT = 2.0, 15.0
#: Looks after which a wish is repeated, which a fetcher that died may have had.
_AGAIN = 16
#: Seconds by which a fetcher gives up sooner than a process that waits for it, at most.
_SOONER = 5.0


class Rest:
    """The rest of the archive *hash* that this process runs from, in the file *inode*.

    It is that of *settings*, or its base.
    """

    def __init__(
        self,
        settings: Settings,
        hash: str,
        reporter: Reporter,
        inode: int,
    ) -> None:
        self._settings = settings
        self._hash = hash
        self._reporter = reporter
        self._inode = inode
        self._cache = NodeCache(settings.cache_dir)

    def want(self, slots: Sequence[int]) -> None:
        """Have these members brought before others; do not wait for them."""
        wish(self._cache, self._hash, slots)

    def wait(self, archive: Archive, slot: int, path: str) -> Archive:
        """Return *archive* when it has the member in *slot*, or it from another file.

        *path* names the member. Raises MemberMissing.
        """
        wanted = str(self._settings.hash)
        waiting = Waiting(self._settings, wanted, self._reporter)
        looks = tries(self._settings.timeout, first=_FIRST, longest=_PAUSE)
        progress = None
        try:
            for turn, _ in enumerate(looks):
                if not archive.awaits(slot):
                    return archive
                if turn % _AGAIN == 0:
                    wish(self._cache, self._hash, [slot])
                    other = self._elsewhere(waiting)
                    if other is not None:
                        return other
                progress = waiting.look() or progress
            raise waiting.too_long(progress)
        except errors.LazyImportError as error:
            if isinstance(error, errors.CacheError) and error.errno in NO_DISK:
                alone = self._settings.with_hash(self._hash)
                return fetch_without(error, alone, self._reporter)[0]
            raise errors.MemberMissing(
                f"{path or 'the top directory'} of archive {self._hash} is not on this "
                f"node yet: {error}",
                hash=self._hash,
                member=path,
                store=redact(str(self._settings.store)),
            ) from error

    def _elsewhere(self, waiting: Waiting) -> Archive | None:
        """Return the archive from another file, if it is coming, or is, in one."""
        kinds = (self._cache.partial_path(self._hash, kind) for kind in KINDS)
        for path in (self._cache.archive_path(self._hash), *kinds):
            try:
                if os.stat(path).st_ino == self._inode:
                    return None
            except FileNotFoundError:
                pass
        return waiting.open(self._hash)


def fetch_without(
    error: errors.CacheError, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    """Return what `fetch_alone` does where *error* keeps it from the node cache."""
    if error.errno == ETIMEDOUT:  # where its child would wait for the same lock
        reporter.warn(f"{error}; archive {settings.hash} runs from memory")
        settings = settings.replaced(cache_mode="memory")
    return fetch_alone(settings, reporter)


class Waiting:
    """A process that waits until its node has an archive.

    A subclass waits for something else: it has another ``name``, which is that of its
    lock, another ``what`` and ``label``, which name it in errors and progress, another
    `open_whole`, and ``asked`` for its fetcher.
    """

    asked = "archive"

    def __init__(self, settings: Settings, hash: str, reporter: Reporter) -> None:
        self._settings = settings
        self.name = hash
        self.what = f"archive {hash}"
        self.label = hash[:12]
        self._reporter = reporter
        self._cache = NodeCache(settings.cache_dir)
        self._warned = self._started = self._waited = False
        self._deaths = 0
        self._said, self._since, self._looked, self._next = "", 0.0, 0.0, 0.0

    def result(self, *, whole: bool) -> tuple[Any, int]:
        """Return the archive, and the bytes that were moved because of this process.

        Unless it is to be *whole*, the rest of it may still be coming. Starts a fetcher
        if none is at work, and another one if that dies.
        """
        progress = None
        for _ in tries(self._settings.timeout, _FIRST, _PAUSE, _GROWTH):
            archive = self.open_whole()
            if archive is None:
                archive = None if whole else self._open_partial(self.name)
                try:
                    progress = self.look() or progress
                except errors.LazyImportError:
                    if archive is None:
                        raise  # else what is there runs, without the store as well
            if archive is not None:
                done = read_progress(self._cache, self.name) if self._started else None
                return archive, 0 if done is None else done.moved or done.total
        raise self.too_long(progress)

    def open(self, hash: str) -> Archive | None:
        """Return the archive or its base if that is here, or coming and open."""
        return self._cache.open(hash) or self._open_partial(hash)

    def _open_partial(self, hash: str) -> Archive | None:
        found = open_partial(self._cache, hash, self._open_base)
        if found is None:
            return None
        archive, inode = found
        archive.coming = Rest(self._settings, hash, self._reporter, inode)
        return archive

    def _open_base(self, hash: str) -> Archive:
        archive = self.open(hash)
        if archive is None:
            raise errors.MalformedArchive(f"{hash} has not come yet", hash=hash)
        return archive

    def open_whole(self) -> Any:
        """Return the archive if all of it is here."""
        try:
            return self._cache.open(self.name)
        except errors.ArchiveError as error:
            if not self._warned:
                self._warned = True
                store = redact(str(self._settings.store))
                self._reporter.warn(f"{error}; fetching it again from {store}")
            return None

    def look(self) -> Progress | None:
        """Start a fetcher if there is none; return how far the one at work is."""
        lock = self._cache.lock(self.name, 0)
        try:
            if not lock.take():
                return self._follow()
            if self._waited:
                self._raise_what_went_wrong()
            if self.open_whole() is None:
                begin_progress(lock.descriptor)
                # Its error, which knows more, comes before the end of this wait.
                seconds = self._settings.timeout
                seconds -= min(seconds / 4, _SOONER)
                settings = self._settings.replaced(timeout=seconds)
                start_fetcher(settings, lock, self.asked)
                self._started = self._waited = True
        except OSError as error:
            raise self._cache.refused(self.what, error) from error
        finally:
            lock.leave()
        return None

    def _follow(self) -> Progress | None:
        """Tell how far the fetcher at work is, and return it."""
        self._waited = True
        progress = read_progress(self._cache, self.name)
        self._watch(progress)
        if progress is not None and progress.total:
            store = redact(str(self._settings.store))
            text = f"fetching {self.label} from {store}"
            self._reporter.step(text, progress.done, progress.total, "bytes")
        return progress

    def _watch(self, progress: Progress | None) -> None:
        """Look whether the fetcher at work is stopped, if it says nothing new.

        Raises CacheError for one that this process cannot see, and so cannot end.
        """
        now, said = time.monotonic(), str(progress and progress.sign)
        # If this process was paused, the fetcher may have been, too.
        if said != self._said or now - self._looked > _STILL:
            self._said, self._since, self._next = said, now, now + _STILL
        self._looked = now
        if now < self._next:
            return
        from lazyimport.delivery.stopped import end_stopped  # few are slow

        self._next = now + _STILL
        if pid := end_stopped(self._cache.lock_path(self.name)):
            self._reporter.warn(
                f"the fetcher of {self.what}, process {pid}, was stopped (SIGSTOP), "
                "so it was ended; another one goes on"
            )
        elif (
            progress is not None  # else a process fetches for itself
            and progress.state == "fetching"
            and now - self._since > _SILENT
        ):
            lock = self._cache.lock_path(self.name)
            raise errors.CacheError(
                f"{self.what} does not come into the node cache: what holds the lock "
                f"{lock} has given no sign of life for {_SILENT:g} s, so it is stopped, "
                "paused with its container, or waits for the disk; find it with "
                f"'fuser {lock}' on the node, and end it",
                path=lock,
                errno=ETIMEDOUT,
            )

    def _raise_what_went_wrong(self) -> None:
        """Raise the error of the fetcher that has ended, or has died too often."""
        if self.open_whole() is not None:
            return
        progress = read_progress(self._cache, self.name)
        if progress is not None and progress.state == "failed":
            if not progress.text:
                error = OSError(EFBIG, os.strerror(EFBIG))
                raise self._cache.refused(self.what, error)
            raise decode_error(progress.text)
        self._deaths += 1
        if self._deaths == _DEATHS:
            said = progress.text.strip().rpartition("\n")[2] if progress else ""
            raise errors.DeliveryError(
                f"{self.what} cannot be fetched: the fetcher died "
                f"{_DEATHS} times ({said or 'and said nothing'}); see whether something "
                "kills it, such as a limit of memory"
            )

    def too_long(self, progress: Progress | None) -> errors.LazyImportError:
        """Return the error that no more time is left; *progress* is how far it is."""
        how_far = f", {progress.percent}," if progress and progress.total else ""
        if progress and not how_far:
            from lazyimport.stores.attempt import UNREACHABLE

            store = redact(str(self._settings.store))
            return errors.StoreUnavailable(
                f"{self.what} cannot be fetched: {store} has not answered "
                f"for {self._settings.timeout:g} s; {UNREACHABLE}",
                url=store,
            )
        return errors.CacheError(
            f"{self.what} is still being fetched{how_far} after "
            f"{self._settings.timeout:g} s; that goes on, so start this process again, "
            "or raise LAZYIMPORT_TIMEOUT; if it hangs, 'fuser "
            f"{self._cache.lock_path(self.name)}' finds it",
            path=self._cache.lock_path(self.name),
        )
