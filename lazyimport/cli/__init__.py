"""The command line: arguments in, one call of the library, text out.

`main` is the script ``lazyimport`` and ``python -m lazyimport``. Each command
is a module in `lazyimport.cli.commands`; what it decides it asks the library.
"""

from __future__ import annotations

import os
import sys

from lazyimport.errors import LazyImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 it did what was asked; 1 it could not, and said why on stderr; 2 it was
    asked wrongly; 130 it was interrupted. ``SystemExit`` is raised by argparse
    (``--help``, wrong arguments) and passed on from a program under ``run``.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()  # the reader has enough: ``| head``
        return FAILED


def _give_up_stdout() -> None:
    """Let what stdout did not take go: Python would try again at its end, and fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(argv: Sequence[str]) -> int:
    from lazyimport.cli.options import UsageError
    from lazyimport.cli.parser import cut_program, make_parser

    parser = make_parser()
    own, program = cut_program(argv)
    arguments = parser.parse_args(own)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    arguments.program = program
    try:
        code: int = arguments.command(arguments)
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except UsageError as error:
        _say(str(error), f"see 'lazyimport {arguments.name} --help'")
        return USAGE
    except LazyImportError as error:
        return _failed(arguments, error, str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise  # not what the system said
        if error.filename is None:
            _give_up_stdout()
        what = "" if error.filename is None else f"{error.filename}: "
        return _failed(arguments, error, f"{what}{error.strerror}")
    return code


def _failed(arguments: argparse.Namespace, error: Exception, text: str) -> int:
    if arguments.debug or os.environ.get("LAZYIMPORT_DEBUG"):
        import traceback

        traceback.print_exception(error)
    notes = []
    if isinstance(error, LazyImportError) and error.retryable:
        notes.append("trying again may help")
    _say(text, *notes)
    return FAILED


def _say(text: str, *notes: str) -> None:
    """Print what went wrong, every line under the same name."""
    from lazyimport.cli.tables import escaped

    if sys.stderr is not None:
        # What the archive says about a missing module has our name on it already.
        lines = [line.removeprefix("  lazyimport: ") for line in text.splitlines()]
        lines += notes
        # What comes from stores and archives is anybody's: nothing for the terminal.
        shown = (f"lazyimport: {escaped(line)}" for line in lines)
        print(*shown, sep="\n", file=sys.stderr)
