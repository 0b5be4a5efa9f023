"""What the commands that are still called with argparse go by."""

from __future__ import annotations

import os
import sys
import time

import click
from click import UsageError

from lazyimport.cli.options import ACTIVATING, store_url
from lazyimport.delivery.lookup import resolve
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Literal, TextIO

    from lazyimport.packing import PackOptions
    from lazyimport.registry.signing import Signer

__all__ = [
    "Notes",
    "UsageError",
    "load_signer",
    "pack_options",
    "paint",
    "read_settings",
    "required_store",
    "resolve",
]


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings for a command, which is told what archive it is about.

    So what the environment names does not count. Raises SettingsError.
    """
    environ = {k: v for k, v in os.environ.items() if k not in ACTIVATING}
    store = getattr(arguments, "store", None)
    cache_dir = getattr(arguments, "cache_dir", None)
    return Settings.from_environ(
        environ,
        store=store and store_url(store),
        cache_dir=cache_dir and os.path.abspath(os.path.expanduser(cache_dir)),
    )


def required_store(settings: Settings) -> str:
    """Return the URL of the store. Raises UsageError if none is named."""
    if settings.store is None:
        raise UsageError(
            "no store is named: add --store gs://bucket/prefix (or file:///folder), "
            "or set LAZYIMPORT_STORE"
        )
    return settings.store


def load_signer(arguments: argparse.Namespace) -> Signer | None:
    """Return the key to sign with, or None if none is named.

    Raises SettingsError for what is no usable key, OSError for a file.
    """
    source = arguments.sign or os.environ.get("LAZYIMPORT_SIGNING_KEY")
    if not source:
        return None
    from lazyimport.registry.signing import PASSPHRASE, Signer

    return Signer.load(source, os.environ.get(PASSPHRASE))


def pack_options(arguments: argparse.Namespace) -> PackOptions:
    """Return what the packing options say."""
    from lazyimport.packing import PackOptions

    return PackOptions(
        exclude=tuple(arguments.exclude),
        include=tuple(arguments.include),
        gitignore=not arguments.no_gitignore,
        python=tuple(arguments.python or ()),
        optimize=tuple(arguments.optimize or ()),
        installed=tuple(arguments.installed),
        requirements=tuple(arguments.requirements),
        wheels=tuple(arguments.wheel),
        platform=arguments.platform,
        jobs=arguments.jobs or None,
        trust_stat=not arguments.no_stat_cache,
    )


_BOLD, _DIM, _YELLOW = "1", "2", "33"
STYLES = {"bold": _BOLD, "dim": _DIM, "warning": _YELLOW}
_SECONDS_BETWEEN = 0.05


def is_terminal(stream: TextIO | None) -> bool:
    """Whether *stream* shows what is written to a person, and can rewrite a line."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return *text* in a style, where *stream* shows styles (no-color.org)."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


class Notes(Reporter):
    """Lines on stderr, and below them at most one that is overwritten: progress.

    Progress shows on a terminal only, so that logs hold no half lines.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream = sys.stderr
        self._quiet = quiet
        self._live = not quiet and is_terminal(sys.stderr)
        self._next = 0.0
        self._shown = False

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that *done* of *total* are through; the last one clears the line."""
        if not self._live:
            return
        now = time.monotonic()
        if done >= total:
            self.clear()
        elif now >= self._next:
            self._next = now + _SECONDS_BETWEEN
            text = f"{what} {done} of {total}"
            self._stream.write(f"\r\x1b[K{text[: _columns() - 1]}")
            self._stream.flush()
            self._shown = True

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: Literal["items", "bytes"] = "items",  # noqa: ARG002
    ) -> None:
        """Show what a call is doing, and how far it is."""
        if done is None or total is None:
            self.wait(text)
        else:
            self.progress(text, done, total)

    def wait(self, what: str) -> None:
        """Show *what* is going on until the next line."""
        if self._live:
            self._stream.write(f"\r\x1b[K{what[: _columns() - 5]} ...")
            self._stream.flush()
            self._shown = True

    def say(self, text: str) -> None:
        """Print a line, unless told to be quiet."""
        if not self._quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when told to be quiet."""
        self._print(paint("warning: ", "warning", self._stream) + text)

    def clear(self) -> None:
        """Remove the line of progress, if there is one."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def _print(self, text: str) -> None:
        if self._stream is not None:
            self.clear()
            print(text, file=self._stream, flush=True)


def _columns() -> int:
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, 20)


def command(name: str, short: str) -> click.Command:
    """Return the command *name*, whose module is called with what argparse finds."""

    @click.command(
        name,
        short_help=short,
        add_help_option=False,
        context_settings={
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        },
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def called(words: tuple[str, ...]) -> int:
        from importlib import import_module

        from lazyimport.cli.parser import make_parser

        try:
            arguments = make_parser().parse_args([name, *words])
        except SystemExit as ending:
            return int(ending.code or 0)
        module = import_module(f"lazyimport.cli.commands.{name}")
        return int(module.run(arguments))

    return called
