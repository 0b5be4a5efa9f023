"""What options and the environment together say."""

from __future__ import annotations

import os

from lazyimport.errors import ArchiveMissing, SettingsError
from lazyimport.settings import Settings, check_channel, check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.packing.config import Config
    from lazyimport.registry.signing import Signer

__all__ = [
    "ACTIVATING",
    "UsageError",
    "load_signer",
    "read_settings",
    "required_store",
    "resolve",
    "store_url",
    "with_options",
]

#: What makes a process run an archive of its own.
ACTIVATING = {"LAZYIMPORT_HASH", "LAZYIMPORT_CHANNEL", "LAZYIMPORT_ARTIFACT"}
_SHORTEST_PREFIX = 6
_SHOWN = 5


class UsageError(Exception):
    """The command was asked wrongly: exit code 2."""


def own_version() -> str:
    """Return the version of lazyimport that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ray-lazyimport")
    except PackageNotFoundError:
        return "(not installed: run from a checkout)"


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


def resolve(text: str, settings: Settings) -> str:
    """Return the whole hash that *text* means: one, the beginning of one, a channel.

    The node cache is asked first; where it has no such archive, or several, the
    store. *text* may name an artifact too, which is brought into the node cache.
    Raises SettingsError, ArchiveMissing, ChannelError, SignatureError or
    StoreError.
    """
    from lazyimport.cli.artifacts import install_artifact, is_artifact

    if is_artifact(text):
        return install_artifact(text, settings)
    prefix = text.strip().lower()
    if len(prefix) == 64:
        return check_hash(prefix)
    if not _SHORTEST_PREFIX <= len(prefix) < 64 or prefix.strip("0123456789abcdef"):
        if settings.store and _is_channel(text):
            return _look_up(text, settings)
        raise SettingsError(
            f"not an archive's hash: {text!r} (a hash is 64 hex digits, as 'lazyimport "
            f"push' prints it; the first {_SHORTEST_PREFIX} or more will do if only "
            "one archive begins so, and where a store is named, a channel's name)",
            name="hash",
            value=text,
        )
    from lazyimport.cache.node import NodeCache
    from lazyimport.cli.archives import cached_archives, stored_archives
    from lazyimport.packing.previous import hashes

    here = [archive.hash for archive in cached_archives(settings)]
    here += [name for name, _ in hashes(NodeCache(settings.cache_dir))]
    found = {name for name in here if name.startswith(prefix)}
    places = f"the node cache {settings.cache_dir}"
    if len(found) != 1 and settings.store:
        found |= {a.hash for a in stored_archives(settings, prefix)}
        places += f" or {settings.store}"
    if len(found) == 1:
        return found.pop()
    if found:
        shown = ", ".join(sorted(found)[:_SHOWN])
        raise SettingsError(
            f"{len(found)} archives in {places} begin with {prefix}: {shown}"
            f"{', ...' if len(found) > _SHOWN else ''}; write more digits",
            name="hash",
            value=text,
        )
    advice = (
        f"see 'lazyimport ls --store {settings.store}' for what is there"
        if settings.store
        else "name the store to look in with --store, or set LAZYIMPORT_STORE"
    )
    raise ArchiveMissing(
        f"no archive in {places} begins with {prefix}; {advice}",
        hash=prefix,
        store=settings.store,
    )


def load_signer(arguments: argparse.Namespace) -> Signer | None:
    """Return the key to sign with, or None if none is named.

    Raises SettingsError for what is no usable key, OSError for a file.
    """
    source = arguments.sign or os.environ.get("LAZYIMPORT_SIGNING_KEY")
    if not source:
        return None
    from lazyimport.registry.signing import PASSPHRASE, Signer

    return Signer.load(source, os.environ.get(PASSPHRASE))


def _look_up(name: str, settings: Settings) -> str:
    from lazyimport.errors import ChannelError
    from lazyimport.registry.channels import resolve_channel

    try:
        return str(resolve_channel(settings, name).hash)
    except ChannelError as error:
        raise error.with_text(f"{name!r} is no hash, and {error}") from error


def _is_channel(text: str) -> bool:
    try:
        check_channel(text)
    except SettingsError:
        return False
    return True


def with_options(config: Config, arguments: argparse.Namespace) -> Config:
    """Return *config* as the packing options change it."""
    from dataclasses import replace

    return replace(
        config,
        exclude=config.exclude + tuple(arguments.exclude),
        include=config.include + tuple(arguments.include),
        gitignore=config.gitignore and not arguments.no_gitignore,
        python=tuple(arguments.python or config.python),
        optimize=tuple(sorted(set(arguments.optimize or config.optimize))),
    )
