"""``lazyimport demo``."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

import click

from lazyimport.cli import declare
from lazyimport.cli.options import store_url
from lazyimport.cli.signals import ignore
from lazyimport.errors import LazyImportError
from lazyimport.settings import Settings


@declare.command("demo", examples="lazyimport demo --store gs://bucket/anywhere")
@declare.option(
    "--store URL",
    "Push to this store, and remove from it what was pushed.",
    show_default="a folder that is removed afterwards",
)
@declare.option(
    "--workers KIND",
    "Run the code on Ray or in plain processes; auto: on Ray if it can start.",
    type=click.Choice(["auto", "ray", "processes"]),
    metavar=None,
    default="auto",
)
def command(store: str | None, workers: str) -> None:
    """Ship, change and roll back an application on this machine.

    The application goes into an archive, runs on a local Ray that has never seen its
    code, is edited, runs in both versions side by side, and is rolled back. This
    takes about a minute, needs no network, and leaves nothing behind.
    """
    from lazyimport.cli.demo.workers import why_not_ray

    why_not = "--workers says so" if workers == "processes" else why_not_ray()
    if why_not and workers == "ray":
        raise LazyImportError(why_not)
    print("lazyimport demo: a changed line of Python runs, and no image is built")
    if why_not:
        print(f"\nPlain processes stand in for Ray: {why_not}.")
    # Ray's sockets lie 82 characters below this place, and may have 107.
    short = why_not or len(tempfile.gettempdir()) <= 24
    place = None if short else "/tmp"  # noqa: S108 - what is made there is ours alone
    with tempfile.TemporaryDirectory("", "lzdemo-", place, True) as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:  # to be interrupted at any moment: what is made meanwhile lies there too
            _tell(store_url(store or f"{folder}/store"), folder, on_ray=not why_not)
        finally:
            tempfile.tempdir = before
    print("To do this with code of your own: lazyimport push --help")


def _tell(url: str, folder: str, *, on_ray: bool) -> None:
    """Tell the story with the store at *url*, and clean up."""
    from lazyimport.cli.demo.story import Story
    from lazyimport.cli.demo.workers import RayWorkers, Workers
    from lazyimport.registry.archives import delete_archive
    from lazyimport.stores import open_store, writable

    for name in [n for n in os.environ if n.startswith(("LAZYIMPORT_", "RAY_"))]:
        del os.environ[name]  # meant for another archive, or another Ray
    os.environ["LAZYIMPORT_STORE"] = url
    os.environ["LAZYIMPORT_CACHE_DIR"] = f"{folder}/node"
    # The author has a cache of its own: what runs comes from the store.
    author = Settings(store=url, cache_dir=f"{folder}/author")
    story = Story((RayWorkers if on_ray else Workers)(f"{folder}/w"), author, folder)
    try:
        story.tell()
    except Exception as error:
        if isinstance(error, LazyImportError) or getattr(error, "errno", None):
            raise
        last = str(error).strip().rpartition("\n")[2]
        raise LazyImportError(f"{last}; try --workers processes") from error
    finally:
        ignore()
        story.workers.stop()
        for hash in story.created:
            with suppress(LazyImportError):
                delete_archive(writable(open_store(url)), hash)
        print("\nEverything is stopped and removed.")
