"""``lazyimport dev``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import click

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.commands.run import WithModule
from lazyimport.cli.comparing import MANIFESTS
from lazyimport.cli.developing import Session
from lazyimport.cli.packing import pack_options
from lazyimport.cli.process import Process
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import project, remember
from lazyimport.delivery import push
from lazyimport.deploy import Manifest, Target
from lazyimport.deploy.application import SERVE, SERVICE
from lazyimport.deploy.live import LiveApplication
from lazyimport.errors import LazyImportError
from lazyimport.live.watching import MOMENT, Changes, watch
from lazyimport.packing import Packed, PackOptions, pack
from lazyimport.packing.compile import compilers_kept
from lazyimport.packing.layout import choose_roots
from lazyimport.registry.opening import store_of
from lazyimport.settings import Settings
from lazyimport.values import redact

_EXAMPLES = """
lazyimport dev src serve.yaml
lazyimport dev src serve.yaml --restore --address http://head:8265
lazyimport dev                     what pyproject.toml names
lazyimport dev src -m my_app.worker --queue small
"""


class _MayHaveModule(WithModule):
    """A command that does without a module, too."""

    usage = "[-m MODULE [ARGUMENT ...]]"


@declare.command(
    "dev",
    cls=_MayHaveModule,
    examples=_EXAMPLES,
    context_settings={"allow_extra_args": True},
)
@declare.argument(
    "[ROOT ... FILE]",
    "Folders and files to pack, as for 'push', then the manifest: a Serve config or a "
    "RayService. By default what [tool.lazyimport] names.",
    "words",
)
@declare.option(
    "-m MODULE",
    "Run this module in a process here, in place of an application, with all that "
    "follows as its own arguments.",
    "module",
)
@declare.option("--app NAME", "Change this application; needed if FILE has several.")
@declare.option(
    "--leave/--restore",
    "At the end leave the application on the last version, or go back to what ran "
    "before, in an ordinary rollout.",
    default=True,
    show_default="--leave",
)
@deploying.target()
@declare.option(
    "--timeout SECONDS",
    "Give up waiting for a rollout, or for a replica, after this time.",
    default="600",
)
@options.quiet
@options.settings(project=True)
@pack_options
def command(
    words: tuple[str, ...],
    module: str | None,
    program: Sequence[str],
    app: str | None,
    leave: bool,
    target: Target,
    timeout: float,
    quiet: bool,
    settings: Settings,
    packing: PackOptions,
) -> None:
    """Run each saved change in the living replicas of an application.

    Packs, pushes, and rolls the application of FILE out once, with an entry point of
    lazyimport around yours; FILE stays as it is. Each change
    that you save is then packed and pushed, and the living replicas swap to it: modules
    that changed and those that use them run again, and the models that others have
    loaded stay. A change that cannot be made this way is refused with the reason, and
    the previous version keeps serving.

    With -m MODULE, a process here runs the module. It is started again at each change,
    or swaps if it calls lazyimport.live.follow(). No store is needed.

    For development only: an application that 'deploy' applies never changes so.
    """
    if module:
        idle = ("app", "leave", "target", "timeout", "store")
        options.refuse_idle(idle, "with -m MODULE")
        _run_module(words, [module, *program], settings, packing, quiet=quiet)
        return
    file, roots = _split(words)
    if file is None:
        raise click.UsageError(
            "give the manifest, or name it in pyproject.toml: [tool.lazyimport] manifest"
        )
    manifest = Manifest.read(file)
    named = app or (None if file in words else project().app)
    (application,) = manifest.choose([named] if named else [])
    if application.kind not in (SERVE, SERVICE):
        raise click.UsageError(f"{file}: a {application.kind} has no replicas")
    changes = watch(*choose_roots(roots), file, never=(settings.cache_dir,))
    store = store_of(settings, "to push to", timeout=settings.timeout)
    with (
        Progress(quiet=quiet) as reporter,
        compilers_kept(),
        target.cluster_of(application) as cluster,
    ):
        send = partial(push, roots, settings, packing, store=store, reporter=reporter)
        config, name = application.serve_config(), application.name
        url = application.store or settings.store
        live = LiveApplication(cluster, config, name, url)
        if url != application.store and redact(str(url)) != url:
            reporter.warn(
                "the URL of the store has a secret, so it stays out of the config of "
                f"{name!r}: the nodes need LAZYIMPORT_STORE in their own environment"
            )
        if application.kind == SERVICE:
            reporter.warn(
                "KubeRay is not told of changes: it gives Serve the text of the "
                "RayService again when somebody applies another one, its operator "
                "starts again, or the cluster has no application any more, and "
                f"{name!r} is rolled out as that says"
            )

        def look() -> str:
            return pack(roots, settings, packing).hash

        session = Session(live, file, send, look, changes, reporter, timeout)
        try:
            session.start()
            remember(settings)
            session.follow()
        except KeyboardInterrupt:
            pass  # so it ends
        finally:
            session.end(leave=leave)


def _run_module(
    roots: Sequence[str],
    words: Sequence[str],
    settings: Settings,
    packing: PackOptions,
    *,
    quiet: bool,
) -> None:
    """Run the module and arguments *words* in a process, until Ctrl-C."""
    changes = watch(*choose_roots(roots), never=(settings.cache_dir,))
    with Progress(quiet=quiet) as reporter, compilers_kept():
        process = Process(words, settings, reporter)
        packed = partial(pack, roots, settings, packing, reporter=reporter)
        try:
            process.change(packed().hash)
            for paths in changes:
                process.look()
                if paths:
                    _change(process, packed, changes, reporter)
        except KeyboardInterrupt:
            pass
        finally:
            process.end()


def _change(
    process: Process, packed: Callable[[], Packed], changes: Changes, reporter: Progress
) -> None:
    try:
        hash = packed().hash
        if not changes.go_on(0.0, lambda: packed().hash != hash):
            process.change(hash)
    except (LazyImportError, OSError) as error:
        if not changes.go_on(MOMENT):
            with reporter:
                console.complain(str(error))


def _split(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Return the manifest and the roots that *words* name, or the project here."""
    if words and words[-1].endswith(MANIFESTS):
        return words[-1], words[:-1]
    manifest = project().manifest
    return manifest and os.path.relpath(manifest), words
