"""What a Ray worker does beyond other processes: it reports, and refuses mixtures.

Both need Ray, which the worker imports after activation and before its first
task. So activation leaves a finder that waits for some of Ray's modules, and is
gone when it has seen them.
"""

from __future__ import annotations

import functools
import sys

from lazyimport.cache.layout import hash_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

__all__ = ["refuse_others", "report_when_connected", "watch"]

#: modules of Ray's own whose tasks and actors run the code of an application
_RUN_APPLICATIONS = (
    "ray.serve._private.application_state",
    "ray.serve._private.replica",
)


def watch(hash: str | None, failure: str | None = None) -> None:
    """Let this worker, which is to run *hash*, report and refuse other versions.

    *hash* is None where it is not known, because a channel could not be read;
    *failure* says why the archive is not installed, if it is not.
    """
    waiting: dict[str, Callable[[ModuleType], None]] = {
        "ray._private.worker": report_when_connected,
    }
    if hash:
        refuse = functools.partial(refuse_others, hash, failure=failure)
        waiting["ray.cloudpickle.cloudpickle"] = refuse
    if failure:
        refuse_copies = functools.partial(_refuse_copies, failure)
        waiting["ray._private.function_manager"] = refuse_copies
    if not any(type(finder) is _Waiting for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(waiting))


def report_when_connected(module: Any) -> None:
    """Let a worker report when it is connected and before it runs anything."""
    main_loop = module.Worker.main_loop

    @functools.wraps(main_loop)
    def reporting(self: Any) -> Any:
        try:
            from lazyimport.ray.metrics import keep_reporting, report

            report()
            keep_reporting()
        except Exception as error:  # noqa: BLE001 - the worker has tasks to run
            print(f"lazyimport: cannot report: {error!r}", file=sys.stderr)  # noqa: T201
        return main_loop(self)

    module.Worker.main_loop = reporting


def refuse_others(hash: str, module: Any, failure: str | None = None) -> None:
    """Refuse functions that were pickled by value from another archive than *hash*.

    After a *failure* to install it from this one as well.

    Ray and Serve send what is decorated by value, its body as the sender has it,
    while all it imports comes from this process's archive: without this, a
    replica could run a mixture of two versions and nobody would notice.
    """
    make_function = module._make_function  # noqa: SLF001

    @functools.wraps(make_function)
    def checked(code: CodeType, *rest: Any) -> Any:
        theirs = hash_in(code.co_filename)
        if theirs and (failure or theirs != hash):
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


def _refuse_copies(failure: str, module: Any) -> None:
    """Refuse functions and classes by name that come from elsewhere than the archive.

    It is not installed here, for the reason *failure*, and the image may hold a copy
    of the application, or ``working_dir``: that would run another version, and
    everybody would believe that it is the archive's. What came by value runs, and
    what it imports says why that is missing.
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
        named = home in sys.modules and home.partition(".")[0] not in {
            "ray",
            "__main__",
        }
        if callable(value) and (named or home in _RUN_APPLICATIONS):
            from lazyimport.errors import InstallError

            raise InstallError(
                f"{getattr(value, '__name__', 'this')!r} is not run: {self._failure}"
            )
        return value

    def __getattr__(self, name: str) -> Any:
        """Answer as pickle does."""
        return getattr(self._pickle, name)


class _Waiting:
    """A finder that calls a function with each of some modules after its execution."""

    def __init__(self, waiting: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._waiting = dict(waiting)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        then = self._waiting.pop(fullname, None)
        if then is None:
            return None
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None and spec.loader is not None:
                    spec.loader = _Then(spec.loader, then, self)  # type: ignore[assignment]
                    return spec
        return None

    def seen(self) -> None:
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


class _Then:
    """Loads a module with its own loader, then calls a function with it."""

    def __init__(
        self, loader: Any, then: Callable[[ModuleType], None], finder: _Waiting
    ) -> None:
        self._loader = loader
        self._then = then
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._finder.seen()
        try:
            self._then(module)
        except AttributeError as error:  # a Ray in which the place is another
            print(f"lazyimport: cannot watch this Ray: {error}", file=sys.stderr)  # noqa: T201
