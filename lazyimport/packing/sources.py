"""Sources: the files to pack, as they were when they were collected."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from lazyimport.errors import PackError
from lazyimport.format.digest import sha256

_SHOWN_ISSUES = 20

#: size, mtime and ctime in nanoseconds, inode, device
Signature = tuple[int, int, int, int, int]


class SourceFile(NamedTuple):
    """One file to pack.

    ``path`` is where it goes in the archive, ``location`` its absolute path on this
    machine; ``signature`` is what stat() said when it was collected.
    """

    path: str
    location: str
    executable: bool
    signature: Signature

    def read(self, digest: bytes | None = None) -> bytes:
        """Return the contents; *digest* is their SHA-256 if they were read before.

        Raises PackError if the file cannot be read, or is not as it was collected.
        """
        try:
            with open(self.location, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                content = file.read()
                after = signature_of(os.fstat(file.fileno()))
        except OSError as error:
            raise pack_error(
                [f"{self.location} cannot be read: {reason(error)}"]
            ) from error
        same = signature_of(status) == after == self.signature
        if not same and status.st_nlink > 1:
            same = self._only_linked(after, digest or sha256(content))
        if not same or len(content) != self.signature[0]:
            raise pack_error(
                [f"{self.location} changed while it was being packed; pack again"]
            )
        return content

    def _only_linked(self, signature: Signature, digest: bytes) -> bool:
        """Whether nothing happened to the file but a link added or removed.

        That moves the ctime. uv shares one file among all environments, so it
        happens while another environment is being made.
        """
        if _without_ctime(signature) != _without_ctime(self.signature):
            return False
        try:
            with open(self.location, "rb", buffering=0) as file:
                return sha256(file.read()) == digest
        except OSError:
            return False


class Sources(NamedTuple):
    """All that is to be packed.

    ``files`` are ordered by their paths' bytes. ``excluded`` maps the archive paths
    of Python files and directories (these end in ``/``) that a rule dropped to the
    rule, except for what is dropped by default. ``warnings`` are sentences.
    """

    files: tuple[SourceFile, ...]
    excluded: dict[str, str]
    warnings: tuple[str, ...]


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells whether a file was changed since."""
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def pack_error(issues: Sequence[str]) -> PackError:
    """Return the error for *issues*; its text has the first of them."""
    shown = list(issues[:_SHOWN_ISSUES])
    if len(issues) > len(shown):
        shown.append(f"and {len(issues) - len(shown)} more")
    return PackError("\n".join(shown), issues=tuple(issues))


def reason(error: OSError) -> str:
    """Return what the system said."""
    return error.strerror or str(error)


def _without_ctime(signature: Signature) -> tuple[int, ...]:
    return signature[:2] + signature[3:]
