"""``lazyimport run``: like ``python -m``, from an archive."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.exit_codes import DONE, FAILED, INTERRUPTED
from lazyimport.cli.figures import size
from lazyimport.cli.progress import Progress
from lazyimport.cli.searching import search_as_python
from lazyimport.cli.signals import act_as_python
from lazyimport.delivery.lookup import resolve
from lazyimport.errors import ArchiveMissing, SettingsError
from lazyimport.importing.program import run_program
from lazyimport.reporting import Lines
from lazyimport.runtime import Installation, install, process
from lazyimport.settings import Settings
from lazyimport.values import redact

_EXAMPLES = """
lazyimport run 4be81c02 -m my_project.train --epochs 3
lazyimport run 4be81c02 --store gs://bucket/code -m pytest --pyargs my_app
lazyimport run gs://bucket/code/app.zip -m my_project.train
lazyimport run 4be81c02 --profile start.jsonl -m my_project.train
"""
#: What the command line imports, and a program may have in another version.
_LIBRARIES = {"click", "markdown_it", "mdurl", "pygments", "rich"}


class WithModule(declare.Command):
    """A command whose line ends with a module; what follows is for the module."""

    #: what help shows of that
    usage = "-m MODULE [ARGUMENT ...]"

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

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what help shows after the name, with the module at the end."""
        return [*super().collect_usage_pieces(ctx), self.usage]


@declare.command(
    "run",
    cls=WithModule,
    examples=_EXAMPLES,
    context_settings={"allow_extra_args": True},
)
@options.archive()
@declare.option(
    "-m MODULE",
    "Run this module, with all that follows as its own arguments.",
    "module",
)
@declare.option(
    "--profile FILE",
    "Record into this file what the module reads and imports, with times, for "
    "'push --profile' and 'report --profile'.",
)
@options.settings()
def command(
    archive: str,
    module: str | None,
    program: Sequence[str],
    profile: str | None,
    settings: Settings,
) -> int:
    """Run a module of an archive.

    Works as 'python -m' does. Fetches the archive if this node does not have it, and
    imports the module straight from it; installs nothing.

    Everything after the module's name is for the module. The exit code is that of the
    module.
    """
    if not module:
        raise click.UsageError(
            "which module? Add -m MODULE and its arguments at the end"
        )
    if profile:
        os.environ.pop("LAZYIMPORT_PROFILE", None)  # one profile of a process is enough
    try:
        installed = _install(archive, settings)
    except (ArchiveMissing, SettingsError) as error:
        if settings.store is None and _names_store(program):
            raise click.UsageError(
                f"{error}; what follows -m MODULE is for the module, so write --store "
                "before -m"
            ) from error
        raise
    if profile:
        sys.argv[:] = [module, *program]  # the profile names it
        installed.record(os.path.abspath(profile))
    warning = _warning_of_children(module)
    if warning:
        console.warn(warning)
    act_as_python()
    search_as_python()
    ended = run_program(installed.tree, module, program)
    if ended is None:
        return DONE
    sys.excepthook(type(ended), ended, ended.__traceback__)
    return INTERRUPTED if isinstance(ended, KeyboardInterrupt) else FAILED


def _warning_of_children(module: str) -> str:
    """Return why processes that *module* starts will not find its archive.

    "" if they are activated, by our .pth or in another way.
    """
    what = f"processes that {module} starts do not find the archive"
    if sys.flags.ignore_environment:
        return f"with -E or -I, which multiprocessing passes on, {what}; leave it out"
    import site

    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    found = any(os.path.exists(f"{folder}/lazyimport.pth") for folder in folders)
    is_read = found and not sys.flags.no_site
    if is_read or "lazyimport.activation" in sys.modules:
        return ""
    return (
        f"{sys.executable} does not read lazyimport.pth, so {what}; install "
        "ray-lazyimport into the site-packages of that Python"
    )


def _names_store(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--store" for word in words)


def _install(text: str, settings: Settings) -> Installation:
    with Progress() as reporter:
        process.reporter = reporter
        installed = install(
            resolve(text, settings, reporter=reporter),
            store=settings.store,
            cache_dir=settings.cache_dir,
            cache_mode=settings.cache_mode,
            policy=settings.policy,
            timeout=settings.timeout,
        )
        if installed.fetched and console.is_live(sys.stderr):
            place = redact(settings.store or "")
            reporter.say(f"fetched {size(installed.fetched)} from {place}")
    process.reporter = Lines(console.warn, console.say)
    _forget_libraries()
    return installed


def _forget_libraries() -> None:
    """Let the program import its own versions of what the command line has loaded.

    What runs of the command line keeps the modules that it has.
    """
    for name in list(sys.modules):
        if name.partition(".")[0] in _LIBRARIES:
            del sys.modules[name]
