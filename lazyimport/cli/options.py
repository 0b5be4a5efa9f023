"""Options and arguments that several commands share, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from lazyimport.cli.declare import argument, option
from lazyimport.errors import SettingsError
from lazyimport.settings import Settings
from lazyimport.values import byte_count, check_channel

__all__ = [
    "ACTIVATING",
    "age",
    "archive",
    "cache_limit",
    "channel",
    "complete_archive",
    "complete_folder",
    "count",
    "folder",
    "json",
    "message",
    "quiet",
    "seconds",
    "settings",
    "sign",
    "store_url",
]

#: What makes a process run an archive of its own.
ACTIVATING = {"LAZYIMPORT_HASH", "LAZYIMPORT_CHANNEL", "LAZYIMPORT_ARTIFACT"}
#: Digits of a hash that completion offers: enough to be the only one, few to read.
_COMPLETED = 12


def complete_archive(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the archives in the node cache; the shell offers files beside them."""
    from lazyimport.delivery.lookup import cached_hashes

    found = cached_hashes(Settings.from_environ(os.environ), incomplete.lower())
    names = sorted(name[: max(_COMPLETED, len(incomplete))] for name in found)
    # bash forgets what was before an item of another type than plain
    return [CompletionItem(incomplete, type="file"), *map(CompletionItem, names)]


def complete_folder(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Let the shell offer folders."""
    return [CompletionItem(incomplete, type="dir")]


_store_option = option(
    "--store",
    metavar="URL",
    envvar="LAZYIMPORT_STORE",
    shell_complete=complete_folder,
    help="Use this store: gs://bucket/prefix, s3://, az://, https://, file:///folder "
    "or the path of a folder.",
)

_cache_option = option(
    "--cache-dir",
    metavar="DIR",
    envvar="LAZYIMPORT_CACHE_DIR",
    show_default="lazyimport in $XDG_CACHE_HOME or ~/.cache",
    shell_complete=complete_folder,
    help="Use this folder as the node cache.",
)


def settings(
    *, store: bool = True, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--store`` and ``--cache-dir``; it is called with `Settings`.

    Without *store* it has no such option; if that is *required*, a command line
    and an environment without one are refused.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @_cache_option
        @click.pass_context
        @wraps(function)
        def called(context: click.Context, /, **options: Any) -> Any:
            found = _read_settings(context, options)
            if required and found.store is None:
                raise click.UsageError(
                    "no store is named: add --store gs://bucket/prefix (or "
                    "file:///folder), or set LAZYIMPORT_STORE"
                )
            return function(settings=found, **options)

        wrapped: Callable[..., Any] = _store_option(called) if store else called
        return wrapped

    return decorate


def _read_settings(context: click.Context, options: dict[str, Any]) -> Settings:
    """Take ``store`` and ``cache_dir`` out of *options* and return the settings.

    A command is told which archive it is about, so what the environment names does
    not count; and only what is typed may be relative, or a folder.
    """
    typed = {
        name: value
        for name in ("store", "cache_dir")
        if (value := options.pop(name, None))
        and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if "store" in typed:
        typed["store"] = store_url(typed["store"])
    if "cache_dir" in typed:
        typed["cache_dir"] = folder(typed["cache_dir"])
    environ = {k: v for k, v in os.environ.items() if k not in ACTIVATING}
    return Settings.from_environ(environ, **typed)


def store_url(text: str) -> str:
    """Return the URL of a store, for which *text* may be the path of a folder."""
    if "://" in text:
        return text
    if not text.startswith(("/", "./", "../", "~")) and not os.path.isdir(text):
        raise SettingsError(
            f"not a store: {text!r} (a store is a URL such as gs://bucket/prefix or "
            f"file:///folder; a folder that does not exist yet is written ./{text})",
            name="store",
            value=text,
        )
    return "file://" + folder(text).replace("%", "%25")


def folder(text: str) -> str:
    """Return the absolute path of a file or folder as it is typed."""
    return os.path.abspath(os.path.expanduser(text))


def archive(
    *, required: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument HASH, which `lazyimport.delivery.lookup` reads."""
    return argument(
        "archive",
        required=required,
        metavar="HASH" if required else "[HASH]",
        shell_complete=complete_archive,
        help="64 hex digits as 'push' prints them, or the first six or more if only one "
        "archive begins with them; or the name of a channel; or the path or URL of a "
        "zip, wheel or tarball.",
    )


json = option(
    "--json", "as_json", is_flag=True, help="Print JSON on stdout, for scripts."
)

message = option(
    *("-m", "--message"),
    default="",
    show_default=False,
    metavar="TEXT",
    help="Say why, for 'channel log'.",
)

quiet = option(
    *("-q", "--quiet"), is_flag=True, help="Print nothing but the result and warnings."
)


def _load_signer(_: click.Context, __: click.Parameter, source: str | None) -> Any:
    if not source:
        return None
    from lazyimport.registry.signing import PASSPHRASE, Signer

    return Signer.load(source, os.environ.get(PASSPHRASE))


sign = option(
    "--sign",
    "signer",
    metavar="KEYFILE",
    envvar="LAZYIMPORT_SIGNING_KEY",
    callback=_load_signer,
    help="Sign with this Ed25519 key; the variable may hold the key itself.",
)


def channel(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Return *name* if a channel may be called so; a callback of parameters."""
    return check_channel(name) if name else None


def count(text: str) -> int:
    """Return a whole number; a type of parameters."""
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is not a whole number")
    return int(text)


def seconds(text: str) -> float:
    """Return a number of seconds above 0; a type of parameters."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise click.BadParameter(f"{text!r} is not a number of seconds")
    return value


def age(text: str) -> float:
    """Return the seconds of an age such as ``12h`` or ``30d``; a type of parameters."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 <= value < 1e12:
        raise click.BadParameter(f"{text!r} is not an age such as 12h, 30d or 8w")
    return value


def cache_limit(text: str) -> str:
    """Return *text* if it is a size such as ``20GiB``, or ``off``."""
    try:
        byte_count(text)
    except SettingsError:
        raise click.BadParameter(
            f"{text!r} is not a size such as 20GiB or 500MB, or off"
        ) from None
    return text
