"""The errors of lazyimport, one tree; that of deploying is in ``deploy.errors``.

::

    LazyImportError
    ├── SettingsError            a setting or argument is wrong (also a ValueError)
    ├── InstallError             install() contradicts what this process already runs
    │                            (also a RuntimeError)
    ├── KeepError                keep() would take memory twice (also a RuntimeError)
    ├── ArchiveError             an archive cannot be used
    │   ├── MalformedArchive     its bytes are no archive, or one that is cut or forged
    │   ├── DamagedArchive       they were one: a digest does not hold any more
    │   ├── MemberMissing        a part of it is not here and cannot be fetched
    │   ├── UnsupportedArchive   this lazyimport cannot read its format version
    │   └── WrongPython          it does not run on this Python
    ├── DeliveryError            bytes cannot be brought to this node, or from it
    │   ├── StoreError           a store failed
    │   │   ├── StoreMissing     the bucket or folder itself does not exist
    │   │   ├── StoreDenied      it exists, but refuses this user
    │   │   ├── KeyMissing       it exists, but does not have the object
    │   │   └── StoreUnavailable it does not answer now (trying again can help)
    │   ├── ArchiveMissing       no store that was asked has this hash
    │   ├── ChannelError         a channel does not exist, or was changed meanwhile
    │   ├── SignatureError       no trusted key has signed it
    │   └── CacheError           the node cache cannot be used
    ├── PackError                sources cannot become an archive
    ├── ArchiveImportError       a module cannot be imported (also an ImportError)
    │   └── ArchiveModuleMissing it is nowhere (also a ModuleNotFoundError)
    └── ArchiveReadError         a file cannot be read (also an OSError)

Every error carries its facts as attributes beside the text, and survives
pickling with them, because Ray sends what a task raises to the driver. What leaves
an import or a refused task comes back as the error of Python's own that it is, with
the same text and facts: the driver may not have lazyimport.
"""

from __future__ import annotations

from lazyimport.import_errors import (
    ArchiveImportError,
    ArchiveModuleMissing,
    LazyImportError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

__all__ = [
    "ArchiveError",
    "ArchiveImportError",
    "ArchiveMissing",
    "ArchiveModuleMissing",
    "ArchiveReadError",
    "CacheError",
    "ChannelError",
    "DamagedArchive",
    "DeliveryError",
    "InstallError",
    "KeepError",
    "KeyMissing",
    "LazyImportError",
    "MalformedArchive",
    "MemberMissing",
    "PackError",
    "SettingsError",
    "SignatureError",
    "StoreDenied",
    "StoreError",
    "StoreMissing",
    "StoreUnavailable",
    "UnsupportedArchive",
    "WrongPython",
]

#: What leaves imports, and which errors of Python's own they are for a reader.
READ_AS = {
    "ArchiveModuleMissing": "ModuleNotFoundError",
    "ArchiveImportError": "ImportError",
}


def as_python_says(text: str) -> str:
    """Return *text*, as of a traceback, with Python's names for what leaves imports.

    Other errors of ours have the name of their class.
    """
    text = text.replace(f"{__name__}.", "")
    for ours, name in READ_AS.items():
        text = text.replace(f"{ours}:", f"{name}:")
    return text


class SettingsError(LazyImportError, ValueError):
    """A setting, environment variable or argument has no usable value."""

    name: str
    value: object


class InstallError(LazyImportError, RuntimeError):
    """This process cannot do any more what ``install()`` was asked for.

    Workers refuse tasks with it, so it is pickled as a RuntimeError. ``hash`` was asked
    for, and ``installed`` runs, as far as either is known.
    """

    hash: str | None = None
    installed: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeError, self.args, self._facts()


class KeepError(LazyImportError, RuntimeError):
    """`lazyimport.keep` would make *key* again while the one from before is alive."""

    key: str


class ArchiveError(LazyImportError):
    """An archive cannot be used; ``hash`` is its name if that is known."""

    hash: str | None = None


class MalformedArchive(ArchiveError):
    """The bytes are no archive, or cut short, or contradict each other."""


class DamagedArchive(ArchiveError):
    """A digest does not hold: these are not the bytes that were packed."""

    member: str
    expected: str
    actual: str


class MemberMissing(ArchiveError):
    """What a process needs of an archive cannot be fetched.

    It is still coming, or a large file. ``member`` is its path in the archive.
    """

    member: str
    store: str | None


class UnsupportedArchive(ArchiveError):
    """The archive is of a newer format version than this lazyimport reads."""

    version: int


class WrongPython(ArchiveError):
    """The packed project declares that it does not run on this Python."""


class DeliveryError(LazyImportError):
    """Bytes could not be brought to this node or from it."""


class StoreError(DeliveryError):
    """A store failed; ``url`` names the store and ``key`` the object, if any."""

    url: str
    key: str | None = None


class StoreMissing(StoreError):
    """The bucket or folder itself does not exist."""


class StoreDenied(StoreError):
    """The store refuses these credentials or this user."""


class KeyMissing(StoreError):
    """The store does not have the object."""


class StoreUnavailable(StoreError):
    """The store did not answer in time, or asked to come back later."""

    retryable = True


class ArchiveMissing(DeliveryError):
    """Neither the node cache nor the store has the archive."""

    hash: str
    store: str | None = None


class ChannelError(DeliveryError):
    """A channel names no archive, cannot be read, or was changed meanwhile."""

    channel: str
    store: str


class SignatureError(DeliveryError):
    """It is not signed with a trusted key, or was changed since."""


class CacheError(DeliveryError):
    """The node cache cannot be used; ``errno`` is set if the system refused."""

    path: str
    errno: int | None = None


class PackError(LazyImportError):
    """Sources cannot become an archive; ``issues`` has all reasons that were found."""

    issues: tuple[str, ...] = ()


class ArchiveReadError(LazyImportError, OSError):
    """A file of the archive cannot be read, as on a bad disk; pickled as OSError.

    ``filename`` names it; ``errno`` is `errno.EIO`.
    """

    hash: str

    @classmethod
    def of(cls, path: str, hash: str, error: Exception) -> Self:
        """Return the error for the file *path* of the archive *hash*, after *error*."""
        from errno import EIO  # few of these are made

        text = f"cannot read {path}: {error}"
        return cls(text, errno=EIO, filename=path, hash=hash)

    def __reduce__(self) -> tuple[Any, ...]:
        return OSError, (self.errno, str(self)), self._facts()

    def _facts(self) -> dict[str, Any]:
        return {**self.__dict__, "errno": self.errno, "filename": self.filename}
