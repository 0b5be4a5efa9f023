"""Obtaining what this process is to run and its node does not have.

Another process, the fetcher, brings it: nothing of what reaches a store is imported
here, so that all processes of a node are alike. See `lazyimport.delivery.fetcher`.
"""

from __future__ import annotations

import os
import sys

from lazyimport.cache.node import NO_DISK, NodeCache
from lazyimport.cache.progress import begin_progress, read_progress
from lazyimport.delivery.starting import Answers, decode_error, start_fetcher
from lazyimport.files import tries
from lazyimport.lazy import errors
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.progress import Progress
    from lazyimport.format.archive import Archive
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings

#: Fetchers that may die without a word, one after the other, before that is an error.
_DEATHS = 3
#: Seconds between two looks at how far a fetcher is, at most.
_PAUSE = 0.025
#: Seconds by which a fetcher gives up sooner than a process that waits for it, at most.
_SOONER = 5.0


def look_up(settings: Settings) -> Settings:
    """Return *settings* with the hash that their channel points to now.

    Raises SettingsError if they name none, ChannelError, SignatureError, StoreError.
    """
    if settings.channel is None:
        raise errors.SettingsError(
            "no archive to install: pass its hash or set LAZYIMPORT_HASH, or name a "
            "channel with LAZYIMPORT_CHANNEL, or an artifact with LAZYIMPORT_ARTIFACT",
            name="hash",
            value=None,
        )
    if _is_here_alone(settings.store):
        from lazyimport.registry.resolution import resolve_channel

        change = resolve_channel(settings, settings.channel)
        hash, number = str(change.hash), str(change.number)
    else:
        from lazyimport.reporting import SILENT

        with Answers("look up", settings) as answers:
            hash, number = answers.result(SILENT)
    if "logging" in sys.modules:  # nobody listens otherwise
        sys.modules["logging"].getLogger("lazyimport").info(
            "channel %s of %s points to archive %s (#%s)",
            settings.channel,
            redact(str(settings.store)),
            hash,
            number,
        )
    return settings.with_hash(hash)


def require_signed(settings: Settings) -> None:
    """Raise SignatureError unless a trusted key has signed the archive of *settings*.

    The store is asked only where this node does not know. Raises SettingsError if no
    key is trusted, and StoreError.
    """
    from lazyimport.registry import resolution
    from lazyimport.reporting import SILENT

    assert settings.hash is not None
    if _is_here_alone(settings.store):
        resolution.require_signature(settings, settings.hash)
    elif not resolution.is_known_as_signed(settings, settings.hash):
        with Answers("require signed", settings) as answers:
            answers.result(SILENT)


def obtain(
    settings: Settings, reporter: Reporter, *, ahead: bool = False
) -> tuple[Archive, int]:
    """Return the archive or artifact of *settings*, and the bytes downloaded for it.

    0 bytes if the node has it, or fetched it for another process. If the cache cannot
    be written, the archive comes into memory, and *reporter* is warned of that; with
    *ahead*, it is for processes that start later, so that is a CacheError.

    Raises ArchiveMissing, StoreError, CacheError, ArchiveError, or for an artifact
    PackError.
    """
    if os.path.lexists(settings.cache_dir):
        # A process that runs from memory finds libraries and compiled code there, too.
        NodeCache(settings.cache_dir).make()
    if _is_here_alone(settings.artifact or settings.store):
        return obtain_here(settings, reporter, ahead=ahead)
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import find_made

        made = find_made(settings)
        if made is not None:
            return made, 0
        return _through_pipe(settings, reporter, ahead=ahead)
    assert settings.hash is not None
    if settings.cache_mode == "memory":
        return _through_pipe(settings, reporter, ahead=ahead)
    try:
        return _Waiting(settings, settings.hash, reporter).result()
    except errors.CacheError as error:
        if ahead or error.errno not in NO_DISK:
            raise
        return _through_pipe(settings, reporter, ahead=ahead)


def obtain_here(
    settings: Settings, reporter: Reporter, *, ahead: bool = False, held: bool = False
) -> tuple[Archive, int]:
    """Do what `obtain` does in this process, which imports what reaches the store.

    An archive that must be signed is asked for its signature first. Its lock is *held*,
    or it is taken here. Raises SignatureError beside what `obtain` does.
    """
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import deliver

        return deliver(settings, reporter, ahead=ahead)
    from lazyimport.delivery.fetch import fetch

    assert settings.hash is not None
    if settings.require_signature:
        from lazyimport.registry.resolution import require_signature

        require_signature(settings, settings.hash)
    return fetch(settings, settings.hash, reporter, ahead=ahead, held=held)


