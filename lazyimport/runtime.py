"""install, uninstall, current: the one archive that this process runs.

`process` is the only process state of lazyimport. Everything that `install` changes
in the interpreter is noted in its `Installation`, and `uninstall` takes it back.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from errno import ENOENT
from time import perf_counter, time

from lazyimport.cache.node import NodeCache
from lazyimport.importing import Changes, ImportWatcher, running_python
from lazyimport.importing.loader import ArchiveLoader
from lazyimport.importing.looks import Looks
from lazyimport.importing.registration import Registration
from lazyimport.importing.tree import Tree
from lazyimport.importing.wrappers import Wrappers
from lazyimport.lazy import errors, traced
from lazyimport.settings import Settings
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Protocol

    from lazyimport.cache.materialize import Materializer
    from lazyimport.errors import DamagedArchive
    from lazyimport.format.archive import Archive
    from lazyimport.format.blobs import Blob
    from lazyimport.reporting import Reporter

    class Live(Protocol):
        """What the floor above knows of the versions that this process has run."""

        hashes: list[str]


@traced("install")
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
    verify: str | None = None,
    gc: str | None = None,
    files: str | None = None,
    live: bool | None = None,
) -> Installation:
    """Let this process import the modules of the archive *hash*.

    *hash* is 64 hex digits, as ``lazyimport push`` prints them. Without one,
    *channel* is looked up in the store, once, and the handle says which archive
    it points to; ``LAZYIMPORT_HASH`` wins over a channel. What is not passed is
    taken from the environment (``LAZYIMPORT_HASH``,
    ``LAZYIMPORT_STORE``, ...; see `Settings` for each; *store* and *cache_dir*
    may be paths). The archive is taken from the node cache; if it is not there it is
    fetched from the store, once for all processes of the node, in at most *timeout*
    seconds.

    In place of a hash, *artifact* is the URL of a zip, wheel or tarball that another
    tool uploaded. It is made into an archive, once for the node.

    The settings are put into ``os.environ``, so that child processes run the same
    archive: by its hash, whatever happens to the channel.

    Returns a handle that is a context manager: leaving it uninstalls. Installing the
    same hash again returns the same handle.

    Raises SettingsError, InstallError if another hash runs here already,
    WrongPython, or what kept the archive from arriving: ChannelError,
    SignatureError, ArchiveMissing, StoreError, CacheError, ArchiveError, or
    PackError for an artifact.
    """
    if sum(map(bool, (hash, channel, artifact))) > 1:
        raise errors.SettingsError(
            "pass one of hash, channel= and artifact=, which may point to different "
            "archives, not "
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
        verify=verify,
        gc=gc,
        files=files,
        live=live,
    )
    with process.lock:
        started = perf_counter()
        wanted = _Wanted(settings)
        running = process.installation
        if running is not None:
            _refuse_another(running, wanted.hash, channel)
            return running
        if process.has_installed:
            _refuse_leftovers(wanted.hash)
        process.has_installed = True
        installation = Installation(wanted, wanted.open())
        installation.seconds = perf_counter() - started
        installation.began = time() - installation.seconds
        if "opentelemetry.trace" in sys.modules:
            from lazyimport.tracing import note

            facts = {"hash": installation.hash, "bytes": installation.fetched}
            installation.traced = note(**facts)
        process.installation = installation
        return installation


def uninstall() -> None:
    """Take the installed archive out of this process; nothing if there is none.

    Modules that were imported stay and keep working.
    """
    installation = process.installation
    if installation is not None:
        installation.uninstall()


def path(name: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file or directory of the archive, on the disk.

    *name* is its path in the archive, such as ``weights/model.bin``. What
    ``[tool.lazyimport] on_demand`` left in the store is fetched first; processes that
    ask at once share one transfer. In a process without an archive, it is looked for
    in the directories of `sys.path`.

    Raises FileNotFoundError if there is no such file, `errors.ArchiveReadError` (an
    OSError) if its bytes cannot be fetched or are damaged, and `errors.CacheError` if
    the node cache cannot be written.
    """
    name = os.fspath(name)
    installation = process.installation
    if installation is not None:
        return installation.tree.path(name)
    for folder in sys.path:
        found = os.path.abspath(os.path.join(folder, name))
        if os.path.exists(found):
            return found
    raise FileNotFoundError(
        ENOENT,
        "no archive is installed in this process, and no directory of sys.path has it",
        name,
    )


def current() -> Installation | None:
    """Return the handle of what is installed in this process, or None."""
    return process.installation


