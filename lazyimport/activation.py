"""Activation: what a starting interpreter calls, by .pth, .start or sitecustomize.

It runs in every Python process of a pod, more than once in some, before
anything else. So it does nothing unless ``LAZYIMPORT_HASH`` is set, never
raises, and never ends the process: when the archive cannot be had, the process
starts all the same and the first import that nobody can serve says why.
"""

from __future__ import annotations

import os
import sys

__all__ = ["start"]


def start() -> None:
    """Install the archive that ``LAZYIMPORT_HASH`` names, if it is set.

    For ``sitecustomize``::

        import lazyimport.activation

        lazyimport.activation.start()
    """
    if not os.environ.get("LAZYIMPORT_HASH"):
        return
    try:
        from lazyimport.runtime import install

        install()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process must start
        _refuse_imports(error)
    if any(word.endswith("/default_worker.py") for word in sys.orig_argv):
        _watch_ray()


def _watch_ray() -> None:
    """Let this worker of Ray report, and refuse code of other archives."""
    try:
        from lazyimport.ray.worker import watch

        watch(os.environ["LAZYIMPORT_HASH"])
    except Exception as error:  # noqa: BLE001 - as above
        if sys.stderr is not None:
            print(f"lazyimport: cannot watch Ray: {error!r}", file=sys.stderr)  # noqa: T201


def _refuse_imports(error: Exception) -> None:
    """Leave a trace, and a finder that gives *error* as the reason for what misses."""
    wanted = os.environ["LAZYIMPORT_HASH"]
    reason = f"{type(error).__name__}: {error}"
    for finder in sys.meta_path:
        if getattr(finder, "undelivered", None) == wanted:
            return  # activation runs twice in some processes; once is enough to say it
    try:
        from lazyimport.importing.finder import MissingFinder

        finder = MissingFinder(
            wanted,
            lambda name: (
                f"\n  lazyimport: {name!r} may be in archive {wanted}, which this "
                f"process was to run and could not install: {reason}"
            ),
        )
        finder.undelivered = wanted  # type: ignore[attr-defined]
        finder.reason = reason  # type: ignore[attr-defined]
        sys.meta_path.append(finder)
    except Exception as worse:  # noqa: BLE001
        reason += f" (and {worse!r})"
    if sys.stderr is not None:
        print(  # noqa: T201 - the one trace that every supervisor collects
            f"lazyimport: archive {wanted} is not installed in process "
            f"{os.getpid()}: {reason}",
            file=sys.stderr,
        )
