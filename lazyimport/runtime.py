"""install, uninstall, current: the one archive that this process runs.

This is the only process state of lazyimport. Everything that `install` changes
in the interpreter is listed in `Installation`, and `uninstall` takes it back.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from time import perf_counter

from lazyimport import lazy_errors as errors
from lazyimport.cache.node import NodeCache
from lazyimport.importing.finder import ArchiveFinder, ArchivePathFinder, MissingFinder
from lazyimport.importing.loader import TREES, ArchiveLoader
from lazyimport.importing.machinery import PathFinder, running_python
from lazyimport.importing.tree import Tree
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from lazyimport.cache.materialize import Materializer
    from lazyimport.errors import DamagedArchive
    from lazyimport.format.archive import Archive
    from lazyimport.importing.stdlib_patches import Lessons

__all__ = ["Installation", "current", "install", "uninstall"]

#: Up to here the interpreter prints an uncaught exception in C, and reads files.
_PRINTS_IN_C = sys.version_info < (3, 13)
#: the hooks of sys behind which it does so; errors that nobody can catch follow later
_HOOKS = ("excepthook",) * _PRINTS_IN_C + ("unraisablehook",) * (
    sys.version_info < (3, 15)
)
#: modules that must learn of the archive: see Lessons
_TAUGHT = (
    "importlib.abc",
    "importlib.resources.readers"
    if sys.version_info >= (3, 11)
    else "importlib.readers",
    "inspect",
    "linecache",
    "pkg_resources",
    "unittest.loader",
) + (("threading",) if _PRINTS_IN_C else ())

#: what directories of installed packages are called
_INSTALLED = ("/site-packages", "/dist-packages")

_lock = RLock()
_current: Installation | None = None
#: root of a tree that this process uses -> the descriptor whose lock says so
_held: dict[str, int] = {}


def _forked() -> None:
    """Forget a thread that was installing: it is not in the child."""
    global _lock  # noqa: PLW0603
    _lock = RLock()


os.register_at_fork(after_in_child=_forked)


def tell(text: str) -> None:
    """Say what a person should know about the node; activation has its own way."""
    from warnings import warn

    frame, level = sys._getframe(1), 2  # noqa: SLF001 - skip_file_prefixes is 3.12's
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lazyimport"):
        frame, level = frame.f_back, level + 1
    warn(text, RuntimeWarning, stacklevel=level)


class _Telling(Reporter):
    """Passes warnings on to `tell`, which activation replaces."""

    def warn(self, text: str) -> None:
        tell(text)


def install(
    hash: str | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_mode: str | None = None,
    policy: str | None = None,
    timeout: float | None = None,
    cache_limit: str | None = None,
    channel: str | None = None,
    artifact: str | None = None,
) -> Installation:
    """Let this process import the modules of the archive *hash*.

    *hash* is 64 hex digits, as ``lazyimport push`` prints them. Without one,
    *channel* is looked up in the store, once, and the handle says which archive
    it was; where ``LAZYIMPORT_HASH`` is set, no channel is asked. What is not
    passed is taken from the environment (``LAZYIMPORT_HASH``,
    ``LAZYIMPORT_STORE``, ...; see `Settings` for each; *store* and *cache_dir*
    may be paths). The archive is taken
    from the node cache; if it is not there it is fetched from the store, once
    for all processes of the node, in at most *timeout* seconds.

    In place of a hash, *artifact* is the URL of a zip, wheel or tarball that
    another tool uploaded. It is made into an archive, once for the node, and
    that is what is installed; see docs/artifacts.md.

    The settings are put into ``os.environ``, so that child processes in which
    lazyimport is installed run the same archive: always by its hash, so that
    all of them are of one version whatever happens to the channel.

    Installing the same hash again returns the same handle. Returns a handle
    that is a context manager: leaving it uninstalls.

    Raises SettingsError, InstallError if another hash runs here already,
    WrongPython, or what kept the archive from arriving: ChannelError,
    SignatureError, ArchiveMissing, StoreError, CacheError, ArchiveError, or
    PackError for an artifact.
    """
    global _current  # noqa: PLW0603
    if sum(map(bool, (hash, channel, artifact))) > 1:
        raise errors.SettingsError(
            "pass one of hash, channel= and artifact=, which may not mean the same, not "
            f"{' and '.join(repr(one) for one in (hash, channel, artifact) if one)}",
            name="hash",
            value=hash,
        )
    settings = Settings.from_environ(
        os.environ,
        hash=hash,
        store=store,
        cache_dir=cache_dir,
        cache_mode=cache_mode,
        policy=policy,
        timeout=timeout,
        cache_limit=cache_limit,
        channel=channel,
        artifact=artifact,
    )
    with _lock:
        started = perf_counter()
        asked = delivered = None
        if settings.hash is None and settings.artifact is not None:
            delivered = _deliver(settings)
            settings = settings.with_hash(delivered[0].hash)
        elif settings.hash is None:
            asked = settings.channel
            settings = _look_up(settings)
        assert settings.hash is not None
        if _current is not None:
            other = bool(channel and _current.channel not in {None, channel})
            if _current.hash == settings.hash and not other:
                return _current
            raise errors.InstallError(
                f"this process already runs archive {_current.hash}"
                f"{f' of channel {_current.channel!r}' if _current.channel else ''}, "
                f"so it cannot run {f'channel {channel!r}' if other else settings.hash} "
                "as well; start a new process for it",
                hash=settings.hash,
                installed=_current.hash,
            )
        _refuse_leftovers(settings.hash)
        archive, fetched = delivered or _deliver(settings)
        _check_python(archive)
        _current = Installation(settings, archive, fetched, asked)
        _current.seconds = perf_counter() - started
        return _current


def uninstall() -> None:
    """Take the installed archive out of this process; nothing if there is none.

    Modules that were imported stay and keep working.
    """
    with _lock:
        if _current is not None:
            _current.uninstall()


def current() -> Installation | None:
    """Return the handle of what is installed in this process, or None."""
    return _current


class Installation:
    """What `install` did, and the way back.

    ``hash``, ``settings``; ``root``, the directory that ``__file__`` of the
    archive's modules lies in; ``fetched``, the bytes that were downloaded for
    it (0 if the node had it); ``channel``, the channel that was asked for the
    hash, or None if nobody had to ask; ``seconds``, how long `install` took.
    """

    seconds = 0.0
    _lessons: Lessons | None = None

    def __init__(
        self,
        settings: Settings,
        archive: Archive,
        fetched: int,
        channel: str | None = None,
    ) -> None:
        cache = NodeCache(settings.cache_dir)
        self.settings = settings
        self.hash = archive.hash
        self.channel = channel
        self.root = cache.tree_path(archive.hash)
        self.fetched = fetched
        self.tree = Tree(archive, self.root, lambda: _materializer(archive, self.root))
        if self.tree.variant < 0:  # what gets compiled here is worth keeping
            from lazyimport.cache.bytecode import BytecodeCache

            self.tree.bytecode = BytecodeCache(cache, *running_python())
        finder, path_finder = ArchiveFinder, ArchivePathFinder
        if settings.policy == "refuse":
            from lazyimport.importing import shadowing

            shadowing.refuse_imported(self.tree)
            finder = shadowing.RefusingFinder
            path_finder = shadowing.RefusingPathFinder
        self._finder = finder(
            self.tree,
            top_level=settings.policy != "path",
            watched=_TAUGHT,
            then=self._teach,
        )
        self._missing = MissingFinder(self.hash, self._explain_missing)
        self._hook = path_finder.hook(self.tree)
        self._environ: dict[str, str | None] = {}
        self._hooks: list[tuple[str, object, object]] = []
        self._register()

    def _register(self) -> None:
        sys.audit("lazyimport.install", self.hash, self.settings.store)
        TREES[self.hash] = self.tree
        sys.path_hooks.insert(0, self._hook)
        self._forget_path_entries()
        sys.path.insert(_place_of_site_packages(), self.root)
        sys.meta_path.insert(_place_of_path_finder(), self._finder)
        sys.meta_path.append(self._missing)
        for name in _TAUGHT:
            if sys.modules.get(name) is not None:
                __import__(name)  # another thread may be in the middle of it
                self._teach(sys.modules[name])
        for name in _HOOKS:
            self._put_hooks(name, f"__{name}__")
        for variable, value in self.settings.to_environ().items():
            self._environ[variable] = os.environ.get(variable)
            os.environ[variable] = value
        if "LAZYIMPORT_CHANNEL" in os.environ:
            self._environ["LAZYIMPORT_CHANNEL"] = os.environ.pop("LAZYIMPORT_CHANNEL")

    def uninstall(self) -> None:
        """Undo what `install` did; may be called again."""
        global _current  # noqa: PLW0603
        with _lock:
            if _current is not self:
                return
            _current = None
            changed: list[tuple[list[Any], object]] = [
                (sys.meta_path, self._finder),
                (sys.meta_path, self._missing),
                (sys.path_hooks, self._hook),
                (sys.path, self.root),
            ]
            for place, item in changed:
                while item in place:
                    place.remove(item)
            self._forget_path_entries()
            if self._lessons is not None:
                self._lessons.remove()
            for name, ours, before in self._hooks:
                if getattr(sys, name) is ours:
                    setattr(sys, name, before)
            TREES.pop(self.hash, None)
            self._restore_environ()

    def _restore_environ(self) -> None:
        ours = self.settings.to_environ()
        for variable, before in self._environ.items():
            if os.environ.get(variable) == ours.get(variable):
                if before is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = before

    def _teach(self, module: ModuleType) -> None:
        self._our_lessons().teach(module)

    def _our_lessons(self) -> Lessons:
        if self._lessons is None:
            from lazyimport.importing.stdlib_patches import Lessons

            # one for all threads: a second one would never be taken back
            vars(self).setdefault("_lessons", Lessons(self.tree))
        assert self._lessons is not None
        return self._lessons

    def _put_hooks(self, *names: str) -> None:
        """Wrap the hooks called *names*; one with two names still is one.

        Whoever puts the original back or asks whether it is there must find ours.
        """
        wrapped: dict[int, Callable[..., None]] = {}
        for name in names:
            before = getattr(sys, name)
            if id(before) not in wrapped:
                wrapped[id(before)] = self._with_files(before)
            ours = wrapped[id(before)]
            setattr(sys, name, ours)
            self._hooks.append((name, ours, before))

    def _with_files(self, before: Callable[..., None]) -> Callable[..., None]:
        """Return *before*, for which the files are put on disk that it will read."""

        def hook(*args: Any) -> None:
            try:
                if len(args) == 1:
                    self._our_lessons().write(args[0].exc_value, args[0].exc_traceback)
                else:
                    self._our_lessons().write(args[1], args[2])
            except Exception:  # noqa: BLE001, S110 - that would hide what is printed
                pass  # at the end of a process not much is left to work with
            before(*args)

        return hook

    def _forget_path_entries(self) -> None:
        for path in list(sys.path_importer_cache):
            if str(path).startswith(self.root):
                sys.path_importer_cache.pop(path, None)

    def _explain_missing(self, fullname: str) -> str:
        from lazyimport.importing.missing import explain_missing

        try:
            return explain_missing(self.tree, fullname)
        except Exception as error:  # noqa: BLE001 - it would hide the ImportError
            return f"\n  lazyimport: {error}"

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        state = "installed" if _current is self else "uninstalled"
        return f"<Installation of archive {self.hash}, {state}>"


def _materializer(archive: Archive, root: str) -> Materializer:
    from lazyimport.cache.materialize import Materializer  # few archives need it

    return Materializer(archive, root, _held)


def _look_up(settings: Settings) -> Settings:
    """Return *settings* with the hash that their channel means now."""
    if settings.channel is None:
        raise errors.SettingsError(
            "no archive to install: pass its hash or set LAZYIMPORT_HASH, or name a "
            "channel with LAZYIMPORT_CHANNEL, or an artifact with LAZYIMPORT_ARTIFACT",
            name="hash",
            value=None,
        )
    import logging  # after a look into a store it weighs nothing

    from lazyimport.registry.channels import resolve_channel

    change = resolve_channel(settings, settings.channel)
    logging.getLogger("lazyimport").info(
        "channel %s of %s means archive %s (#%d)",
        settings.channel,
        settings.store,
        change.hash,
        change.number,
    )
    return settings.with_hash(str(change.hash))


def _deliver(settings: Settings) -> tuple[Archive, int]:
    hash = settings.hash
    if hash is not None and settings.cache_mode != "memory":
        try:
            archive = NodeCache(settings.cache_dir).open(hash)
        except (errors.ArchiveError, errors.CacheError):
            archive = None  # fetch repairs it, does without it or says so
        if archive is not None:
            return _repairing(archive, settings), 0
    if os.path.lexists(settings.cache_dir):
        # Also who runs from memory finds libraries and compiled code there.
        NodeCache(settings.cache_dir).make()
    # only the one that downloads pays
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import deliver

        archive, fetched = deliver(settings, _Telling())
    else:
        from lazyimport.delivery.fetch import fetch

        assert hash is not None
        archive, fetched = fetch(settings, hash, _Telling())
    return _repairing(archive, settings), fetched


def _repairing(archive: Archive, settings: Settings) -> Archive:
    """Return *archive*, which sees to it where its bytes turn out damaged."""
    hash = archive.hash  # not the archive: it is to go when nobody has it any more

    def repaired(error: DamagedArchive) -> Archive:
        from lazyimport.delivery.repair import repair

        return repair(settings.with_hash(hash), hash, error, _Telling())

    def reported(error: DamagedArchive) -> None:
        from lazyimport.delivery.repair import give_up

        give_up(settings, hash, error)

    archive.repair = repaired
    archive.index.report = reported
    return archive


def _check_python(archive: Archive) -> None:
    minor = sys.version_info.minor
    if archive.index.minors >> minor & 1:
        return
    required = archive.notes.get("requires_python")
    if not required:
        runs_on = [m for m in range(64) if archive.index.minors >> m & 1]
        required = ", ".join(f"3.{m}" for m in runs_on) or "no Python at all"
    raise errors.WrongPython(
        f"archive {archive.hash} is for Python {required}, and this is "
        f"{sys.version.split()[0]}; use an image with such a Python, or push the tree "
        "with a requires-python that allows this one",
        hash=archive.hash,
    )


def _refuse_leftovers(hash: str) -> None:
    """Refuse to mix two versions: modules of another archive may still be here."""
    old: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        loader: Any = getattr(getattr(module, "__spec__", None), "loader", None)
        if type(loader) is ArchiveLoader and loader.hash != hash:
            old.setdefault(loader.hash, []).append(name)
    for installed, names in old.items():
        raise errors.InstallError(
            f"modules of archive {installed} are still in this process "
            f"({', '.join(sorted(names)[:3])}, {len(names)} in all), so it cannot run "
            f"{hash}; start a new process for it",
            hash=hash,
            installed=installed,
        )


def _place_of_path_finder() -> int:
    for place, finder in enumerate(sys.meta_path):
        if finder is PathFinder:
            return place
    return len(sys.meta_path)


def _place_of_site_packages() -> int:
    for place, path in enumerate(sys.path):
        # Python passes over what is no text, such as a pathlib.Path; so do we.
        if isinstance(path, str) and path.endswith(_INSTALLED):
            return place
    return len(sys.path)