def _is_here_alone(store: str | None) -> bool:
    """Whether no other process can help.

    There is no *store*, or it is in this process, or this is a program of its own with
    Python in it.
    """
    if store is None or store.startswith("memory:"):
        return True
    return not os.path.basename(sys.executable or "").startswith(("python", "pypy"))


def _through_pipe(
    settings: Settings, reporter: Reporter, *, ahead: bool
) -> tuple[Archive, int]:
    """Return what a child brings for this process alone."""
    with Answers("obtain ahead" if ahead else "obtain", settings) as answers:
        hash, moved, size = answers.result(reporter)
        cache = NodeCache(settings.cache_dir)
        if int(size):
            return answers.archive(hash, int(size), cache), int(moved)
    return cache.open_new(hash), int(moved)


class _Waiting:
    """A process that waits until its node has an archive."""

    def __init__(self, settings: Settings, hash: str, reporter: Reporter) -> None:
        self._settings = settings
        self._hash = hash
        self._reporter = reporter
        self._cache = NodeCache(settings.cache_dir)
        self._warned = self._started = self._waited = False
        self._deaths = 0

    def result(self) -> tuple[Archive, int]:
        """Return the archive, and the bytes that were moved because of this process.

        Starts a fetcher if none is at work, and another one if that dies.
        """
        progress = None
        for _ in tries(self._settings.timeout, longest=_PAUSE):
            archive = self._open()
            if archive is not None:
                done = read_progress(self._cache, self._hash)
                return archive, done.moved if done and self._started else 0
            progress = self._look() or progress
        raise self._too_long(progress)

    def _open(self) -> Archive | None:
        try:
            return self._cache.open(self._hash)
        except errors.ArchiveError as error:
            if not self._warned:
                self._warned = True
                store = redact(str(self._settings.store))
                self._reporter.warn(f"{error}; fetching it again from {store}")
            return None

    def _look(self) -> Progress | None:
        """Start a fetcher if there is none; return how far the one at work is."""
        lock = self._cache.lock(self._hash, 0)
        try:
            if not lock.take():
                return self._follow()
            if self._waited:
                self._raise_what_went_wrong()
            if self._open() is None:
                begin_progress(lock.descriptor)
                # Its error, which knows more, comes before the end of this wait.
                seconds = self._settings.timeout
                seconds -= min(seconds / 4, _SOONER)
                start_fetcher(self._settings.replaced(timeout=seconds), lock)
                self._started = self._waited = True
        except OSError as error:
            raise self._cache.refused(self._hash, error) from error
        finally:
            lock.leave()
        return None

    def _follow(self) -> Progress | None:
        """Tell how far the fetcher at work is, and return it."""
        self._waited = True
        progress = read_progress(self._cache, self._hash)
        if progress is not None and progress.total:
            store = redact(str(self._settings.store))
            text = f"fetching {self._hash[:12]} from {store}"
            self._reporter.step(text, progress.done, progress.total, "bytes")
        return progress

    def _raise_what_went_wrong(self) -> None:
        """Raise the error of the fetcher that has ended, or has died too often."""
        if self._open() is not None:
            return
        progress = read_progress(self._cache, self._hash)
        if progress is not None and progress.state == "failed":
            raise decode_error(progress.text)
        self._deaths += 1
        if self._deaths == _DEATHS:
            said = progress.text.strip().rpartition("\n")[2] if progress else ""
            raise errors.DeliveryError(
                f"archive {self._hash} cannot be fetched: the fetcher died "
                f"{_DEATHS} times ({said or 'and said nothing'}); see whether something "
                "kills it, such as a limit of memory"
            )

    def _too_long(self, progress: Progress | None) -> errors.LazyImportError:
        how_far = f", {progress.percent}," if progress and progress.total else ""
        if progress and not how_far:
            from lazyimport.stores.attempt import UNREACHABLE

            store = redact(str(self._settings.store))
            return errors.StoreUnavailable(
                f"archive {self._hash} cannot be fetched: {store} has not answered "
                f"for {self._settings.timeout:g} s; {UNREACHABLE}",
                url=store,
            )
        return errors.CacheError(
            f"archive {self._hash} is still being fetched{how_far} after "
            f"{self._settings.timeout:g} s; that goes on, so start this process again, "
            "or raise LAZYIMPORT_TIMEOUT; if it hangs, 'fuser "
            f"{self._cache.lock_path(self._hash)}' finds it",
            path=self._cache.lock_path(self._hash),
        )
