"""``lazyimport run``: like ``python -m``, from an archive."""

from __future__ import annotations

import os
import sys

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.exit_codes import DONE, FAILED, INTERRUPTED
from lazyimport.cli.figures import size
from lazyimport.cli.progress import Progress
from lazyimport.errors import ArchiveMissing, ArchiveModuleMissing, SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from lazyimport.runtime import Installation
    from lazyimport.settings import Settings

__all__ = ["command"]

_EXAMPLES = """
lazyimport run 4be81c02 -m my_project.train --epochs 3
lazyimport run 4be81c02 --store gs://bucket/code -m pytest --pyargs my_app
lazyimport run gs://bucket/code/app.zip -m my_project.train
"""
#: What the command line imports, and a program may have in another version.
_LIBRARIES = {"click", "markdown_it", "mdurl", "pygments", "rich"}


class _Run(declare.Command):
    """A command whose line ends with a module; what follows is for the module."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse up to the module of ``-m MODULE``."""
        end = len(args)
        for number, word in enumerate(args):
            if word.startswith("-m"):
                end = number + (2 if word == "-m" else 1)
                break
        rest = super().parse_args(ctx, args[:end])
        if rest and not ctx.resilient_parsing:
            raise click.UsageError(
                f"unexpected argument {rest[0]!r}; a module is named with -m {rest[0]}",
                ctx,
            )
        ctx.params["program"] = args[end:]
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return what help shows behind the name."""
        return ["HASH [OPTIONS] -m MODULE [ARGUMENT ...]"]


@declare.command(
    "run",
    cls=_Run,
    examples=_EXAMPLES,
    context_settings={"allow_extra_args": True},
)
@options.archive()
@declare.option(
    *("-m", "module"),
    metavar="MODULE",
    help="Run this module, with all that follows as its own arguments.",
)
@options.settings()
def command(
    archive: str, module: str | None, program: Sequence[str], settings: Settings
) -> int:
    """Run a module of an archive.

    Works as 'python -m' does: the archive is fetched if this node does not have
    it, and the module is imported straight from it; nothing is installed.

    Everything after the module's name is for the module. The exit code is that of
    the module.
    """
    if not module:
        raise click.UsageError(
            "which module? Add -m MODULE and its arguments at the end"
        )
    try:
        installed = _install(archive, settings)
    except (ArchiveMissing, SettingsError) as error:
        if settings.store is None and _names_store(program):
            raise click.UsageError(
                f"{error}; what follows -m MODULE is for the module, so write --store "
                "before -m"
            ) from error
        raise
    return _run_module(installed, module, program)


def _names_store(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--store" for word in words)


def _install(text: str, settings: Settings) -> Installation:
    """Install the archive that *text* names, in a fresh process if need be."""
    from lazyimport.delivery.lookup import resolve
    from lazyimport.runtime import current, install, process

    with Progress() as reporter:
        hash = resolve(text, settings)
        running = current()
        if running is not None and running.hash != hash:
            _start_afresh()
        if settings.cache_mode != "memory":
            _fetch(hash, settings, reporter)
    _forget_libraries()
    process.reporter = Progress(quiet=True)
    return install(
        hash,
        store=settings.store,
        cache_dir=settings.cache_dir,
        cache_mode=settings.cache_mode,
        policy=settings.policy,
        timeout=settings.timeout,
    )


def _fetch(hash: str, settings: Settings, reporter: Progress) -> None:
    from lazyimport.delivery.fetch import fetch
    from lazyimport.values import redact

    _, fetched = fetch(settings, hash, reporter)
    if fetched and console.is_live(sys.stderr):
        reporter.say(f"fetched {size(fetched)} from {redact(settings.store or '')}")


def _start_afresh() -> None:
    """Replace this process, in which another archive was activated, by a fresh one."""
    environ = {k: v for k, v in os.environ.items() if k not in options.ACTIVATING}
    command = [sys.executable, "-m", "lazyimport", *sys.argv[1:]]
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own arguments


def _forget_libraries() -> None:
    """Let the program import its own versions of what the command line has loaded.

    What runs of the command line keeps the modules that it has.
    """
    for name in list(sys.modules):
        if name.partition(".")[0] in _LIBRARIES:
            del sys.modules[name]


def _run_module(installed: Installation, module: str, program: Sequence[str]) -> int:
    import runpy
    from types import ModuleType

    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = os.getcwd()  # a script's folder until now; -m has this
    sys.argv[:] = [module, *program]
    try:
        # What run_module does, but __main__ stays: threads and exit handlers that
        # outlive the module's body look into it, and pickle by it.
        _, spec, code = runpy._get_module_details(module)  # type: ignore[attr-defined] # noqa: SLF001
        sys.argv[0] = spec.origin
        main = sys.modules["__main__"] = ModuleType("__main__")
        if sys.version_info < (3, 14):
            main.__annotations__ = {}
        runpy._run_code(code, vars(main), None, "__main__", spec)  # type: ignore[attr-defined] # noqa: SLF001
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - reported as the interpreter does
        error.__traceback__ = _without_us(error.__traceback__)
        if isinstance(error, ImportError) and error.__traceback__ is None:
            raise _missing(installed, module, error) from None
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
    return DONE


def _missing(
    installed: Installation, module: str, error: ImportError
) -> ArchiveModuleMissing:
    """Return the error for a module that runpy cannot find or not run."""
    from lazyimport.importing.missing import explain_missing

    tree = installed.tree
    dotted = module.removesuffix(".py").replace("/", ".")
    if dotted != module and tree.module(dotted.replace(".", "/")) is not None:
        return ArchiveModuleMissing(
            f"cannot run {module!r}: a module is named with dots, -m {dotted}",
            lambda: "",
            name=module,
            hash=installed.hash,
        )
    cause = error.__cause__
    if isinstance(cause, ArchiveModuleMissing):  # a package that it would be in
        return cause.with_text(f"cannot run {module!r}: {cause}")
    stem = module.replace(".", "/")
    name = f"{module}.__main__" if tree.is_directory(stem) else module
    known = tree.module(name.replace(".", "/")) is not None
    return ArchiveModuleMissing(
        f"cannot run {module!r}: {error}",
        (lambda: "") if known else (lambda: explain_missing(tree, name)),
        name=name,
        hash=installed.hash,
    )


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    """Return *traceback* from the first frame on that is the program's own."""
    import runpy

    ours = {__file__, runpy.__file__, "<frozen runpy>"}
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename not in ours:
            return traceback
        traceback = traceback.tb_next
    return None
