"""The command line: arguments in, one call of the library, text out.

`main` is the script ``lazyimport`` and ``python -m lazyimport``. Each command
is a module in `lazyimport.cli.commands`; what it decides it asks the library.
"""

from __future__ import annotations

import os
import sys
from errno import ENOENT

#: OpenTelemetry's variables, any of which says where spans go.
_COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import click


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, one of `lazyimport.cli.exit_codes`.

    ``SystemExit`` is passed on from a program under ``run``.
    """
    if sys.platform == "win32":
        from lazyimport.values import ON_WINDOWS

        raise SystemExit(ON_WINDOWS)
    if argv is None:
        from lazyimport.cli.searching import prefer_standard_library

        prefer_standard_library()
        _die_silently()
        argv = sys.argv[1:]
    try:
        from lazyimport.errors import LazyImportError  # noqa: F401
    except ImportError as error:
        from lazyimport.values import OVERWRITTEN

        raise SystemExit(f"lazyimport: {error}; {OVERWRITTEN}") from None
    from lazyimport.cli.exit_codes import FAILED, INTERRUPTED

    _leave_archive()
    _trace(argv)
    try:
        return _run(argv)
    except KeyboardInterrupt as error:
        from lazyimport.cli.console import complain

        complain(*str(error).splitlines() or ["interrupted"])
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()  # the reader has enough: ``| head``
        return FAILED


def _die_silently() -> None:
    """Let Ctrl-C end this process as it ends others, while it loads modules."""
    import _signal as signal  # type: ignore[import-not-found]  # loads no enum

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _leave_archive() -> None:
    """Uninstall the archive that the environment has activated in this process.

    It may have a click of its own, and which archive a command is about is typed.
    """
    runtime = sys.modules.get("lazyimport.runtime")
    if runtime is not None:
        runtime.uninstall()


def _trace(argv: Sequence[str]) -> None:
    """Send spans if OpenTelemetry's variables say where to.

    A program under ``run`` may have an OpenTelemetry of its own, and send its own.
    """
    if any(map(os.environ.get, _COLLECTORS)) and "run" not in argv:
        from lazyimport.cli.tracing import send_spans

        send_spans(os.environ)


def _run(argv: Sequence[str]) -> int:
    import click

    from lazyimport.cli.commands import command
    from lazyimport.cli.declare import COMPLETE
    from lazyimport.cli.waiting import Waiting
    from lazyimport.stores import retry

    if COMPLETE in os.environ:
        from click.shell_completion import shell_complete

        name = "lazyimport"
        return shell_complete(command, {}, name, COMPLETE, os.environ[COMPLETE])
    retry.waiting_for = Waiting
    try:
        with command.make_context("lazyimport", list(argv)) as context:
            return _invoke(command, context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None  # at a question
    except click.UsageError as error:
        return _refused(error)


def _invoke(command: click.Command, context: click.Context) -> int:
    """Return the exit code of *command*, whose expected errors are shown."""
    from lazyimport.cli.exit_codes import DONE
    from lazyimport.errors import LazyImportError

    try:
        code = command.invoke(context)
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except LazyImportError as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return _failed(context, error, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise  # not what the system said
        return _failed(context, error, _told_by_system(error))
    except UnicodeEncodeError as error:
        if error.encoding == "utf-8" or error.encoding != sys.getfilesystemencoding():
            raise
        text = (
            f"no file here can be called {error.object!r}: the locale is not of UTF-8"
        )
        return _failed(context, error, f"{text}; set PYTHONUTF8=1")
    return code or DONE


def _told_by_system(error: OSError) -> str:
    """Return what the system said of a file, or of what it did not name."""
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if error.errno == ENOENT:
        return _what_is_missing() or str(error.strerror)
    if not _give_up_stdout():
        return f"standard output: {error.strerror}"
    # What was not taken is gone from a stream that keeps nothing (python -u).
    of = "standard output, or " * (not hasattr(getattr(sys.stdout, "buffer", 0), "raw"))
    return f"{error.strerror} ({of}what --verbose shows)"


def _what_is_missing() -> str:
    """Return what to do about a folder that a process needs and nobody has named."""
    from tempfile import gettempdir

    try:
        os.getcwd()
    except OSError:
        return "the current directory was removed; change to one that exists"
    try:
        gettempdir()
    except OSError as error:
        return (
            f"{error.strerror}; set TMPDIR to a folder where this user may write, and "
            "that has room"
        )
    return ""


def _failed(context: click.Context, error: Exception, text: str) -> int:
    from lazyimport.cli.console import complain
    from lazyimport.cli.declare import is_verbose
    from lazyimport.cli.exit_codes import FAILED

    if is_verbose(context):
        import traceback

        traceback.print_exception(error)
    complain(text, *["trying again may help"] * getattr(error, "retryable", False))
    return FAILED


def _refused(error: click.UsageError) -> int:
    from lazyimport.cli.console import complain
    from lazyimport.cli.declare import describe
    from lazyimport.cli.exit_codes import USAGE

    path = error.ctx.command_path if error.ctx else "lazyimport"
    complain(describe(error), f"see '{path} --help'")
    return USAGE


def _give_up_stdout() -> bool:
    """Let what stdout did not take go: Python would try again at its end, and fail.

    Returns False if there was anything.
    """
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return False
    return True
