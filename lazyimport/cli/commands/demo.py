"""``lazyimport demo``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress

from lazyimport.cache.node import NodeCache
from lazyimport.cli import legacy
from lazyimport.cli.demo.workers import ProcessWorkers, RayWorkers, activates
from lazyimport.cli.exit_codes import INTERRUPTED
from lazyimport.cli.legacy import Notes, paint
from lazyimport.cli.options import store_url
from lazyimport.errors import LazyImportError
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Any

    from lazyimport.cli.demo.workers import Workers
    from lazyimport.stores import Store

__all__ = ["run"]

command = legacy.command("demo", "See it work on this machine.")

#: Ray's sockets lie about 82 characters below it, and may have 107.
_LONGEST_PLACE = 24
#: Ray (2.60) starts workers with env_vars by bash -c, its Python's path unquoted.
_SPLITS = frozenset(" \t\n\"'\\$&;()<>|`*?[]{}~#!")


def run(arguments: argparse.Namespace) -> int:
    """Tell the story; whatever happens, leave nothing behind."""
    notes = Notes()
    title = "one application, one edit, no image"
    print(f"{paint('lazyimport demo', 'bold', sys.stdout)}: {title}\n", flush=True)
    try:
        with _terminated_as_interrupted():
            activated = activates(os.environ)
            with_ray = _choose_ray(arguments.workers, activated=activated)
            with _folder(short=with_ray) as folder:
                node = Settings(
                    store=store_url(arguments.store or f"{folder}/store"),
                    cache_dir=f"{folder}/node",
                )
                os.mkdir(f"{folder}/w")
                workers: Workers = (
                    RayWorkers(f"{folder}/w", node)
                    if with_ray
                    else ProcessWorkers(f"{folder}/w", node, activated=activated)
                )
                _play(workers, node, folder, notes)
    except KeyboardInterrupt:
        notes.warn(
            "interrupted; what the demo started is stopped, what it made is gone"
        )
        return INTERRUPTED
    print(
        f"\n  {'Ray' if with_ray else 'Worker processes'} stopped, everything removed. "
        "For your own code: lazyimport push --help\n"
    )
    return 0


def _play(workers: Workers, node: Settings, folder: str, notes: Notes) -> None:
    """Tell the story with an application in *folder*, and stop the workers."""
    from lazyimport.cli.demo.application import Application
    from lazyimport.cli.demo.story import Story
    from lazyimport.stores import open_store, writable

    assert node.store is not None
    store = writable(open_store(node.store))
    # The author's machine and the node are two, as in life: what the workers run,
    # they have from the store.
    author = NodeCache(f"{folder}/author")
    application = Application(f"{folder}/app", os.urandom(8).hex())
    story = Story(application, workers, store, author, notes)
    try:
        story.tell()
    finally:
        notes.clear()
        with _undisturbed():
            notes.wait("cleaning up")
            workers.stop()
            _delete(store, story.created)
            notes.clear()


def _choose_ray(wanted: str, *, activated: bool) -> bool:
    """Return whether to show it with Ray; says so where somebody may expect it."""
    why_not = _why_not_ray(activated=activated)
    if wanted == "ray" and why_not:
        raise LazyImportError(why_not)
    if wanted == "auto" and why_not:
        print(f"  {why_not}\n  So plain worker processes stand in for it.\n")
    return wanted != "processes" and not why_not


def _why_not_ray(*, activated: bool) -> str:
    """Return why this cannot be shown with Ray, "" if it can."""
    from importlib.util import find_spec

    ray = find_spec("ray")
    if ray is None or ray.origin is None:  # no more than a folder of that name
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"Ray is not installed for this Python {version} (pip install "
            "'ray-lazyimport[ray]', if\n  there is a Ray for it)."
        )
    if not activated:
        return (
            "lazyimport runs from a checkout: Ray's workers would not switch it on "
            "without the\n  lazyimport.pth of its wheel (pip install 'ray-lazyimport[ray]')."
        )
    if any(c in _SPLITS for c in sys.executable):
        return (
            f"Ray's workers do not start with a Python whose path has a space or a "
            f"sign of the\n  shell in it: {sys.executable}."
        )
    return ""


@contextmanager
def _folder(*, short: bool) -> Iterator[str]:
    """Give a folder of our own, with a *short* path if need be, and remove it."""
    import shutil
    import tempfile

    place = tempfile.gettempdir()
    shortest = "/tmp"  # noqa: S108 - mkdtemp makes what we use there ours alone
    if short and len(os.path.realpath(place)) > _LONGEST_PLACE:
        place = shortest
    folder = os.path.realpath(tempfile.mkdtemp(prefix="lzdemo-", dir=place))
    try:
        yield folder
    finally:
        with _undisturbed():
            shutil.rmtree(folder, ignore_errors=True)


def _delete(store: Store, hashes: list[str]) -> None:
    """Remove from the store what this demo has put there."""
    from lazyimport.registry.archives import archive_key

    for name in hashes:
        with suppress(LazyImportError):
            store.delete(archive_key(name))


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP clean up as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signals = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup
    ]
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        _restore(signals, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore another Ctrl-C: cleaning up takes a moment and must not stop half-way."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        _restore(signals, before)


def _restore(signals: Sequence[signal.Signals], handlers: Sequence[Any]) -> None:
    for number, handler in zip(signals, handlers, strict=True):
        # None: it was not Python that had set it
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
