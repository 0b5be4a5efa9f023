"""Obstacles: what keeps an archive from being installed in this process."""

from __future__ import annotations

import sys

from lazyimport.errors import InstallError, SettingsError, WrongPython
from lazyimport.importing.loader import ArchiveLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive


class Failure:
    """Why the archive that this process was to run is not installed.

    *wanted* names it in messages; *hash* is empty if it is not known.
    """

    def __init__(self, wanted: str, hash: str, reason: str) -> None:
        self.wanted = wanted
        self.hash = hash
        self.reason = reason


def named_twice(*names: str | None) -> SettingsError:
    """Return the error for a hash, a channel and an artifact of which two are named."""
    return SettingsError(
        "pass one of hash, channel= and artifact=, which may point to different "
        f"archives, not {' and '.join(repr(name) for name in names if name)}",
        name="hash",
        value=names[0],
    )


def refuse_another(
    installed: str, its_channel: str | None, hash: str, channel: str | None
) -> None:
    """Raise InstallError unless the archive *installed* is the one that is wanted.

    It came by *its_channel*, if by any, and *hash* is to come by *channel*.
    """
    other = bool(channel and its_channel not in {None, channel})
    if installed == hash and not other:
        return
    raise InstallError(
        f"this process already runs archive {installed}"
        f"{f' of channel {its_channel!r}' if its_channel else ''}, "
        f"so it cannot run {f'channel {channel!r}' if other else hash} "
        "as well; start a new process for it",
        hash=hash,
        installed=installed,
    )


def refuse_leftovers(hash: str) -> None:
    """Raise InstallError if modules of another archive than *hash* are still here."""
    old: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if type(loader) is ArchiveLoader and loader.hash != hash:
            old.setdefault(loader.hash, []).append(name)
    for installed, names in old.items():
        raise InstallError(
            f"modules of archive {installed} are still in this process "
            f"({', '.join(sorted(names)[:3])}, {len(names)} in all), so it cannot run "
            f"{hash}; start a new process for it",
            hash=hash,
            installed=installed,
        )


def wrong_python(archive: Archive) -> WrongPython:
    """Return the error for an archive that is not for the running Python."""
    required = archive.notes.get("requires_python")
    if not required:
        minors = archive.index.minors
        runs_on = [minor for minor in range(64) if minors >> minor & 1]
        required = ", ".join(f"3.{minor}" for minor in runs_on) or "no Python at all"
    return WrongPython(
        f"archive {archive.hash} is for Python {required}, and this is "
        f"{sys.version.split()[0]}; use an image with such a Python, or push the tree "
        "with a requires-python that allows this one",
        hash=archive.hash,
    )
