"""``lazyimport run``: like ``python -m``, from an archive."""

from __future__ import annotations

import os
import sys

from lazyimport.cli import INTERRUPTED
from lazyimport.cli.options import ACTIVATING, UsageError, read_settings, resolve
from lazyimport.cli.progress import Notes, is_terminal
from lazyimport.cli.tables import size
from lazyimport.errors import ArchiveMissing, ArchiveModuleMissing, SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import TracebackType

    from lazyimport.runtime import Installation
    from lazyimport.settings import Settings

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Install the archive in this process and run the module in it."""
    if not arguments.module:
        raise UsageError("which module? Add -m MODULE and its arguments at the end")
    settings = read_settings(arguments)
    try:
        installed = _install(arguments.hash, settings)
    except (ArchiveMissing, SettingsError) as error:
        if settings.store is None and _names_store(arguments.program):
            raise UsageError(
                f"{error}; what follows -m MODULE is for the module, so write --store "
                "before -m"
            ) from error
        raise
    if installed.fetched and is_terminal(sys.stderr):
        from lazyimport.stores.protocol import redact

        place = redact(settings.store or "")
        Notes().say(f"fetched {size(installed.fetched)} from {place}")
    return _run_module(installed, arguments.module, arguments.program)


def _install(text: str, settings: Settings) -> Installation:
    """Install the archive that *text* means, in a fresh process if need be."""
    from lazyimport import runtime

    wanted = resolve(text, settings)
    running = runtime.current()
    if running is not None and running.hash != wanted:
        _start_anew()
    runtime.tell = Notes().warn
    return runtime.install(
        wanted,
        store=settings.store,
        cache_dir=settings.cache_dir,
        cache_mode=settings.cache_mode,
        policy=settings.policy,
        timeout=settings.timeout,
    )


def _names_store(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--store" for word in words)


def _start_anew() -> None:
    """Replace this process, in which another archive was activated, by a fresh one."""
    environ = {k: v for k, v in os.environ.items() if k not in ACTIVATING}
    command = [sys.executable, "-m", "lazyimport", *sys.argv[1:]]
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own arguments


def _run_module(installed: Installation, module: str, program: list[str]) -> int:
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
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


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
