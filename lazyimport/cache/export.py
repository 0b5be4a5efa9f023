"""Exporting: all files of an archive in a folder of somebody's own."""

from __future__ import annotations

import os
from errno import EEXIST

from lazyimport.cache.removal import delete_folder
from lazyimport.files import unfinished_path
from lazyimport.format.entries import DIRECTORY, EXECUTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry


def export(archive: Archive, folder: str) -> None:
    """Write all files of *archive* into *folder*, which must be empty or not exist.

    It appears with all of them or not at all. The files are the caller's own: nothing
    else shares them. Raises OSError, and DamagedArchive.
    """
    if os.path.lexists(folder) and os.listdir(folder):
        raise FileExistsError(EEXIST, "not empty: name another folder", folder)
    unfinished = unfinished_path(os.path.realpath(folder))
    try:
        os.makedirs(unfinished)
        folders = (e.path for e in archive.index.entries() if e.kind == DIRECTORY)
        for path in sorted(filter(None, folders)):  # parents first
            os.mkdir(f"{unfinished}/{path}")
        for top in archive.tops():
            for entry in archive.files_under(top):
                _export_file(archive, entry, f"{unfinished}/{entry.path}")
        os.rename(unfinished, os.path.realpath(folder))
    except BaseException as error:
        if os.path.lexists(unfinished):
            delete_folder(unfinished)
        if isinstance(error, OSError):
            error.filename, error.filename2 = folder, None
        raise


def _export_file(archive: Archive, entry: Entry, path: str) -> None:
    with open(path, "xb") as file:
        file.write(archive.content(entry))
        if entry.flags & EXECUTABLE:
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), mode | 0o111)
