"""The errors of lazyimport, one tree; that of deploying is in ``deploy.errors``.

::

    LazyImportError
    ├── SettingsError            a setting or argument is wrong (also a ValueError)
    ├── InstallError             install() contradicts what this process already runs
    ├── ArchiveError             the bytes of an archive
    │   ├── MalformedArchive     they are not an archive, or one cut or forged
    │   ├── DamagedArchive       they were one: a digest no longer holds
    │   ├── UnsupportedArchive   of a format version this lazyimport cannot read
    │   └── WrongPython          the archive does not run on this Python
    ├── DeliveryError            getting bytes to or from where they are kept
    │   ├── StoreError           a store
    │   │   ├── StoreMissing     the bucket or folder itself does not exist
    │   │   ├── StoreDenied      it exists and we may not
    │   │   ├── KeyMissing       the store is there, the object is not
    │   │   └── StoreUnavailable no answer, or not now (trying again can help)
    │   ├── ArchiveMissing       no store that was asked holds this hash
    │   ├── ChannelError         a channel does not exist, or changed meanwhile
    │   ├── SignatureError       signed by nobody who is trusted here
    │   └── CacheError           the node cache cannot be used
    ├── PackError                the tree cannot become an archive
    ├── ArchiveImportError       leaves the import protocol (also an ImportError)
    │   └── ArchiveModuleMissing (also a ModuleNotFoundError)
    └── ArchiveReadError         leaves the reading of a file (also an OSError)

Every error carries its facts as attributes beside the text, and survives
pickling with them, because Ray sends what a task raises to the driver.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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
    "KeyMissing",
    "LazyImportError",
    "MalformedArchive",
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


class LazyImportError(Exception):
    """Base of everything lazyimport raises on its own account.

    *message* is the text for a person; *facts* become attributes.
    ``retryable`` tells whether the same call can succeed later unchanged.
    """

    retryable = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.__setstate__(facts)  # which sets attributes

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def with_text(self, text: str) -> Self:
        """Return a copy that says *text*: of the same type, with the same facts."""
        return type(self)(text, **self._facts())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self._facts()

    def _facts(self) -> dict[str, Any]:
        return dict(self.__dict__)


class SettingsError(LazyImportError, ValueError):
    """A setting, environment variable or argument has no usable value."""

    name: str
    value: object


class InstallError(LazyImportError):
    """``install()`` was asked for something this process cannot do any more."""

    hash: str
    installed: str


class ArchiveError(LazyImportError):
    """The bytes of an archive are not what they should be."""

    hash: str | None = None


class MalformedArchive(ArchiveError):
    """Not an archive, or cut short, or its parts contradict each other."""


class DamagedArchive(ArchiveError):
    """A digest does not hold: these bytes are not the ones that were packed."""

    member: str
    expected: str
    actual: str


class UnsupportedArchive(ArchiveError):
    """Written in a format version newer than this lazyimport reads."""

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
    """The store answered: it holds no such object."""


class StoreUnavailable(StoreError):
    """No answer in time, or an answer that says to come back later."""

    retryable = True


class ArchiveMissing(DeliveryError):
    """Neither the node cache nor the store has this hash."""

    hash: str
    store: str | None = None


class ChannelError(DeliveryError):
    """A channel names no archive, cannot be read, or was changed by another."""

    channel: str
    store: str


class SignatureError(DeliveryError):
    """Not signed with a trusted key, or not as it was signed."""


class CacheError(DeliveryError):
    """The node cache cannot be used as it is; ``errno`` where the system said so."""

    path: str
    errno: int | None = None


class PackError(LazyImportError):
    """The tree cannot become an archive; ``issues`` holds every reason found."""

    issues: tuple[str, ...] = ()


class ArchiveImportError(LazyImportError, ImportError):
    """A module of the archive cannot be imported; ``name`` and ``path`` say which."""

    hash: str

    def _facts(self) -> dict[str, Any]:
        return {**self.__dict__, "name": self.name, "path": self.path}


class ArchiveModuleMissing(ArchiveImportError, ModuleNotFoundError):
    """Nobody has the module: neither the archive nor this environment.

    *explain* gives the text that follows the interpreter's own, when somebody
    reads it: programs that probe for optional modules never do.
    """

    def __init__(
        self, message: str, explain: Callable[[], str] | None = None, **facts: Any
    ) -> None:
        super().__init__(message, **facts)
        self._explain = explain
        self._explanation = ""

    def __str__(self) -> str:
        if self._explain is not None:
            explain, self._explain = self._explain, None
            self._explanation = explain()
        return super().__str__() + self._explanation

    def _facts(self) -> dict[str, Any]:
        str(self)
        return {**super()._facts(), "_explain": None}


class ArchiveReadError(LazyImportError, OSError):
    """A file of the archive cannot be read: what a bad disk is to a directory.

    ``filename`` names it, ``errno`` is `errno.EIO`.
    """

    hash: str

    def _facts(self) -> dict[str, Any]:
        return {**self.__dict__, "errno": self.errno, "filename": self.filename}
