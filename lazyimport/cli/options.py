"""What options and the environment together say."""

from __future__ import annotations

import os

from lazyimport.delivery.lookup import resolve
from lazyimport.errors import SettingsError
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.packing import PackOptions
    from lazyimport.registry.signing import Signer

__all__ = [
    "ACTIVATING",
    "UsageError",
    "load_signer",
    "pack_options",
    "read_settings",
    "required_store",
    "resolve",
    "store_url",
]

#: What makes a process run an archive of its own.
ACTIVATING = {"LAZYIMPORT_HASH", "LAZYIMPORT_CHANNEL", "LAZYIMPORT_ARTIFACT"}


class UsageError(Exception):
    """The command was asked wrongly: exit code 2."""


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


def store_url(store: str) -> str:
    """Return the URL of a store; a folder may be given as on any command line."""
    if "://" in store:
        return store
    if not store.startswith(("/", "./", "../", "~")) and not os.path.isdir(store):
        raise SettingsError(
            f"not a store: {store!r} (a store is a URL such as gs://bucket/prefix or "
            f"file:///folder; a folder that does not exist yet is written ./{store})",
            name="store",
            value=store,
        )
    folder = os.path.abspath(os.path.expanduser(store))
    return "file://" + folder.replace("%", "%25")


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
