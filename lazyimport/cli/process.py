"""``dev -m`` : a process that runs what is saved, started again or swapped."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from lazyimport.cli import console
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.deploy.children import Watcher
from lazyimport.live.following import FOLLOW
from lazyimport.live.swapping import PROGRAM_CHANGED
from lazyimport.settings import Settings

#: Seconds that a process may take to end, and to answer.
_TO_END, _TO_ANSWER = 5.0, 60.0


class Process:
    """*words*, a module and its arguments, run by ``python -m`` from an archive.

    A module that calls `lazyimport.live.follow` swaps; any other one is started again.
    """

    def __init__(
        self, words: Sequence[str], settings: Settings, reporter: Progress
    ) -> None:
        self._words = words
        self._settings = settings
        self._reporter = reporter
        self._hash = ""
        self._follows = False
        self._child: subprocess.Popen[bytes] | None = None
        self._watcher: Watcher | None = None
        self._tell = self._hear = -1

    def change(self, hash: str) -> None:
        """Let the process run the archive *hash*."""
        if hash == self._hash and self._runs():
            return
        if self._runs() and self._asks_for_swaps():
            self._swap(hash)
        else:
            self.end()
            self._start(hash)

    def look(self) -> None:
        """Say so if the process has ended."""
        if self._child is not None and not self._runs():
            self._reporter.say(
                f"{self._words[0]} has ended with exit code {self._child.returncode}; "
                "the next change that you save starts it again"
            )
            self.end()

    def end(self) -> None:
        """End the process, if it runs."""
        child, self._child, self._follows = self._child, None, False
        if child is None:
            return
        if self._watcher is not None:
            self._watcher.let_go()
        for end in (child.terminate, child.kill):
            end()
            try:
                child.wait(_TO_END)
                break
            except subprocess.TimeoutExpired:
                continue
        os.close(self._tell)
        os.close(self._hear)

    def _start(self, hash: str) -> None:
        hear, self._tell = os.pipe()
        self._hear, tell = os.pipe()
        variables = self._settings.replaced(hash=hash, live=True).to_environ()
        self._child = subprocess.Popen(
            [sys.executable, "-m", *self._words],
            env={**os.environ, **variables, FOLLOW: f"{hear} {tell}"},
            pass_fds=(hear, tell),
        )
        self._watcher = Watcher(self._child.pid)
        os.close(hear)
        os.close(tell)
        self._hash = hash
        self._reporter.say(f"{hash[:12]} runs: {self._words[0]} was started")

    def _runs(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _asks_for_swaps(self) -> bool:
        self._follows = self._follows or bool(self._answer(0))
        return self._follows

    def _swap(self, hash: str) -> None:
        try:
            os.write(self._tell, f"{hash}\n".encode())
            answer = self._answer(_TO_ANSWER)
        except BrokenPipeError:  # it is ending, or listens no longer
            answer = ""
        if not answer:
            self._reporter.warn(
                f"{self._words[0]} does not answer; it is started again"
            )
            self.end()
            self._start(hash)
            return
        state, reason, modules, kept = json.loads(answer)
        if reason == PROGRAM_CHANGED:
            self.end()
            self._start(hash)
            return
        if state == "refused":
            with self._reporter:
                console.complain(f"{hash[:12]} is refused: {reason}")
            return
        self._hash = hash
        text = f"{hash[:12]} runs: {amount(len(modules), 'module')} again"
        self._reporter.say(f"{text}, kept {', '.join(kept)}" if kept else text)

    def _answer(self, seconds: float) -> str:
        """Return the next line of the process, "" if there is none in that time."""
        line: Any = b""
        while not line.endswith(b"\n"):
            if not select.select([self._hear], [], [], seconds)[0]:
                return ""
            part = os.read(self._hear, 1)
            if not part:
                return ""
            line += part
        return str(line, "utf-8")
