"""Children: processes that end with the one that started them, however that ends."""

from __future__ import annotations

import subprocess

#: Ends the process $1, unless a line comes before the pipe is closed.
_WATCH = 'read -r _ || kill "$1"'


class Watcher:
    """A shell that ends the child *pid* when this process dies, also by SIGKILL.

    That closes its pipe. Call `let_go` when the child ends by itself.
    """

    def __init__(self, pid: int) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so Ctrl-C does not reach it
        )

    def let_go(self) -> None:
        """Watch no longer."""
        self._shell.communicate(b"\n")
