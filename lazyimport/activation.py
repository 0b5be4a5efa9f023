"""Activation: what a starting interpreter calls, by .pth, .start or sitecustomize.

It runs in every Python process of a pod, more than once in some, and does nothing
unless ``LAZYIMPORT_HASH``, ``LAZYIMPORT_ARTIFACT`` or ``LAZYIMPORT_CHANNEL`` is set. It
never raises: if the archive is unavailable the process starts all the same, and the
first import that finds nothing says why.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.reporting import Reporter
else:
    Reporter = object  # few starts have to report anything


#: What was said of whether this process is live.
_said: set[str] = set()


def start() -> None:
    """Install the archive that the environment names, if it names one.

    Where Python is told to ignore the environment (``-E``, ``-I``), and in the command
    ``lazyimport``, nothing happens.

    For ``sitecustomize``::

        import lazyimport.activation

        lazyimport.activation.start()
    """
    if sys.flags.ignore_environment:
        return
    hash = os.environ.get("LAZYIMPORT_HASH")
    channel = os.environ.get("LAZYIMPORT_CHANNEL")
    artifact = os.environ.get("LAZYIMPORT_ARTIFACT")
    if _is_own_command():
        return
    if not (hash or channel or artifact):
        if any(map(_begins_alike, os.environ)):
            _tell_mistyped()
        return
    failure = None
    try:
        from lazyimport import install
        from lazyimport.runtime import process

        process.reporter = _StandardError()
        installed = install()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process must start
        reason = f"{type(error).__name__}: {error}{_advice(error)}"
        wanted = (
            f"archive {_shown(hash)}"
            if hash
            else f"the archive of {_named(channel, artifact)}"
        )
        failure = f"{wanted} is not installed: {reason}"
        _fail(wanted, hash or "", reason)
    else:
        if installed.settings.live and process.live is None:
            _go_live()
        if not hash:
            _say(f"{_named(channel, artifact)} points to archive {installed.hash}")
    if any(word.endswith("/default_worker.py") for word in sys.orig_argv):
        _watch_ray(failure)


def _begins_alike(name: str) -> bool:
    """Whether *name* may be a slip of a variable that names an archive."""
    return name[:11] == "LAZYIMPORT_" and name[11:].startswith(("A", "CH", "H"))


def _tell_mistyped() -> None:
    """Say so if a variable that is to name an archive does not, because of a slip."""
    try:
        from lazyimport.environment import ACTIVATING, mistyped
        from lazyimport.settings import ENVIRONMENT

        named = filter(os.environ.get, os.environ)
        for name, meant in mistyped(named, ENVIRONMENT.values()):
            if meant in ACTIVATING:
                reason = f"there is no such variable; did you mean {meant}?"
                _fail(f"the archive of {name}", "", reason)
    except Exception as error:  # noqa: BLE001 - as above
        _say(f"cannot check its variables: {error!r}")


def _is_own_command() -> bool:
    """Return whether this process is the command ``lazyimport``.

    It runs no archive unless it is told to, and may have to tell what keeps one out.
    """
    words = sys.orig_argv[1:]
    script = f"{os.path.dirname(sys.executable)}/lazyimport"
    return words[:2] == ["-m", "lazyimport"] or words[:1] == [script]


def _named(channel: str | None, artifact: str | None) -> str:
    """Return what names the archive, as messages may show it, in place of a hash."""
    from lazyimport.values import redact

    if artifact:
        return f"artifact {_shown(redact(artifact))}"
    return f"channel {_shown(str(channel))}"


def _shown(text: str) -> str:
    """Return *text*, which may be anything, as messages may show it."""
    from lazyimport.values import shown

    return shown(text)


def _advice(error: BaseException) -> str:
    """Return what to do where modules are not those that we mean, "" where they are."""
    home, cause = os.path.dirname(os.__file__), error
    for _ in range(20):  # it may be a circle
        cause = cause.__cause__ or cause.__context__ or cause
    module = getattr(cause, "obj", sys.modules.get(str(getattr(cause, "name", ""))))
    name, file = str(getattr(module, "__name__", "")), getattr(module, "__file__", "")
    if name in sys.stdlib_module_names and not str(file or home).startswith(home):
        return f"; {file} hides a module of the standard library: rename it"
    if isinstance(error, ImportError) and str(error.name).startswith("lazyimport"):
        from lazyimport.values import OVERWRITTEN

        return f"; {OVERWRITTEN}"
    return ""


def _fail(wanted: str, hash: str, reason: str) -> None:
    """Say why *wanted* is not installed, here and where an import finds nothing."""
    try:
        from lazyimport.importing.finder import MissingFinder
        from lazyimport.importing.obstacles import Failure
        from lazyimport.runtime import process

        if process.failure is not None and process.failure.wanted == wanted:
            return  # activation ran before in this process, and said so
        process.failure = Failure(wanted, hash, reason)
        explanation = (
            f"may be in {wanted}, which this process was to run and could not "
            f"install: {reason}"
        )
        sys.meta_path.append(
            MissingFinder(hash, lambda name: [f"  lazyimport: {name!r} {explanation}"])
        )
    except Exception as worse:  # noqa: BLE001
        reason += f" (and {worse!r})"
    _say(f"{wanted} is not installed in process {os.getpid()}: {reason}")


def _go_live() -> None:
    """Let the code of this process change, and say whether it can."""
    try:
        from lazyimport.live import start

        start()
        fact = "is live: its code may change, LAZYIMPORT_LIVE is set"
    except Exception as error:  # noqa: BLE001 - it runs its archive all the same
        advice = _advice(error)
        fact = f"is not live, though LAZYIMPORT_LIVE is set: {error!r}{advice}"
    text = f"process {os.getpid()} {fact}"
    if text not in _said:  # by activation that ran before in this process
        _said.add(text)
        _say(text)


def _watch_ray(failure: str | None) -> None:
    """Let this worker of Ray report, and refuse code that is not of its archive."""
    try:
        from lazyimport.ray.worker import watch

        watch(os.environ.get("LAZYIMPORT_HASH"), failure)
    except Exception as error:  # noqa: BLE001 - as above
        _say(f"cannot watch Ray: {error!r}")


class _StandardError(Reporter):
    """Says warnings on standard error, a line for each, and how far what is long is."""

    _lines: Reporter | None = None

    def warn(self, text: str) -> None:
        _say(text)

    def step(self, *args: Any) -> None:
        if self._lines is None:
            from lazyimport.reporting import Lines

            self._lines = Lines(_say, _say)
        self._lines.step(*args)


def _say(text: str) -> None:
    if sys.stderr is None:
        return
    # This is the one trace that every supervisor collects. Not by print(): a stream
    # that takes nothing would keep it in its buffer, which ends in exit code 120.
    data = f"lazyimport: {text}\n".encode(errors="backslashreplace")
    try:
        os.write(sys.stderr.fileno(), data)
    except (OSError, ValueError, AttributeError):
        pass  # nobody reads it any more, the disk is full, or it is no file at all