class Installation:
    """What `install` did, and the way back.

    ``hash``, ``settings``; ``root``, the directory that ``__file__`` of the
    archive's modules lies in; ``fetched``, the bytes that were downloaded for
    it (0 if the node had it); ``channel``, the channel that was asked for the
    hash, or None; ``seconds``, how long `install` took.
    """

    seconds = 0.0
    began = 0.0  # since the epoch
    traced = False  # whether a span of OpenTelemetry tells

    def __init__(self, wanted: _Wanted, archive: Archive) -> None:
        _check_python(archive)
        settings = self.settings = wanted.settings
        self.hash = archive.hash
        self.channel = wanted.channel
        self.fetched = wanted.fetched
        self.tree = _open_tree(archive, settings)
        self.root = self.tree.root
        self._changes = Changes()
        store = settings.store and redact(settings.store)
        sys.audit("lazyimport.install", self.hash, store)
        if settings.files == "all":
            self._put_all()
        try:
            self._registration = Registration(
                self.tree,
                settings.policy,
                self._changes,
                process.watcher,
                process.wrappers,
            )
            for variable, value in settings.to_environ().items():
                self._changes.set_variable(variable, value)
            self._changes.set_variable("LAZYIMPORT_CHANNEL", None)
            if settings.profile is not None:
                self.record(f"{settings.profile}/")
        except BaseException:
            self._changes.undo()
            raise

    def _put_all(self) -> None:
        refusal = self.tree.put_all()
        self.tree.is_real = refusal is None
        if refusal is not None:
            process.reporter.warn(
                f"not all files are on disk, as LAZYIMPORT_FILES=all wants: {refusal}; "
                "until then they appear when somebody looks, where that is possible"
            )

    def switch(self, tree: Tree) -> None:
        """Let *tree* take the place of the one that this process imports from."""
        sys.audit("lazyimport.install", tree.hash, None)
        self._registration.switch(tree)
        tree.loads = self.tree.loads
        tree.looked.update(self.tree.looked)
        self.tree, self.hash, self.root = tree, tree.hash, tree.root
        self.settings = self.settings.with_hash(tree.hash)
        self._changes.set_variable("LAZYIMPORT_HASH", tree.hash)

    def record(self, path: str) -> None:
        """Record what this process reads and imports from now on, until `uninstall`.

        The profile is the file *path*; if that ends with a slash, a file of its own in
        that directory.
        """
        from lazyimport.recording import Recording

        Recording(self.tree, path, self._changes, _warn)

    def uninstall(self) -> None:
        """Undo what `install` did; may be called again."""
        with process.lock:
            if process.installation is self:
                process.installation = None
                self._changes.undo()

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        state = "installed" if process.installation is self else "uninstalled"
        return f"<Installation of archive {self.hash}, {state}>"


class _Wanted:
    """The archive that settings name, by its hash or by a channel or an artifact.

    ``settings`` have the hash then. A process whose archive is in the node cache
    loads nothing of what fetches one.
    """

    def __init__(self, settings: Settings) -> None:
        self.channel: str | None = None
        self.fetched = 0
        self._user = os.geteuid()
        self._archive: Archive | None = None
        #: large files that did not come to the disk, by digest
        self._in_memory: dict[bytes, mmap] = {}
        if settings.hash is None:
            from lazyimport.delivery.obtaining import look_up, obtain

            if settings.artifact is not None:
                self._archive, self.fetched = obtain(settings, process.reporter)
                settings = settings.with_hash(self._archive.hash)
            else:
                self.channel = settings.channel
                settings = look_up(settings)
        assert settings.hash is not None
        self.hash = settings.hash
        self.settings = settings

    def open(self) -> Archive:
        """Return the archive; damage that is found in it later will be seen to."""
        archive, self._archive = self._archive or self._cached(), None
        if archive is None:
            from lazyimport.delivery.obtaining import obtain

            process.waiting = self.settings
            try:
                archive, self.fetched = obtain(self.settings, process.reporter)
            finally:
                process.waiting = None
        if self.settings.require_signature:
            from lazyimport.delivery.obtaining import require_signed

            require_signed(self.settings)
        if self.settings.verify == "arrival":
            archive.rely_on_seal()
        # Neither refers to the archive, which is to go with its last user.
        archive.repair = self._repair
        archive.blob = self._obtain_blob
        archive.index.report = self._give_up
        return archive

    def _cached(self) -> Archive | None:
        if self.settings.cache_mode == "memory":
            return None
        try:
            return NodeCache(self.settings.cache_dir).open(
                self.hash, relied=self.settings.verify == "arrival"
            )
        except (errors.ArchiveError, errors.CacheError):
            return None  # what fetches it repairs it, does without it or says so

    def _repair(self, damage: DamagedArchive) -> Archive:
        from lazyimport.delivery.repair import repair

        return repair(self.settings, self.hash, damage, process.reporter)

    def _obtain_blob(self, blob: Blob) -> mmap:
        from lazyimport.delivery.blobs_wanted import obtain_blob

        settings = self.settings
        if os.geteuid() != self._user:  # it comes into a cache of this user
            from lazyimport.cache.place import place_for_user

            try:
                return NodeCache(settings.cache_dir).read_blob(blob)
            except (errors.MemberMissing, errors.CacheError):
                tree = NodeCache(settings.cache_dir).tree_path(self.hash)
                place = place_for_user(tree, settings.cache_limit)
                settings = settings.replaced(cache_dir=NodeCache.around(place).path)
        return obtain_blob(settings, self.hash, blob, process.reporter, self._in_memory)

    def _give_up(self, damage: DamagedArchive) -> None:
        from lazyimport.delivery.repair import give_up

        give_up(self.settings, self.hash, damage)


