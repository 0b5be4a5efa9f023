"""Recording: the profile of a process, in a file that grows with it."""

from __future__ import annotations

import os

from lazyimport.importing.recorded import record
from lazyimport.importing.recorder import Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lazyimport.importing import Changes
    from lazyimport.importing.tree import Tree

#: Profiles in a directory, at most: nobody may have thought of removing any.
MOST_FILES = 1000


class Recording:
    """The recording of this process, from now until *changes* are undone.

    The profile is the file *path*, which is written anew. If *path* ends with a slash
    it is a directory, which is made if need be: each process that imports from the
    archive has a file of its own there, also a forked child. If a profile cannot be
    written, *warn* is called, and the process goes on without it.
    """

    def __init__(
        self, tree: Tree, path: str, changes: Changes, warn: Callable[[str], object]
    ) -> None:
        self._path = path
        self._warn = warn
        self._file = ""
        self._ended = False
        self._recorder = Recorder(tree, self._append)
        os.register_at_fork(after_in_child=self._forked)
        try:
            record(self._recorder, tree, changes)
        except AttributeError as error:  # a Python that imports in another way
            self._give_up(error)

    def _forked(self) -> None:
        self._file = ""
        self._ended = self._path[-1:] != "/"  # the file is that of the parent

    def _append(self, lines: str) -> None:
        if self._ended:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        is_ours = self._path[-1:] == "/"
        if is_ours:  # in a directory where others may have put a link of this name
            flags |= os.O_NOFOLLOW
        try:
            if not self._file:
                self._file = self._name()
                flags |= os.O_CREAT | (os.O_EXCL if is_ours else os.O_TRUNC)
            # It does not stay open: a program that closes what it does not know would
            # give the number to a file of its own.
            file = os.open(self._file, flags, 0o666)
            try:
                data = memoryview(lines.encode())
                while data:
                    data = data[os.write(file, data) :]
            finally:
                os.close(file)
        except Exception as error:  # noqa: BLE001 - no process fails for its profile
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._ended = True
        why = getattr(error, "strerror", None) or error
        self._warn(
            f"the profile of process {os.getpid()} cannot be written to "
            f"{self._file or self._path}: {why}"
        )

    def _name(self) -> str:
        folder = self._path
        if folder[-1:] != "/":
            return folder
        os.makedirs(folder, exist_ok=True)
        others = len(os.listdir(folder))
        if others >= MOST_FILES:
            raise OSError(
                f"there are {others} files already; move them away, or unset "
                "LAZYIMPORT_PROFILE"
            )
        host = os.uname().nodename.replace("/", "_")
        name = f"{host}-{os.getpid()}-{self._recorder.started:.0f}"
        return f"{folder}{name}-{os.urandom(2).hex()}.jsonl"
