"""What only a Ray worker does: it reports, and refuses mixtures of two versions.

Both change modules of Ray, which the worker imports after activation and before its
first task. So activation has those imports watched.
"""

from __future__ import annotations

import functools
import sys

from lazyimport.cache.layout import hash_in
from lazyimport.runtime import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

#: modules of Ray itself whose tasks and actors run the code of an application
_RUN_APPLICATIONS = (
    "ray.serve._private.application_state",
    "ray.serve._private.replica",
)


def watch(hash: str | None, failure: str | None = None) -> None:
    """Make this worker, which is to run *hash*, report and refuse other versions.

    *hash* is None if nobody knows it, because a channel could not be read; *failure*
    says why the archive is not installed, None if it is.
    """
    if process.watcher.watches("ray._private.worker"):
        return  # this process was activated twice
    _change("ray._private.worker", report_when_connected)
    if hash:
        refuse = functools.partial(refuse_others, hash, failure=failure)
        _change("ray.cloudpickle.cloudpickle", refuse)
    if failure:
        refuse_copies = functools.partial(_refuse_copies, failure)
        _change("ray._private.function_manager", refuse_copies)


def _change(name: str, change: Callable[[ModuleType], None]) -> None:
    """Call *change* with the module *name* of Ray when it has been imported."""

    def careful(module: ModuleType) -> None:
        try:
            change(module)
        except AttributeError as error:  # a Ray that has it in another place
            process.reporter.warn(f"cannot watch this Ray: {error}")

    process.watcher.watch(name, careful)


def report_when_connected(module: Any) -> None:
    """Make workers report when they are connected, before they run anything."""
    main_loop = module.Worker.main_loop

    @functools.wraps(main_loop)
    def reporting(self: Any) -> Any:
        try:
            from lazyimport.ray.metrics import keep_reporting, report

            try:
                report()
            finally:  # a log that cannot be written now may be later
                keep_reporting()
        except Exception as error:  # noqa: BLE001 - the worker has tasks to run
            process.reporter.warn(f"cannot report: {error!r}")
        return main_loop(self)

    module.Worker.main_loop = reporting


def refuse_others(hash: str, module: Any, failure: str | None = None) -> None:
    """Refuse functions pickled by value from another archive than *hash*.

    After a *failure* to install that one, refuse its functions as well.

    Ray and Serve send what is decorated by value: its body as the sender has it,
    while all that it imports comes from the archive of this process. Without this,
    a replica could run a mixture of two versions and nobody would notice.
    """
    make_function = module._make_function  # noqa: SLF001

    @functools.wraps(make_function)
    def checked(code: CodeType, *rest: Any) -> Any:
        theirs = hash_in(code.co_filename)
        if theirs and (failure or theirs not in _run_here(hash)):
            from lazyimport.errors import InstallError

            if theirs == hash:
                raise InstallError(
                    f"{code.co_name!r} is not run: {failure}", hash=theirs
                )
            raise InstallError(
                f"{code.co_name!r} was pickled in a process that runs archive "
                f"{theirs}, and this process runs {hash}: a mixture of two versions. "
                "Give both the same hash; in a Serve config set LAZYIMPORT_HASH in "
                "the runtime_env of the application, never in ray_actor_options of "
                "a deployment",
                hash=theirs,
                installed=hash,
            )
        return make_function(code, *rest)

    module._make_function = checked  # noqa: SLF001


def _run_here(hash: str) -> tuple[str, ...]:
    """Return the archives whose code may run here: *hash*, unless code can change.

    Then also those it has changed to, and the one that a swap under way prepares.
    """
    if process.live is None or process.installation is None:
        return (hash,)
    return hash, process.installation.hash, *process.live.hashes


def _refuse_copies(failure: str, module: Any) -> None:
    """Refuse functions and classes that came by name, from elsewhere than the archive.

    The archive is not installed here, for the reason *failure*, and a copy of the
    application in the image or ``working_dir`` may be another version. What came by
    value runs, and what it imports says why that is missing.
    """
    module.pickle = _Refusing(module.pickle, failure)


class _Refusing:
    """Ray's pickle, which does not load what the archive should be there for."""

    def __init__(self, pickle: Any, failure: str) -> None:
        self._pickle = pickle
        self._failure = failure

    def loads(self, data: Any, **options: Any) -> Any:
        value = self._pickle.loads(data, **options)
        home = getattr(value, "__module__", None) or ""
        rays = home.partition(".")[0] in {"ray", "__main__"}
        named = home in sys.modules and not rays
        if callable(value) and (named or home in _RUN_APPLICATIONS):
            from lazyimport.errors import InstallError

            raise InstallError(
                f"{getattr(value, '__name__', 'this')!r} is not run: {self._failure}"
            )
        return value

    def __getattr__(self, name: str) -> Any:
        """Answer as pickle does."""
        return getattr(self._pickle, name)