class Failure:
    """Why the archive that this process was to run is not installed.

    *wanted* names it in messages; *hash* is empty if it is not known.
    """

    def __init__(self, wanted: str, hash: str, reason: str) -> None:
        self.wanted = wanted
        self.hash = hash
        self.reason = reason


class Process:
    """All that lazyimport knows of the process that it runs in.

    ``installation`` is what is installed, ``failure`` why nothing is although it
    should be, ``waiting`` what is being fetched; each may be None. ``has_installed``
    says whether anything ever was installed.
    ``live`` says which versions its code has had, None if that cannot change; ``kept``
    is what `lazyimport.keep` returns then.
    ``reporter`` is told what a person should know.
    ``watcher`` watches imports for all who need that, and ``wrappers`` notice who looks
    at files. ``held`` are the descriptors whose locks say which trees this process
    uses, by their roots: it uses them to its end, whatever is uninstalled. ``seen`` are
    the marks that it found in them. ``lock`` is held while `installation` changes.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.installation: Installation | None = None
        self.has_installed = False
        self.live: Live | None = None
        self.kept: dict[str, object] = {}
        self.failure: Failure | None = None
        self.waiting: Settings | None = None
        self.watcher = ImportWatcher()
        self.wrappers = Wrappers(Looks())
        self.held: dict[str, int] = {}
        self.seen: set[str] = set()
        self._reporter: Reporter | None = None

    @property
    def reporter(self) -> Reporter:
        """What is told; Python's warnings until something else is set."""
        if self._reporter is None:
            from lazyimport.reporting import WARNINGS  # few starts have to report

            self._reporter = WARNINGS
        return self._reporter

    @reporter.setter
    def reporter(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def forked(self) -> None:
        """Forget a thread that was installing: it is not in the child."""
        self.lock = RLock()
        self.waiting = None


process = Process()
os.register_at_fork(after_in_child=process.forked)


def _warn(text: str) -> None:
    process.reporter.warn(text)


def restore_loader(hash: str, name: str, path: str, package: bool) -> object:
    """Return a loader that was pickled, for the archive that this process runs."""
    from lazyimport.importing.pickled import remake_loader

    running = process.installation
    tree = running.tree if running is not None and running.hash == hash else None
    return remake_loader(tree, restore_loader, hash, name, path, package)


def open_tree(settings: Settings) -> tuple[Tree, int]:
    """Return the tree of an archive that this process may run next, and bytes fetched.

    Raises what `install` does.
    """
    wanted = _Wanted(settings)
    archive = wanted.open()
    _check_python(archive)
    return _open_tree(archive, settings), wanted.fetched


def _open_tree(archive: Archive, settings: Settings) -> Tree:
    cache = NodeCache(settings.cache_dir)
    root = cache.tree_path(archive.hash)
    is_cached = archive.what == cache.archive_path(archive.hash)
    places = {os.geteuid(): root}

    def materializer() -> Materializer:
        from lazyimport.cache.materialize import Materializer  # few archives need it

        user = os.geteuid()
        if user not in places:
            from lazyimport.cache.place import place_for_user

            places[user] = place_for_user(root, settings.cache_limit)
        return Materializer(archive, places[user], process.held, process.seen)

    def warn(text: str) -> None:
        # On a disk that did not take the archive either, what fetched it has said so.
        if is_cached or settings.cache_mode == "memory":
            process.reporter.warn(text)

    tree = Tree(
        archive,
        root,
        materializer,
        restore=restore_loader,
        looks=process.wrappers.looks,
        warn=warn,
    )
    if settings.gc == "pause":
        from lazyimport.importing.collector import pause

        tree.found = pause
    if tree.variant < 0:  # what gets compiled here is worth keeping
        from lazyimport.cache.bytecode import BytecodeCache

        tree.bytecode = BytecodeCache(cache, *running_python())
    return tree


def _refuse_another(running: Installation, hash: str, channel: str | None) -> None:
    other = bool(channel and running.channel not in {None, channel})
    if running.hash == hash and not other:
        return
    raise errors.InstallError(
        f"this process already runs archive {running.hash}"
        f"{f' of channel {running.channel!r}' if running.channel else ''}, "
        f"so it cannot run {f'channel {channel!r}' if other else hash} "
        "as well; start a new process for it",
        hash=hash,
        installed=running.hash,
    )


def _refuse_leftovers(hash: str) -> None:
    """Refuse to mix two versions: modules of another archive may still be here."""
    old: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
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


def _check_python(archive: Archive) -> None:
    minors = archive.index.minors
    if minors >> sys.version_info.minor & 1:
        return
    required = archive.notes.get("requires_python")
    if not required:
        runs_on = [minor for minor in range(64) if minors >> minor & 1]
        required = ", ".join(f"3.{minor}" for minor in runs_on) or "no Python at all"
    raise errors.WrongPython(
        f"archive {archive.hash} is for Python {required}, and this is "
        f"{sys.version.split()[0]}; use an image with such a Python, or push the tree "
        "with a requires-python that allows this one",
        hash=archive.hash,
    )
