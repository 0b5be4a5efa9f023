"""What ``deploy``, ``rollback``, ``status`` and ``history`` share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from lazyimport.cli import options
from lazyimport.cli.declare import argument, option
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import project
from lazyimport.delivery.lookup import cached_hashes
from lazyimport.deploy import (
    Application,
    Cluster,
    History,
    ImpossibleError,
    Manifest,
    Target,
)
from lazyimport.deploy.application import SERVE
from lazyimport.deploy.keyed import KeyedManifest
from lazyimport.errors import ArchiveMissing, CacheError
from lazyimport.packing.config import Config
from lazyimport.registry.archives import require_archive
from lazyimport.registry.gc_lock import claim
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import builder
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.values import redact

_SECTION = "Rolling out"
#: What Serve calls an application that nobody has named.
_UNNAMED = "default"


def _make_target(
    context: click.Context, parameter: click.Parameter, url: str
) -> Target:
    source = context.get_parameter_source(str(parameter.name))
    typed = source is ParameterSource.COMMANDLINE
    return Target(url if typed else None, _read_token(), local=url)


def typed_target(
    _: click.Context, __: click.Parameter, url: str | None
) -> Target | None:
    """Return the target at an address that somebody typed, None without one."""
    return Target(url, _read_token()) if url else None


def _read_token() -> str | None:
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def target(section: str = "Options") -> Callable[..., Any]:
    """Give a command ``--address``; it is called with *target*."""
    return option(
        "--address URL",
        "Ask Ray's dashboard at this address. To reach that of a RayService, kubectl "
        "forwards a port, unless you type an address.",
        "target",
        envvar="RAY_DASHBOARD_ADDRESS",
        default="http://localhost:8265",
        callback=_make_target,
        section=section,
    )


manifest = argument(
    "[FILE]",
    "The manifest, YAML or JSON; by default the one that [tool.lazyimport] names.",
    "file",
    type=click.Path(),
)


class Wishes(NamedTuple):
    """What to do with a plan for the applications *names*, as the options say."""

    names: tuple[str, ...]
    key: str | None
    diff: bool
    dry_run: bool
    apply: bool
    prefetch: bool
    wait: bool
    report: str | None
    timeout: float
    target: Target

    def check(self, applications: Sequence[Application], *, asks: bool = False) -> None:
        """Raise click.UsageError for what *applications* can never be asked for.

        *asks* says that ``--check`` asks the cluster.
        """
        if not self.wait:
            options.refuse_idle(["report"], "without --wait")
        if not (self.wait or self.prefetch):
            options.refuse_idle(["timeout"], "without --wait or --prefetch")
            if not (self.apply or asks):
                why = "without --apply, --wait, --prefetch or --check: only the file changes"
                options.refuse_idle(["target"], why)
        try:
            self.target.check(
                applications, apply=self.apply, prefetch=self.prefetch, wait=self.wait
            )
        except ImpossibleError as error:
            raise click.UsageError(str(error)) from error


def can_ask(wishes: Wishes, applications: Sequence[Application]) -> bool:
    """Whether somebody says where *applications* run, and a job may be run there."""
    source = click.get_current_context().get_parameter_source("target")
    serves = all(app.kind == SERVE for app in applications)
    from_environment = source is ParameterSource.ENVIRONMENT and serves
    typed = source is ParameterSource.COMMANDLINE
    return not wishes.dry_run and (typed or from_environment)


def read_manifest(file: str, wishes: Wishes) -> Manifest:
    """Return the manifest in *file*. Raises ManifestError, SettingsError or OSError."""
    if wishes.key is None:
        return Manifest.read(file)
    app = wishes.names[0] if wishes.names else project().app or _UNNAMED
    return KeyedManifest.at(file, wishes.key, app)


def choose(file: str | None, wishes: Wishes) -> tuple[str | None, Wishes]:
    """Return FILE and *wishes*, by default those that the project here names."""
    if file is None:
        found = project()
        if found.manifest is not None:
            named = wishes.names or tuple(filter(None, [found.app]))
            key = wishes.key or found.set_key
            wishes = wishes._replace(names=named, key=key)
            return os.path.relpath(found.manifest), wishes
    return file, wishes


def app_here() -> str | None:
    """Return the application that the project here deploys, None if it names none.

    Raises DeployError if its manifest has several.
    """
    found = project()
    if found.app or found.manifest is None:
        return found.app
    if found.set_key:
        return _UNNAMED
    return Manifest.read(os.path.relpath(found.manifest)).choose(())[0].name


@contextmanager
def cluster_here(target: Target, file: str | None = None) -> Iterator[Cluster]:
    """Give the cluster of *target*; without an address, that of the manifest *file*.

    Without *file* it is that of the project here.
    """
    source = click.get_current_context().get_parameter_source("target")
    found = Config()
    if file is None and source is ParameterSource.DEFAULT:
        found = project()
        file = os.path.relpath(found.manifest) if found.manifest else None
    if file is None or found.set_key:
        yield target.cluster()
        return
    applications = Manifest.read(file).applications
    named = [app for app in applications if app.name == found.app]
    with target.cluster_of([*named, *applications][0]) as cluster:
        yield cluster


def open_history(
    settings: Settings,
    reporter: Progress,
    signer: Signer | None = None,
    patience: float = 20.0,
) -> History:
    """Return the history in the store of *settings*, which is opened here, if any.

    The store may take *patience* seconds for an answer.
    """
    if settings.store is None:
        options.refuse_idle(["signer"], "without a store: nothing is signed")
    else:
        patience = min(patience, settings.timeout)
    return History(
        settings.cache_dir,
        store_of(settings, timeout=patience) if settings.store else None,
        by=builder(os.environ),
        signer=signer,
        trusted=Trusted.of(settings),
        reporter=reporter,
    )


def claim_archive(
    hash: str, history: History, settings: Settings, advice: str, *, dry_run: bool
) -> None:
    """Make sure that the store has what is deployed now, and that it stays there.

    *advice* says what to do if it is not there. Raises ArchiveMissing, StoreError or
    MalformedArchive.
    """
    if history.store is None:
        return
    try:
        (require_archive if dry_run else claim)(history.store, hash)
    except ArchiveMissing as error:
        cached: set[str] = set()
        with suppress(CacheError):
            cached = cached_hashes(settings, hash)
        where, store = "check the hash", redact(str(settings.store))
        if cached:
            command = f"lazyimport verify {hash} --repair --store {store}"
            where = f"the node cache here has it, and sends it with: {command}"
        raise error.with_text(
            f"archive {hash} is not in {store}, so no worker could run it; {where}; or "
            f"{advice}"
        ) from error.__cause__


_rolling_out = partial(option, section=_SECTION)
_OPTIONS = [
    option(
        "--app NAME",
        "Change this application; needed if the file has several.",
        "names",
        multiple=True,
    ),
    option(
        "--set-key PATH",
        "Set the hash at this key of FILE, which may be the values of a Helm chart, a "
        "kustomization or other YAML: image.hash, env[name=LAZYIMPORT_HASH].value, "
        "literals[LAZYIMPORT_HASH]. --app names the application that it is for.",
        "key",
    ),
    option("--diff", "Print on stdout what changes in the manifest and in the code."),
    option(
        "-n, --dry-run",
        "Change nothing in the file, the cluster or the store; only the node cache "
        "takes what is packed or looked up.",
    ),
    _rolling_out(
        "--apply",
        "Give a Serve config to the cluster, and Kubernetes objects to kubectl.",
    ),
    _rolling_out(
        "--prefetch",
        "First bring the archive to every node of the cluster, by a job there.",
    ),
    _rolling_out(
        "--wait",
        "Follow the rollout until every replica runs the hash, or say why not.",
    ),
    _rolling_out(
        "--report FILE",
        "With --wait, draw how the rollout went: an HTML page that needs no network.",
    ),
    target(_SECTION),
    _rolling_out(
        "--timeout SECONDS", "Give up waiting after this time.", default="600"
    ),
]


def wishes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of rolling out; it is called with *wishes*."""

    @wraps(function)
    def called(**values: Any) -> Any:
        found = Wishes(*(values.pop(name) for name in Wishes._fields))
        return function(wishes=found, **values)

    for one in reversed(_OPTIONS):
        called = one(called)
    return called
