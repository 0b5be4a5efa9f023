"""Programs: a module of an archive runs as ``python -m`` would run it."""

from __future__ import annotations

import os
import runpy
import sys
from types import ModuleType

from lazyimport.importing.missing import explain_missing
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from lazyimport.errors import ArchiveModuleMissing
    from lazyimport.importing.tree import Tree


def run_program(
    tree: Tree, module: str, arguments: Sequence[str]
) -> BaseException | None:
    """Run *module* as ``__main__`` with *arguments*; *tree* must be installed.

    ``sys.argv``, ``sys.path[0]`` and ``__main__`` become what they are with ``-m``.
    Returns the exception that ended it, whose traceback begins with the program's
    own frames, or None if it came to its end.

    Raises SystemExit as it does, and ArchiveModuleMissing if there is no such
    module, or none that can be run.
    """
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = os.getcwd()  # a script's folder until now; -m has this
    sys.argv[:] = [module, *arguments]
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
    except BaseException as error:  # noqa: BLE001 - for the caller to report
        error.__traceback__ = _without_us(error.__traceback__)
        if isinstance(error, ImportError) and error.__traceback__ is None:
            raise _missing(tree, module, error) from None
        return error
    return None


def _missing(tree: Tree, module: str, error: ImportError) -> ArchiveModuleMissing:
    dotted = module.removesuffix(".py").replace("/", ".")
    if dotted != module and tree.module(dotted.replace(".", "/")) is not None:
        return errors.ArchiveModuleMissing(
            f"cannot run {module!r}: a module is named with dots, -m {dotted}",
            name=module,
            hash=tree.hash,
        )
    cause = error.__cause__
    if isinstance(cause, errors.ArchiveModuleMissing):  # a package that it would be in
        return cause.with_text(f"cannot run {module!r}: {cause}")
    stem = module.replace(".", "/")
    name = f"{module}.__main__" if tree.is_directory(stem) else module
    known = tree.module(name.replace(".", "/")) is not None
    return errors.ArchiveModuleMissing(
        f"cannot run {module!r}: {error}",
        None if known else lambda: explain_missing(tree, name),
        name=name,
        hash=tree.hash,
    )


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    """Return *traceback* from the first frame on that is the program's own."""
    ours = {__file__, runpy.__file__, "<frozen runpy>"}
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename not in ours:
            return traceback
        traceback = traceback.tb_next
    return None
