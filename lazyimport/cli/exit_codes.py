"""The exit codes of the command line, which its help and its documentation show."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

#: exit code -> when a command ends with it
MEANINGS = {
    DONE: "the command did what it was asked to do",
    FAILED: "it could not, or found something wrong, and said so on stderr",
    USAGE: "it was called with options or arguments that it does not take",
    INTERRUPTED: "it was interrupted (Ctrl-C, SIGTERM)",
}
