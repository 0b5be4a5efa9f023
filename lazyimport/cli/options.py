"""Options and arguments that several commands share, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from lazyimport.cli.console import warn
from lazyimport.cli.declare import argument, option
from lazyimport.environment import ACTIVATING, warn_of_mistyped
from lazyimport.errors import CacheError, LazyImportError, SettingsError, SignatureError
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.stores import ReadStore
from lazyimport.values import check_channel, file_url, redact

#: Digits of a hash that completion offers: enough to be the only one, few to read.
_COMPLETED = 12


def complete_archive(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the archives in the node cache; the shell offers files beside them."""
    from lazyimport.delivery.lookup import cached_hashes

    found: set[str] = set()
    with suppress(LazyImportError):  # it would be printed into the line
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
    "--store URL",
    "Use this store: gs://bucket/prefix, s3://, az://, https://, file:///folder or the "
    "path of a folder.",
    envvar="LAZYIMPORT_STORE",
    shell_complete=complete_folder,
)

_cache_option = option(
    "--cache-dir DIR",
    "Use this folder as the node cache.",
    envvar="LAZYIMPORT_CACHE_DIR",
    show_default="lazyimport in $XDG_CACHE_HOME or ~/.cache",
    shell_complete=complete_folder,
)


def settings(
    *, store: bool = True, required: bool = False, project: bool = False
) -> Callable[..., Any]:
    """Give a command ``--store`` and ``--cache-dir``; it is called with `Settings`.

    Without *store* it has no such option; if that is *required*, a command line
    and an environment without one are refused. *project* says that the command is
    about the project here, so a mistake in pyproject.toml is an error.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @_cache_option
        @click.pass_context
        @wraps(function)
        def called(context: click.Context, /, **options: Any) -> Any:
            strict = project or required
            found = _read_settings(context, options, required=required, strict=strict)
            return function(settings=found, **options)

        wrapped: Callable[..., Any] = _store_option(called) if store else called
        return wrapped

    return decorate


def _read_settings(
    context: click.Context, options: dict[str, Any], *, required: bool, strict: bool
) -> Settings:
    """Take ``store`` and ``cache_dir`` out of *options* and return the settings.

    Arguments say which archive a command is about, so what the environment names does
    not count; and only what is typed may be relative, or a folder. A store that only
    the project here names counts if `is_known`. Raises SettingsError if store and node
    cache are one folder; if *strict*, PackError for a mistake in the project's file.
    """
    has_store = "store" in options
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
    warn_of_mistyped(os.environ, ENVIRONMENT.values(), warn)
    found = Settings.from_environ(environ, **typed)
    if has_store and not found.store:
        from lazyimport.cli.project import is_known, project, store_here

        named = project().store if strict else store_here()
        if named and is_known(named, found.cache_dir):
            found = Settings.from_environ(environ, **{**typed, "store": named})
        elif required:
            require_store(found)
    if (found.store or "").startswith("file:"):
        from lazyimport.registry.opening import store_of

        store_of(found)  # or a store would become a node cache
    return found


@contextmanager
def any_cache(settings: Settings) -> Iterator[Settings]:
    """Give *settings*; with a temporary node cache if theirs cannot be written."""
    from tempfile import TemporaryDirectory

    from lazyimport.cache.node import NodeCache

    folder = ""
    with suppress(CacheError):
        folder = NodeCache(settings.cache_dir).scratch_folder()
    if os.access(folder, os.W_OK):
        yield settings
        return
    with TemporaryDirectory(prefix="lazyimport-") as folder:
        yield settings.replaced(cache_dir=folder)


def require_store(settings: Settings) -> None:
    """Raise click.UsageError if *settings* name no store."""
    from lazyimport.cli.project import project

    named = project().store
    if settings.store is None and named:
        raise click.UsageError(
            f"only pyproject.toml names the store {named}, and nobody has pushed there "
            f"from here; if you mean it, add --store {named} once"
        )
    if settings.store is None:
        raise click.UsageError(
            "no store is named: add --store gs://bucket/prefix (or file:///folder), or "
            "set LAZYIMPORT_STORE"
        )


def refuse_idle(names: Iterable[str], why: str) -> None:
    """Raise click.UsageError if any of the options *names* was typed.

    *why* says when it does nothing, as in "without --wait".
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name in names and typed:
            spelled = "/".join([parameter.opts[-1], *parameter.secondary_opts])
            raise click.UsageError(f"{spelled} does nothing {why}")


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
    return file_url(folder(text))


def folder(text: str) -> str:
    """Return the absolute path of a file or folder as it is typed."""
    return os.path.abspath(os.path.expanduser(text))


def archive(spelling: str = "HASH", *, artifacts: bool = True) -> Callable[..., Any]:
    """Give a command the argument HASH, which `lazyimport.delivery.lookup` reads.

    It may name an artifact, unless the command is about what a store has.
    """
    forms = "the name of a channel; or the path or URL of a zip, wheel or tarball."
    return argument(
        spelling,
        "The archive: its hash, as 'push' prints it, or the first six digits or more; "
        + (forms if artifacts else "or the name of a channel."),
        "archive",
        shell_complete=complete_archive,
    )


json = option("--json", "Print JSON on stdout, for scripts.", "as_json")
message = option(
    "-m, --message TEXT", "Say why, for 'channel log'.", default="", show_default=False
)
quiet = option("-q, --quiet", "Print only the result, the outcome and warnings.")


def _load_signer(_: click.Context, __: click.Parameter, source: str | None) -> Any:
    if not source:
        return None
    from lazyimport.registry.keys import PASSPHRASE
    from lazyimport.registry.signer import Signer

    return Signer.load(source, os.environ.get(PASSPHRASE))


sign = option(
    "--sign KEY",
    "Sign with this Ed25519 key: a file, or 'command:PROGRAM' to let a program sign; "
    "the variable may hold the key itself.",
    "signer",
    envvar="LAZYIMPORT_SIGNING_KEY",
    callback=_load_signer,
)


expires = option(
    "--expires AGE|never",
    "Let the channel expire after this time, unless it is set or refreshed again.",
    "valid_for",
    envvar="LAZYIMPORT_CHANNEL_EXPIRES",
    show_default="as before, or never",
)


def trusting(settings: Settings, signer: Any) -> Settings:
    """Return *settings* with which nothing is looked up that *signer* may not sign.

    That is what is signed already: with the trusted keys, or else with its own.
    """
    if signer is None or settings.trusted_keys:
        return settings
    return settings.replaced(trusted_keys=signer.public)


def resolve_stored(
    text: str,
    settings: Settings,
    store: ReadStore | None = None,
    signer: Any = None,
) -> str:
    """Return the hash of the archive in a store that *text* names.

    *signer* signs nothing because the store says so. Raises click.UsageError for an
    artifact, which is an archive in a store once it has been pushed, and what
    `lazyimport.delivery.lookup.resolve` raises.
    """
    from lazyimport.delivery.lookup import resolve
    from lazyimport.stores.artifact import is_artifact

    if is_artifact(text):
        raise click.UsageError(
            f"{redact(text)} is no archive in a store: push it, and name the hash that "
            "'push' prints"
        )
    try:
        return resolve(text, trusting(settings, signer), store)
    except SignatureError as error:
        if signer is None:
            raise
        raise error.with_text(
            f"{error}. Nothing is signed because the store says so: to sign an archive "
            "on your word, name it by all 64 digits of its hash"
        ) from error.__cause__


def channel(_: click.Context, param: click.Parameter, name: str | None) -> str | None:
    """Return *name* if a channel may be called so; a callback of parameters."""
    return check_channel(name or "") if name or param.required else None
