"""Run a command and tell how it went."""

from __future__ import annotations

import os
import subprocess
import sys


class Failed(Exception):
    """A command did not do what it was to do."""


def say(text: str) -> None:
    """Print a line that stands out among what commands print."""
    print(f"ci: {text}", file=sys.stderr, flush=True)


def run(*words: str, folder: str | None = None, timeout: float = 600) -> str:
    """Run a command without input, in *folder* if given; return what it printed.

    Raises Failed with its last lines if it ends badly, is missing, or takes more than
    *timeout* seconds.
    """
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=timeout,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise Failed("\n".join([f"{words[0]} ended with {done.returncode}:", *last]))
    return done.stdout
