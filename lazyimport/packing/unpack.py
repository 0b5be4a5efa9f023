"""Unpacking: a zip, wheel or tarball of another tool into an empty folder.

`unpack` checks the names, kinds and declared sizes of all members before it writes the
first byte, and refuses the whole container for what ``docs/artifacts.md`` lists.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from lazyimport.packing.members import (
    CHUNK,
    FILE,
    FOLDER,
    HARD_LINK,
    LINK,
    Guard,
    Member,
    listed,
)
from lazyimport.packing.names import collisions

#: More is not a tree of code but a mistake, or a bomb.
MAX_FILES = 250_000
MAX_BYTES = 4 << 30


def unpack(
    file: str,
    suffix: str,
    folder: str,
    *,
    what: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack the container at *file*, a ``.zip``, ``.whl``, or tarball by *suffix*.

    *folder* must be empty; *what* names the container in messages. Permissions are
    dropped except for the executable bit, and times altogether.

    Raises PackError, and may leave *folder* half filled then; OSError if the
    disk refuses.
    """
    guard = Guard(what, max_files, max_bytes)
    with listed(file, suffix, os.path.dirname(folder), guard) as members:
        _check(members, guard)
        _write(members, folder, guard)
        links = [member for member in members if member.kind == LINK]
        if links:
            _link(links, folder, guard)
            _check_through_links(folder, guard)


def _check(members: list[Member], guard: Guard) -> None:
    kinds: dict[str, str] = {"": FOLDER}
    sizes: dict[str, int] = {}
    total = 0
    for member in members:
        size = member.size
        if member.kind == HARD_LINK:
            if member.target not in sizes:
                why = f"it is a hard link to {member.target!r}, which is no file before"
                raise guard.refused(member.name, f"{why} it")
            size = sizes[member.target]
        if member.kind in {FILE, HARD_LINK}:
            sizes[member.path] = size
        total += size
        guard.bytes(total, member.name)
        before = kinds.get(member.path)
        if before is not None and not before == member.kind == FOLDER:
            raise guard.refused(member.name, f"the tree has a {before} of this path")
        kinds[member.path] = member.kind
    for member in members:
        parent = member.path.rpartition("/")[0]
        while parent:
            kind = kinds.setdefault(parent, FOLDER)
            if kind != FOLDER:
                raise guard.refused(member.name, f"{parent!r} above it is a {kind}")
            parent = parent.rpartition("/")[0]
    guard.files(len(kinds) - 1, members[-1].name if members else "")
    for other, path in collisions(kinds):
        raise guard.refused(
            path,
            f"{other!r} differs only in case or in the form of accents, and some "
            "file systems can have only one of them",
        )


def _write(members: list[Member], folder: str, guard: Guard) -> None:
    """Make the files. Links come after, so that nothing is written through one."""
    for member in members:
        place = os.path.join(folder, member.path)
        if member.kind == FOLDER:
            os.makedirs(place, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if member.kind == FILE:
            _write_file(member, place, guard)
        elif member.kind == HARD_LINK:
            shutil.copy(os.path.join(folder, member.target), place)


def _write_file(member: Member, place: str, guard: Guard) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o755 if member.executable else 0o644)
    left = member.size
    with open(descriptor, "wb") as out, contextlib.ExitStack() as stack:
        with guard.reading(member.name):
            source = stack.enter_context(member.open())
        while True:
            with guard.reading(member.name):
                chunk = source.read(CHUNK)
            left -= len(chunk)
            if left < 0 or (left and not chunk):
                why = f"it does not have the {member.size:,} bytes it says"
                raise guard.refused(member.name, why)
            if not chunk:
                return
            out.write(chunk)


def _link(links: list[Member], folder: str, guard: Guard) -> None:
    """Make the links and see where they lead, together and with all files there."""
    for member in links:
        if not member.target or "\0" in member.target:
            raise guard.refused(member.name, "it is a link to nothing")
        os.symlink(member.target, os.path.join(folder, member.path))
    inside = os.path.realpath(folder) + "/"
    for member in links:
        try:
            real = os.path.realpath(os.path.join(folder, member.path), strict=True)
        except OSError:
            real = ""
        if not f"{real}/".startswith(inside):
            why = f"it is a link to {member.target!r}, which is not in the tree"
            raise guard.refused(member.name, why)


def _check_through_links(folder: str, guard: Guard) -> None:
    """Refuse links to folders of links: packing reads what they lead to each time."""
    files = total = 0
    for place, folders, names in os.walk(folder, followlinks=True):
        shown = os.path.relpath(place, folder)
        files += len(folders) + len(names)
        guard.files(files, shown)
        for name in names:
            # a link to a folder that it lies in ends somewhere; collect() names it
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
        guard.bytes(total, shown)
