"""Disks: the kind of the file system on which a path lies, and whose it is."""

from __future__ import annotations

import os

_MOUNTS = "/proc/self/mountinfo"
#: File systems of one machine.
_LOCAL = frozenset(
    [
        "bcachefs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "overlay",
        "tmpfs",
        "xfs",
        "zfs",
    ]
)


def kind_of(path: str) -> str:
    """Return the kind of the file system of *path*, such as ``ext4``; "" if unknown."""
    path, longest, kind = f"{os.path.realpath(path)}/", "", ""
    path = os.fsencode(path).decode("latin-1")
    try:
        with open(_MOUNTS, "rb") as mounts:
            for line in mounts:
                about, _, rest = line.partition(b" - ")
                place = about.split(b" ")[4].decode("unicode_escape")  # \\040: a space
                if path.startswith(f"{place.rstrip('/')}/") and place >= longest:
                    longest, kind = place, rest.partition(b" ")[0].decode()
    except (OSError, ValueError, LookupError):
        return ""  # not on Linux
    return kind


def is_local(path: str) -> bool:
    """Return whether what one process writes below *path* is what others have mapped.

    So it is on a disk of this machine, of a kind that is known.
    """
    return kind_of(path) in _LOCAL
